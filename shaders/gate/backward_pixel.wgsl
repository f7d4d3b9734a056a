// dr[i] = (1 + s) dy[i],  dg[i] = dy[i] r[i] s (1 - s)      s = sigmoid(g[i])
//
// One invocation computes one element of both. Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.

override ELEMENTS: u32;

@group(0) @binding(0) var<storage, read> dy: array<f32>;        // [N, C, H, W]
@group(0) @binding(1) var<storage, read> r: array<f32>;         // [N, C, H, W]
@group(0) @binding(2) var<storage, read> g: array<f32>;         // [N, C, H, W]
@group(0) @binding(3) var<storage, read_write> dr: array<f32>;  // [N, C, H, W]
@group(0) @binding(4) var<storage, read_write> dg: array<f32>;  // [N, C, H, W]

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
    let gradient = dy[index];
    let s = 1.0 / (1.0 + exp(-g[index]));
    dr[index] = (1.0 + s) * gradient;
    dg[index] = gradient * r[index] * s * (1.0 - s);
}
