// dr[i] = (1 + s) dy[i],  dg[i] = dy[i] r[i] s (1 - s)      s = sigmoid(g[i])
//
// Computes: one element of both per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements.
// Why: the plain kernel; both gradients from one reading of dy.
// Measured: not measured.

override ELEMENTS: u32;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias R = f32;
alias G = f32;
alias Dr = f32;
alias Dg = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;        // [N, C, H, W]
@group(0) @binding(1) var<storage, read> r: array<R>;          // [N, C, H, W]
@group(0) @binding(2) var<storage, read> g: array<G>;          // [N, C, H, W]
@group(0) @binding(3) var<storage, read_write> dr: array<Dr>;  // [N, C, H, W]
@group(0) @binding(4) var<storage, read_write> dg: array<Dg>;  // [N, C, H, W]

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
    let gradient = f32(dy[index]);
    let s = 1.0 / (1.0 + exp(-f32(g[index])));
    dr[index] = Dr((1.0 + s) * gradient);
    dg[index] = Dg(gradient * f32(r[index]) * s * (1.0 - s));
}
