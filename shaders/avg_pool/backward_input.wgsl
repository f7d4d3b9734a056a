// dx[c, p, q] = sum of dy[c, i, j] / K^2 over the windows (i, j) that hold (p, q)      K = KERNEL, S = STRIDE, P = PADDING
//
// Window i holds row p where i S <= p + P <= i S + K - 1. c counts the channels of all samples.
//
// Computes: one element of dx per invocation; windows are added in reading order.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: about (K / S)^2 loads per invocation; those of neighbours overlap.
// Why: the plain kernel; gathering needs no atomics.
// Measured: not measured.

override ELEMENTS: u32;    // of dx
override HEIGHT: u32;      // of dx
override WIDTH: u32;       // of dx
override OUT_HEIGHT: u32;  // of dy
override OUT_WIDTH: u32;   // of dy
override KERNEL: u32;
override STRIDE: u32;
override PADDING: u32;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias Dx = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;        // [N, C, H', W']
@group(0) @binding(1) var<storage, read_write> dx: array<Dx>;  // [N, C, H, W]

/// The first of the windows that hold an element whose distance from the edge of the padding is `place`.
fn first_window(place: u32) -> u32 {
    return (max(place + STRIDE, KERNEL) - KERNEL) / STRIDE;
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
    let right = index % WIDTH + PADDING;
    let down = index / WIDTH % HEIGHT + PADDING;
    let channel = index / (WIDTH * HEIGHT);
    var sum = 0.0;
    for (var i = first_window(down); i <= min(down / STRIDE, OUT_HEIGHT - 1u); i++) {
        for (var j = first_window(right); j <= min(right / STRIDE, OUT_WIDTH - 1u); j++) {
            sum += f32(dy[(channel * OUT_HEIGHT + i) * OUT_WIDTH + j]);
        }
    }
    dx[index] = Dx(sum / f32(KERNEL * KERNEL));
}
