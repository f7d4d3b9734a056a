// losses[map] = weight[map] * mean over the map's pixels of l(p, t)
//
//     KIND 0  squared error     l = (p - t)^2
//     KIND 1  focal L2          l = (p - t)^2 f^2, f = p where t < 0.01, else 1 - p
//     KIND 2  printed focal L2  l = (p - t)^2 f^2, f = 1 - p where t < 0.01, else t
//     KIND 3  smooth L1         l = (p - t)^2 / 2 where |p - t| < 1, else |p - t| - 1/2
//
// Computes: one map per workgroup; a lane sums every 64th pixel in order.
// Grid: MAPS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read neighbouring pixels. Workgroup memory: the sums of the 64 lanes, which are added as a
//   tree, always in the same order.
// Why: the plain kernel; hardest.wgsl chooses maps by these, total.wgsl adds them.
// Measured: not measured.

override KIND: u32;
override MAPS: u32;    // N M
override PIXELS: u32;  // H W

@group(0) @binding(0) var<storage, read> prediction: array<f32>;    // [N, M, H, W]
@group(0) @binding(1) var<storage, read> target_maps: array<f32>;   // [N, M, H, W]
@group(0) @binding(2) var<storage, read> weight: array<f32>;        // [N, M]
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;  // [N, M]

const THRESHOLD = 0.01;

var<workgroup> partial: array<f32, 64>;

fn loss(p: f32, t: f32) -> f32 {
    let error = p - t;
    switch KIND {
        case 1u: {
            let factor = select(1.0 - p, p, t < THRESHOLD);
            return error * error * factor * factor;
        }
        case 2u: {
            let factor = select(t, 1.0 - p, t < THRESHOLD);
            return error * error * factor * factor;
        }
        case 3u: {
            let size = abs(error);
            return select(size - 0.5, 0.5 * error * error, size < 1.0);
        }
        default: {
            return error * error;
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
    var sum = 0.0;
    for (var pixel = lane; pixel < PIXELS; pixel += 64u) {
        let index = map * PIXELS + pixel;
        sum += loss(prediction[index], target_maps[index]);
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var stride = 32u; stride > 0u; stride /= 2u) {
        if lane < stride {
            partial[lane] += partial[lane + stride];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        losses[map] = weight[map] * (partial[0] / f32(PIXELS));
    }
}
