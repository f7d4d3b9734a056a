// y[c, i, j] = max over u, v < K of x[c, i S + u - P, j S + v - P]      K = KERNEL, S = STRIDE, P = PADDING
//
// c runs through the channels of all samples. What lies outside the map does not take part.
// One invocation computes one element. Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.

override ELEMENTS: u32;    // of y
override HEIGHT: u32;      // of x
override WIDTH: u32;       // of x
override OUT_HEIGHT: u32;  // of y
override OUT_WIDTH: u32;   // of y
override KERNEL: u32;
override STRIDE: u32;
override PADDING: u32;     // at most KERNEL / 2, so that no window misses the map

@group(0) @binding(0) var<storage, read> x: array<f32>;        // [N, C, H, W]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [N, C, H', W']

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
    // The window without what lies outside the map.
    let top = max(i * STRIDE, PADDING) - PADDING;
    let left = max(j * STRIDE, PADDING) - PADDING;
    let bottom = min(i * STRIDE + KERNEL - PADDING, HEIGHT);
    let right = min(j * STRIDE + KERNEL - PADDING, WIDTH);
    let start = channel * HEIGHT * WIDTH;
    var largest = x[start + top * WIDTH + left];
    for (var row = top; row < bottom; row++) {
        for (var column = left; column < right; column++) {
            largest = max(largest, x[start + row * WIDTH + column]);
        }
    }
    y[index] = largest;
}
