// y = a + b
//
// Computes: four neighbouring elements per invocation.
// Grid: ceil(ELEMENTS / 256) workgroups of 64, folded into y past 65,535.
// Memory: all tensors as vec4; ELEMENTS is a multiple of 4.
// Why: a quarter of the loads and stores of forward.wgsl, each of four elements.
// Measured: not measured.

override ELEMENTS: u32;

// Elements as they are stored; f16 in half precision.
alias A = f32;
alias B = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> a: array<vec4<A>>;        // [ELEMENTS / 4]
@group(0) @binding(1) var<storage, read> b: array<vec4<B>>;        // [ELEMENTS / 4]
@group(0) @binding(2) var<storage, read_write> y: array<vec4<Y>>;  // [ELEMENTS / 4]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= ELEMENTS / 4u {
        return;
    }
    y[index] = vec4<Y>(vec4f(a[index]) + vec4f(b[index]));
}
