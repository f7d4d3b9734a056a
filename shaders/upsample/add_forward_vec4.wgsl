// y[r, j] = a[r, j] + b[r / F, j / F], or its max with 0 where RELU      F = FACTOR
//
// Rows r count through all samples, channels and heights. F = 2 or a multiple of 4, and 4 divides the width of y.
//
// Computes: four neighbours of a row of y per invocation.
// Grid: ceil(ELEMENTS / 256) workgroups of 64, folded into y past 65,535.
// Memory: a and y as vec4, b by single elements, each that is needed once.
// Why: beside add_forward.wgsl a quarter of the stores and of the loads of a, each of four elements.
// Measured: not measured.

override FACTOR: u32;
override RELU: bool;
override ELEMENTS: u32;  // of y
override WIDTH: u32;     // of y

// Elements as they are stored; f16 in half precision.
alias A = f32;
alias B = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> a: array<vec4<A>>;        // [N, C, F H, F W / 4]
@group(0) @binding(1) var<storage, read> b: array<B>;              // [N, C, H, W]
@group(0) @binding(2) var<storage, read_write> y: array<vec4<Y>>;  // [N, C, F H, F W / 4]

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
    let row = index / (WIDTH / 4u);
    let column = index % (WIDTH / 4u) * 4u;
    let source = row / FACTOR * (WIDTH / FACTOR) + column / FACTOR;
    var sum = vec4f(a[index]);
    if FACTOR == 2u {
        sum += vec4f(vec2f(f32(b[source])), vec2f(f32(b[source + 1u])));
    } else {
        sum += vec4f(f32(b[source]));
    }
    y[index] = vec4<Y>(select(sum, max(sum, vec4f()), RELU));
}
