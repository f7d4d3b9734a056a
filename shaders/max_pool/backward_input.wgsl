// dx[c, r, q] = sum of dy[c, i, j] over the windows (i, j) whose maximum stands at (r, q)
//
// c counts the channels of all samples.
//
// Computes: one element of dx per invocation, from the at most ceil(KERNEL / STRIDE)^2 windows that cover it.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: place[c, i, j] is an index of x; dy counts where that is the invocation's own element.
// Why: gathers and does not scatter: no atomics, and always the same order.
// Measured: not measured.

override ELEMENTS: u32;    // of x
override HEIGHT: u32;      // of x
override WIDTH: u32;       // of x
override OUT_HEIGHT: u32;  // of y
override OUT_WIDTH: u32;   // of y
override KERNEL: u32;
override STRIDE: u32;
override PADDING: u32;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias Dx = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;        // [N, C, H', W']
@group(0) @binding(1) var<storage, read> place: array<u32>;    // [N, C, H', W'] of each window's maximum in x
@group(0) @binding(2) var<storage, read_write> dx: array<Dx>;  // [N, C, H, W]

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
    // The last window that begins at or before the element; those before it reach it too, up to the kernel's extent.
    let last_i = (row + PADDING) / STRIDE;
    let last_j = (column + PADDING) / STRIDE;
    let reach = (KERNEL + STRIDE - 1u) / STRIDE;
    var sum = 0.0;
    for (var back_i = 0u; back_i < reach; back_i++) {
        for (var back_j = 0u; back_j < reach; back_j++) {
            // Windows before the first have wrapped round to large numbers.
            let i = last_i - back_i;
            let j = last_j - back_j;
            if i < OUT_HEIGHT && j < OUT_WIDTH {
                let window = (channel * OUT_HEIGHT + i) * OUT_WIDTH + j;
                sum += select(0.0, f32(dy[window]), place[window] == index);
            }
        }
    }
    dx[index] = Dx(sum);
}
