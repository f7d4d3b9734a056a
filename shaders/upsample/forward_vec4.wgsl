// y[r, j] = x[r / F, j / F]      F = FACTOR
//
// Rows r count through all samples, channels and heights. F = 2 or a multiple of 4, and 4 divides the width of y.
//
// Computes: four neighbours of a row of y per invocation, from the one or two elements of x that they copy.
// Grid: ceil(ELEMENTS / 256) workgroups of 64, folded into y past 65,535.
// Memory: y as vec4, x by single elements.
// Why: beside forward.wgsl a quarter of the stores and at most half the loads.
// Measured: not measured.

override FACTOR: u32;
override ELEMENTS: u32;  // of y
override WIDTH: u32;     // of y

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;              // [N, C, H, W]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Y>>;  // [N, C, F H, F W / 4]

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
    if FACTOR == 2u {
        y[index] = vec4<Y>(vec4f(vec2f(f32(x[source])), vec2f(f32(x[source + 1u]))));
    } else {
        y[index] = vec4<Y>(vec4f(f32(x[source])));
    }
}
