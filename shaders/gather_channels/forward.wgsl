// y[n, k, p] = x[n, source[k], p]
//
// p counts the AREA = H W pixels.
//
// Computes: one element per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements.
// Why: the plain kernel.
// Measured: not measured.

override ELEMENTS: u32;  // of y
override AREA: u32;
override CHANNELS: u32;  // of x: C
override GATHERED: u32;  // of y: K

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;         // [N, C, H, W]
@group(0) @binding(1) var<storage, read> source: array<u32>;  // [K]
@group(0) @binding(2) var<storage, read_write> y: array<Y>;   // [N, K, H, W]

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
    let pixel = index % AREA;
    let k = index / AREA % GATHERED;
    let n = index / (AREA * GATHERED);
    y[index] = Y(f32(x[(n * CHANNELS + source[k]) * AREA + pixel]));
}
