// y[e] = x[e]
//
// Computes: one element per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read and write neighbouring elements.
// Why: what a rank has computed is what all have, where there is one. Where there are more, the host replaces y by what it
//   has joined.
// Measured: not measured.

override ELEMENTS: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;        // [ELEMENTS]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [ELEMENTS]

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
    y[index] = x[index];
}
