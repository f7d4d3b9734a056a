// dx[c, r, q] = sum of dy[c, i, j] over the windows (i, j) whose maximum comes from x[c, r, q]
//
// c runs through the channels of all samples. Of equal elements of a window the first in reading order counts as its
// maximum. One invocation computes one element of dx: it visits the at most ceil(KERNEL / STRIDE)^2 windows that cover
// its pixel and, only where the pixel equals the maximum, looks through those before it.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.

override ELEMENTS: u32;    // of x
override HEIGHT: u32;      // of x
override WIDTH: u32;       // of x
override OUT_HEIGHT: u32;  // of y
override OUT_WIDTH: u32;   // of y
override KERNEL: u32;
override STRIDE: u32;
override PADDING: u32;     // at most KERNEL / 2, so that no window misses the map

@group(0) @binding(0) var<storage, read> dy: array<f32>;        // [N, C, H', W']
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [N, C, H, W]
@group(0) @binding(2) var<storage, read> y: array<f32>;         // [N, C, H', W'] the output of the forward pass
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;  // [N, C, H, W]

/// The first window that covers padded position `at` along an axis.
fn first_window(at: u32) -> u32 {
    return (max(at + STRIDE, KERNEL) - KERNEL) / STRIDE;
}

/// Whether x at (row, column) is the first element of window (i, j), in reading order, that equals `largest`.
fn is_first(start: u32, i: u32, j: u32, row: u32, column: u32, largest: f32) -> bool {
    let top = max(i * STRIDE, PADDING) - PADDING;
    let left = max(j * STRIDE, PADDING) - PADDING;
    let right = min(j * STRIDE + KERNEL - PADDING, WIDTH);
    for (var r = top; r <= row; r++) {
        let end = select(right, column, r == row);
        for (var q = left; q < end; q++) {
            if x[start + r * WIDTH + q] == largest {
                return false;
            }
        }
    }
    return true;
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
    let column = index % WIDTH;
    let row = index / WIDTH % HEIGHT;
    let channel = index / (WIDTH * HEIGHT);
    let value = x[index];
    let last_i = min((row + PADDING) / STRIDE, OUT_HEIGHT - 1u);
    let last_j = min((column + PADDING) / STRIDE, OUT_WIDTH - 1u);
    var sum = 0.0;
    for (var i = first_window(row + PADDING); i <= last_i; i++) {
        for (var j = first_window(column + PADDING); j <= last_j; j++) {
            let window = (channel * OUT_HEIGHT + i) * OUT_WIDTH + j;
            if y[window] == value && is_first(channel * HEIGHT * WIDTH, i, j, row, column, value) {
                sum += dy[window];
            }
        }
    }
    dx[index] = sum;
}
