// dx[c, p] = dy[c] / AREA
//
// c counts the channels of all samples, p the AREA = H W pixels of one.
//
// Computes: one element of dx per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements.
// Why: the plain kernel.
// Measured: not measured.

override ELEMENTS: u32;  // of dx
override AREA: u32;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias Dx = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;        // [N, C, 1, 1]
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
    dx[index] = Dx(f32(dy[index / AREA]) / f32(AREA));
}
