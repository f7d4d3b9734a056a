// y[c, i, j] = max over u, v < K of x[c, i S + u - P, j S + v - P]      K = KERNEL, S = STRIDE, P = PADDING
//
// c counts the channels of all samples. What lies outside the map does not take part: in its place stands the nearest
// element of the map, which is in the window anyway.
//
// Computes: one element per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: K^2 loads per invocation; those of neighbours overlap.
// Why: the plain kernel.
// Measured: not measured.

override ELEMENTS: u32;    // of y
override HEIGHT: u32;      // of x
override WIDTH: u32;       // of x
override OUT_HEIGHT: u32;  // of y
override OUT_WIDTH: u32;   // of y
override KERNEL: u32;
override STRIDE: u32;
override PADDING: u32;     // at most KERNEL / 2, so that no window misses the map

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;        // [N, C, H, W]
@group(0) @binding(1) var<storage, read_write> y: array<Y>;  // [N, C, H', W']

/// Place in x of element (u, v) of window (i, j), or of the element of the map that is nearest to it.
fn element(channel: u32, i: u32, j: u32, u: u32, v: u32) -> u32 {
    let row = min(max(i * STRIDE + u, PADDING) - PADDING, HEIGHT - 1u);
    let column = min(max(j * STRIDE + v, PADDING) - PADDING, WIDTH - 1u);
    return (channel * HEIGHT + row) * WIDTH + column;
}

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
    let j = index % OUT_WIDTH;
    let i = index / OUT_WIDTH % OUT_HEIGHT;
    let channel = index / (OUT_WIDTH * OUT_HEIGHT);
    var largest = f32(x[element(channel, i, j, 0u, 0u)]);
    for (var u = 0u; u < KERNEL; u++) {
        for (var v = 0u; v < KERNEL; v++) {
            largest = max(largest, f32(x[element(channel, i, j, u, v)]));
        }
    }
    y[index] = Y(largest);
}
