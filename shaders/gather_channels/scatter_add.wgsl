// y[n, c, p] = sum over k with source[k] = c of x[n, k, p], plus base[n, c, p] where HAS_BASE
//
// p counts the AREA = H W pixels; source is that of forward.wgsl.
//
// Computes: one element per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements. table holds first and then members: the k of a
//   channel c are members[first[c]] to members[first[c + 1] - 1], in rising order.
// Why: the transpose of forward.wgsl without atomics: each element gathers what belongs to it, always in the same
//   order.
// Measured: scattering block by block was slower (lavapipe, 2 cores): index arithmetic outweighs what the loads save.

override ELEMENTS: u32;  // of y
override AREA: u32;
override CHANNELS: u32;  // of y: C
override GATHERED: u32;  // of x: K
override HAS_BASE: bool;

// Elements as they are stored; f16 in half precision.
alias Base = f32;
alias X = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> base: array<Base>;  // [N, C, H, W]; without a base, x, and not read
@group(0) @binding(1) var<storage, read> x: array<X>;        // [N, K, H, W]
@group(0) @binding(2) var<storage, read> table: array<u32>;  // [C + 1 + K]
@group(0) @binding(3) var<storage, read_write> y: array<Y>;  // [N, C, H, W]

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
    let c = index / AREA % CHANNELS;
    let n = index / (AREA * CHANNELS);
    var sum = 0.0;
    if HAS_BASE {
        sum = f32(base[index]);
    }
    let end = table[c + 1u];
    for (var member = table[c]; member < end; member++) {
        let k = table[CHANNELS + 1u + member];
        sum += f32(x[(n * GATHERED + k) * AREA + pixel]);
    }
    y[index] = Y(sum);
}
