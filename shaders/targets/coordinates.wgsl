// coordinates[n, j] = (x / WIDTH - 1/2, y / HEIGHT - 1/2) where the joint (x, y) is labelled, else 0
//
// weights[n, j] = 1 where it is labelled, else 0.
//
// Computes: one joint per invocation.
// Grid: ceil(JOINTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations touch neighbouring joints.
// Why: the plain kernel, and the only one: a batch has a few hundred joints.
// Measured: not measured.

override JOINTS: u32;  // N J
override HEIGHT: f32;  // of a map
override WIDTH: f32;

@group(0) @binding(0) var<storage, read> joints: array<f32>;               // [N, J, 3] x, y in map pixels, labelled
@group(0) @binding(1) var<storage, read_write> coordinates: array<vec2f>;  // [N, J]
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;        // [N, J]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let joint = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if joint >= JOINTS {
        return;
    }
    let place = vec2f(joints[3u * joint] / WIDTH, joints[3u * joint + 1u] / HEIGHT) - 0.5;
    let labelled = joints[3u * joint + 2u] > 0.0;
    coordinates[joint] = select(vec2f(), place, labelled);
    weights[joint] = select(0.0, 1.0, labelled);
}
