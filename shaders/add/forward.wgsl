// y = a + b
//
// Computes: one element per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements.
// Why: the plain kernel.
// Measured: not measured.

override ELEMENTS: u32;

// Elements as they are stored; f16 in half precision.
alias A = f32;
alias B = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> a: array<A>;        // [ELEMENTS]
@group(0) @binding(1) var<storage, read> b: array<B>;        // [ELEMENTS]
@group(0) @binding(2) var<storage, read_write> y: array<Y>;  // [ELEMENTS]

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
    y[index] = Y(f32(a[index]) + f32(b[index]));
}
