// y[.., column] = x[.., WIDTH - 1 - column]
//
// Computes: one element per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements, the reads in falling order.
// Why: the plain kernel.
// Measured: not measured.

override ELEMENTS: u32;
override WIDTH: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;        // [.., WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [.., WIDTH]

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
    let column = index % WIDTH;
    y[index] = x[index - column + (WIDTH - 1u - column)];
}
