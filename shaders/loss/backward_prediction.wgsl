// dprediction = dloss * SCALE * weight[map] * l'(p, t)      e = p - t
//
//     KIND 0  squared error     l' = 2 e
//     KIND 1  focal L2          l' = 2 e f (f + e f'), f = p, f' = 1 where t < 0.01, else f = 1 - p, f' = -1
//     KIND 2  printed focal L2  l' = 2 e f (f + e f'), f = 1 - p, f' = -1 where t < 0.01, else f = t, f' = 0
//     KIND 3  smooth L1         l' = e clamped to [-1, 1]
//
// Computes: one map per workgroup, every 64th pixel per lane.
// Grid: MAPS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read and write neighbouring pixels.
// Why: the plain kernel; the derivatives of the losses of map_losses.wgsl.
// Measured: not measured.

override KIND: u32;
override MAPS: u32;    // N M
override PIXELS: u32;  // H W
override SCALE: f32;   // 1 / number of elements that the loss averages

@group(0) @binding(0) var<storage, read> dloss: array<f32>;              // [1]
@group(0) @binding(1) var<storage, read> prediction: array<f32>;         // [N, M, H, W]
@group(0) @binding(2) var<storage, read> target_maps: array<f32>;        // [N, M, H, W]
@group(0) @binding(3) var<storage, read> weight: array<f32>;             // [N, M]
@group(0) @binding(4) var<storage, read_write> dprediction: array<f32>;  // [N, M, H, W]

const THRESHOLD = 0.01;

fn derivative(p: f32, t: f32) -> f32 {
    let error = p - t;
    switch KIND {
        case 1u: {
            let background = t < THRESHOLD;
            let factor = select(1.0 - p, p, background);
            let slope = select(-1.0, 1.0, background);
            return 2.0 * error * factor * (factor + error * slope);
        }
        case 2u: {
            let background = t < THRESHOLD;
            let factor = select(t, 1.0 - p, background);
            let slope = select(0.0, -1.0, background);
            return 2.0 * error * factor * (factor + error * slope);
        }
        case 3u: {
            return clamp(error, -1.0, 1.0);
        }
        default: {
            return 2.0 * error;
        }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let map = workgroup.y * workgroups.x + workgroup.x;
    if map >= MAPS {
        return;
    }
    let scale = dloss[0] * SCALE * weight[map];
    for (var pixel = lane; pixel < PIXELS; pixel += 64u) {
        let index = map * PIXELS + pixel;
        dprediction[index] = scale * derivative(prediction[index], target_maps[index]);
    }
}
