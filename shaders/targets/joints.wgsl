// maps[n, j, y, x] = exp(-((x - mx)^2 + (y - my)^2) / (2 SIGMA^2)) where |x - mx|, |y - my| <= floor(3 SIGMA), else 0
//
// with (mx, my) the joint rounded half up; weights[n, j] = 1 where the joint is labelled and that window touches the
// map, else 0, and the map is 0 then.
//
// Computes: one map per workgroup, every 64th pixel per lane.
// Grid: MAPS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes write neighbouring pixels.
// Why: three numbers per joint instead of the map go to the device.
// Measured: not measured.

override MAPS: u32;    // N J
override HEIGHT: u32;  // H
override WIDTH: u32;   // W
override SIGMA: f32;   // heat-map pixels

@group(0) @binding(0) var<storage, read> joints: array<f32>;         // [N, J, 3] x, y in heat-map pixels, labelled
@group(0) @binding(1) var<storage, read_write> maps: array<f32>;     // [N, J, H, W]
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;  // [N, J]

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
    let middle = floor(vec2f(joints[3u * map], joints[3u * map + 1u]) + 0.5);
    let reach = floor(3.0 * SIGMA);
    let last = vec2f(f32(WIDTH), f32(HEIGHT)) - 1.0;
    let touches = all(middle + reach >= vec2f(0.0)) && all(middle - reach <= last);
    let counts = joints[3u * map + 2u] > 0.0 && touches;
    for (var pixel = lane; pixel < HEIGHT * WIDTH; pixel += 64u) {
        let distance = vec2f(f32(pixel % WIDTH), f32(pixel / WIDTH)) - middle;
        let inside = counts && all(abs(distance) <= vec2f(reach));
        maps[map * HEIGHT * WIDTH + pixel] =
            select(0.0, exp(dot(distance, distance) * (-0.5 / (SIGMA * SIGMA))), inside);
    }
    if lane == 0u {
        weights[map] = select(0.0, 1.0, counts);
    }
}
