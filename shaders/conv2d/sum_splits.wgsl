// dw[e] = sum over k of splits[k, e]
//
// Computes: one element per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements.
// Why: the second stage of the weight gradients; in ascending order, so that a run repeats to the bit.
// Measured: not measured.

override SPLITS: u32;
override ELEMENTS: u32;

@group(0) @binding(0) var<storage, read> splits: array<f32>;    // [SPLITS, ELEMENTS]
@group(0) @binding(1) var<storage, read_write> dw: array<f32>;  // [ELEMENTS]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= ELEMENTS {
        return;
    }
    var sum = 0.0;
    for (var split = 0u; split < SPLITS; split++) {
        sum += splits[split * ELEMENTS + index];
    }
    dw[index] = sum;
}
