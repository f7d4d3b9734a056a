// y[i] = (1 + sigmoid(g[i / A])) r[i]      A = AREA: 1 where each pixel has its own g, H W where each channel has
//
// Computes: one element per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements.
// Why: the plain kernel; one for both kinds of gate.
// Measured: not measured.

override ELEMENTS: u32;  // of r
override AREA: u32;

// Elements as they are stored; f16 in half precision.
alias R = f32;
alias G = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> r: array<R>;        // [N, C, H, W]
@group(0) @binding(1) var<storage, read> g: array<G>;        // [N, C, H, W] or [N, C, 1, 1]
@group(0) @binding(2) var<storage, read_write> y: array<Y>;  // [N, C, H, W]

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
    y[index] = Y((1.0 + 1.0 / (1.0 + exp(-f32(g[index / AREA])))) * f32(r[index]));
}
