// dx = dy where y > 0, else 0
//
// Computes: one element per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements.
// Why: the plain kernel; from y and not from x, which need not be kept.
// Measured: not measured.

override ELEMENTS: u32;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias Y = f32;
alias Dx = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;        // [ELEMENTS]
@group(0) @binding(1) var<storage, read> y: array<Y>;          // [ELEMENTS] the output of the forward pass
@group(0) @binding(2) var<storage, read_write> dx: array<Dx>;  // [ELEMENTS]

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
    dx[index] = Dx(select(0.0, f32(dy[index]), f32(y[index]) > 0.0));
}
