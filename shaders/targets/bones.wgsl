// maps[n, b, y, x] = exp(-d^2 / (2 SIGMA^2)), d the distance from (x, y) to the segment between the joints of bone b
//
// weights[n, b] = 1 where both joints are labelled, else 0, and the map is 0 then.
//
// Computes: one map per workgroup, every 64th pixel per lane.
// Grid: SAMPLES * BONES workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes write neighbouring pixels.
// Why: three numbers per joint instead of the map go to the device.
// Measured: not measured.

override SAMPLES: u32;  // N
override JOINTS: u32;   // J
override BONES: u32;    // B
override HEIGHT: u32;   // H
override WIDTH: u32;    // W
override SIGMA: f32;    // heat-map pixels

@group(0) @binding(0) var<storage, read> joints: array<f32>;         // [N, J, 3] x, y in heat-map pixels, labelled
@group(0) @binding(1) var<storage, read> bones: array<vec2u>;        // [B] the two joints of each bone
@group(0) @binding(2) var<storage, read_write> maps: array<f32>;     // [N, B, H, W]
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;  // [N, B]

fn joint(sample: u32, number: u32) -> vec3f {
    let first = 3u * (sample * JOINTS + number);
    return vec3f(joints[first], joints[first + 1u], joints[first + 2u]);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let map = workgroup.y * workgroups.x + workgroup.x;
    if map >= SAMPLES * BONES {
        return;
    }
    let bone = bones[map % BONES];
    let start = joint(map / BONES, bone.x);
    let end = joint(map / BONES, bone.y);
    let counts = start.z > 0.0 && end.z > 0.0;
    let along = end.xy - start.xy;
    // A bone without length is a point: `share` is 0 for every pixel.
    let squared_length = max(dot(along, along), 1e-30);
    for (var pixel = lane; pixel < HEIGHT * WIDTH; pixel += 64u) {
        let here = vec2f(f32(pixel % WIDTH), f32(pixel / WIDTH)) - start.xy;
        let share = clamp(dot(here, along) / squared_length, 0.0, 1.0);
        let distance = here - share * along;
        maps[map * HEIGHT * WIDTH + pixel] =
            select(0.0, exp(dot(distance, distance) * (-0.5 / (SIGMA * SIGMA))), counts);
    }
    if lane == 0u {
        weights[map] = select(0.0, 1.0, counts);
    }
}
