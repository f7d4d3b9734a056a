// y[r, j] = a[r, j] + b[r / F, j / F], or its max with 0 where RELU      F = FACTOR
//
// Rows r count through all samples, channels and heights: F divides the height of a, so r / F is the row of b.
//
// Computes: one element of y per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements of a and y; F of them read the same one of b.
// Why: the plain kernel; fused, so that the upsampled map is never written.
// Measured: not measured.

override FACTOR: u32;
override RELU: bool;
override ELEMENTS: u32;  // of y
override WIDTH: u32;     // of y

// Elements as they are stored; f16 in half precision.
alias A = f32;
alias B = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> a: array<A>;        // [N, C, F H, F W]
@group(0) @binding(1) var<storage, read> b: array<B>;        // [N, C, H, W]
@group(0) @binding(2) var<storage, read_write> y: array<Y>;  // [N, C, F H, F W]

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
    let row = index / WIDTH;
    let column = index % WIDTH;
    let sum = f32(a[index]) + f32(b[row / FACTOR * (WIDTH / FACTOR) + column / FACTOR]);
    y[index] = Y(select(sum, max(sum, 0.0), RELU));
}
