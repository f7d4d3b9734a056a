// y[n, c, i, j] = scale[c] x[n, c, i, j]
//
// Computes: one element per invocation, in 64 invocations per workgroup.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.

override ELEMENTS: u32;
override CHANNELS: u32;
override AREA: u32;  // height * width

@group(0) @binding(0) var<storage, read> x: array<f32>;             // [batch, CHANNELS, height, width]
@group(0) @binding(1) var<storage, read> scale: array<f32>;         // [CHANNELS]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;       // [batch, CHANNELS, height, width]

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
    y[index] = scale[index / AREA % CHANNELS] * x[index];
}
