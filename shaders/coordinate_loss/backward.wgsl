// dprediction[n, j] = dloss SCALE weight[n, j] (sign(px - tx), sign(py - ty)), sign(0) = 0
//
// with (px, py) = prediction[n, j] and (tx, ty) = targets[n, j].
//
// Computes: one joint per invocation.
// Grid: ceil(JOINTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations touch neighbouring joints, x and y together.
// Why: the plain kernel, and the only one: a batch has a few hundred joints, five numbers each.
// Measured: not measured.

override JOINTS: u32;  // N J
override SCALE: f32;   // 1 / N

@group(0) @binding(0) var<storage, read> dloss: array<f32>;                // [1]
@group(0) @binding(1) var<storage, read> prediction: array<vec2f>;         // [N, J]
@group(0) @binding(2) var<storage, read> targets: array<vec2f>;            // [N, J]
@group(0) @binding(3) var<storage, read> weight: array<f32>;               // [N, J]
@group(0) @binding(4) var<storage, read_write> dprediction: array<vec2f>;  // [N, J]

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
    dprediction[joint] = dloss[0] * SCALE * weight[joint] * sign(prediction[joint] - targets[joint]);
}
