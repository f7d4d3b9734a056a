// dx[r, j] = sum over the F x F elements dy[F r + u, F j + v] that copied x[r, j]      F = FACTOR
//
// Rows r count through all samples, channels and heights.
//
// Computes: one element of dx per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: F loads in each of F rows of dy; neighbouring invocations read neighbouring runs.
// Why: the plain kernel.
// Measured: not measured.

override FACTOR: u32;
override ELEMENTS: u32;  // of dx
override WIDTH: u32;     // of dx

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias Dx = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;        // [N, C, F H, F W]
@group(0) @binding(1) var<storage, read_write> dx: array<Dx>;  // [N, C, H, W]

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
    var sum = 0.0;
    for (var u = 0u; u < FACTOR; u++) {
        let start = ((row * FACTOR + u) * WIDTH + column) * FACTOR;
        for (var v = 0u; v < FACTOR; v++) {
            sum += f32(dy[start + v]);
        }
    }
    dx[index] = Dx(sum);
}
