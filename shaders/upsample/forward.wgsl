// y[r, j] = x[r / F, j / F]      F = FACTOR
//
// Rows r count through all samples, channels and heights: F divides the height of y, so r / F is the row of x.
//
// Computes: one element of y per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations write neighbouring elements; F of them read the same one.
// Why: the plain kernel.
// Measured: not measured.

override FACTOR: u32;
override ELEMENTS: u32;  // of y
override WIDTH: u32;     // of y

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;        // [N, C, H, W]
@group(0) @binding(1) var<storage, read_write> y: array<Y>;  // [N, C, F H, F W]

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
    y[index] = Y(f32(x[row / FACTOR * (WIDTH / FACTOR) + column / FACTOR]));
}
