// merged[n, j] = (points[n, j] + mirrored) / 2, mirrored = (WIDTH - 1/4 - fx, fy, score) of flipped[n, partner[j]]
//
// Computes: one point per invocation.
// Grid: ceil(POINTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations touch neighbouring points.
// Why: flipped holds the points of the mirrored picture, whose pixel i is pixel 4 WIDTH - 1 - i of the picture, and a
//   heat-map pixel is 4 pixels. The plain kernel, and the only one: a batch has a few hundred points.
// Measured: not measured.

override POINTS: u32;  // N J
override JOINTS: u32;  // J
override WIDTH: f32;   // of the heat maps

@group(0) @binding(0) var<storage, read> points: array<f32>;        // [N, J, 3]
@group(0) @binding(1) var<storage, read> flipped: array<f32>;       // [N, J, 3]
@group(0) @binding(2) var<storage, read> partner: array<u32>;       // [J]
@group(0) @binding(3) var<storage, read_write> merged: array<f32>;  // [N, J, 3]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let point = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if point >= POINTS {
        return;
    }
    let joint = point % JOINTS;
    let other = point - joint + partner[joint];
    merged[3u * point] = 0.5 * (points[3u * point] + (WIDTH - 0.25 - flipped[3u * other]));
    merged[3u * point + 1u] = 0.5 * (points[3u * point + 1u] + flipped[3u * other + 1u]);
    merged[3u * point + 2u] = 0.5 * (points[3u * point + 2u] + flipped[3u * other + 2u]);
}
