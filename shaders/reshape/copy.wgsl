// y[e] = x[e]      e counts the elements of both, whatever their extents
//
// Computes: one element per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read and write neighbouring elements.
// Why: needed only where x and y are stored in different types or must not share memory; otherwise y is where x is, and
//   nothing runs.
// Measured: not measured.

override ELEMENTS: u32;

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;        // any extents
@group(0) @binding(1) var<storage, read_write> y: array<Y>;  // as many elements

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
    y[index] = Y(f32(x[index]));
}
