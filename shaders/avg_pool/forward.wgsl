// y[c, i, j] = sum over u, v < K of x[c, i S + u - P, j S + v - P] / K^2      K = KERNEL, S = STRIDE, P = PADDING
//
// c counts the channels of all samples. What lies outside the map counts as 0.
//
// Computes: one element per invocation; a window is added in reading order.
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
override PADDING: u32;

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;        // [N, C, H, W]
@group(0) @binding(1) var<storage, read_write> y: array<Y>;  // [N, C, H', W']

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
    var sum = 0.0;
    for (var u = 0u; u < KERNEL; u++) {
        // Above the map this wraps round to a large number.
        let row = i * STRIDE + u - PADDING;
        if row >= HEIGHT {
            continue;
        }
        for (var v = 0u; v < KERNEL; v++) {
            let column = j * STRIDE + v - PADDING;
            if column < WIDTH {
                sum += f32(x[(channel * HEIGHT + row) * WIDTH + column]);
            }
        }
    }
    y[index] = Y(sum / f32(KERNEL * KERNEL));
}
