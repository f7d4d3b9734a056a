// y = sum over k < 8 of a[k], where a[k] = x + k at first and then 8 ROUNDS times a[k] = fma(a[k], 0.5, 1.0)
//
// Computes: one element per invocation, by 128 ROUNDS operations.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: one load and one store per invocation; nothing in the loop.
// Why: a roofline probe: what the adapter can compute at most in float32. Eight independent chains, so that one need
//   not wait for another, and few enough for the registers of a CPU; eight steps per round leave little of the time to
//   the loop itself.
// Measured: this is what measures; `ditn bench` prints it.

override ROUNDS: u32;
override ELEMENTS: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;        // [ELEMENTS]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [ELEMENTS]

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
    let start = x[index];
    var a = vec4f(start) + vec4f(0.0, 1.0, 2.0, 3.0);
    var b = a + vec4f(4.0);
    let half = vec4f(0.5);
    let one = vec4f(1.0);
    for (var round = 0u; round < ROUNDS; round++) {
        a = fma(a, half, one); b = fma(b, half, one);
        a = fma(a, half, one); b = fma(b, half, one);
        a = fma(a, half, one); b = fma(b, half, one);
        a = fma(a, half, one); b = fma(b, half, one);
        a = fma(a, half, one); b = fma(b, half, one);
        a = fma(a, half, one); b = fma(b, half, one);
        a = fma(a, half, one); b = fma(b, half, one);
        a = fma(a, half, one); b = fma(b, half, one);
    }
    let sum = a + b;
    y[index] = (sum.x + sum.y) + (sum.z + sum.w);
}
