// y[c, i, j] = sum over u, v of theta[c, u, v] x[c, i + u - TOP, j + v - LEFT], with x = 0 outside the map
//
// c counts the channels of all samples. With ROTATED theta is rotated by 180 degrees: with TOP and LEFT mirrored too,
// this is the transpose, which computes dx from dy.
//
// Computes: 8 neighbouring columns of a row per invocation, in 64 invocations per workgroup.
// Grid: ceil(CHANNELS * HEIGHT * ceil(WIDTH / 8) / 64) workgroups of 64, folded into y past 65,535.
// Memory: along a row u of the kernel an invocation holds the 8 elements of x that meet the tap, and shifts in one more
//   per tap: 7 + KERNEL_WIDTH loads of x and KERNEL_WIDTH of theta for 8 KERNEL_WIDTH multiply-adds.
//
//     f = j - LEFT            a                     b
//     v = 0      x[f    f+1  f+2  f+3 |  f+4  f+5  f+6  f+7 ]      y[j .. j+7] += theta[v] * (a, b)
//     v = 1      x[f+1  f+2  f+3  f+4 |  f+5  f+6  f+7  f+8 ]      load x[f+8] only
//     v = 2      x[f+2  f+3  f+4  f+5 |  f+6  f+7  f+8  f+9 ]      load x[f+9] only
//
// Why: loads cost most; each of x serves up to 8 outputs.
// Measured: workgroups by channel, so that theta is uniform: forward 20 % faster at 64x64 with 7x7, nothing for dx,
//   slower on small maps, and not kept (lavapipe, 2 cores).

override CHANNELS: u32;  // N C
override HEIGHT: u32;
override WIDTH: u32;
override KERNEL_HEIGHT: u32;
override KERNEL_WIDTH: u32;
override TOP: u32;
override LEFT: u32;
override ROTATED: bool;

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Theta = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;          // [N, C, H, W]
@group(0) @binding(1) var<storage, read> theta: array<Theta>;  // [N, C, KERNEL_HEIGHT, KERNEL_WIDTH]
@group(0) @binding(2) var<storage, read_write> y: array<Y>;    // [N, C, H, W]

/// Element of the row of x that begins at `start`. Columns left of it have wrapped round to large numbers.
fn element(start: u32, column: u32) -> f32 {
    return select(0.0, f32(x[start + min(column, WIDTH - 1u)]), column < WIDTH);
}

fn store(start: u32, column: u32, value: f32) {
    if column < WIDTH {
        y[start + column] = Y(value);
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    let strips = (WIDTH + 7u) / 8u;
    if index >= CHANNELS * HEIGHT * strips {
        return;
    }
    let j = index % strips * 8u;
    let i = index / strips % HEIGHT;
    let channel = index / (strips * HEIGHT);
    let taps = KERNEL_HEIGHT * KERNEL_WIDTH;

    var low = vec4f();
    var high = vec4f();
    for (var u = 0u; u < KERNEL_HEIGHT; u++) {
        // Rows above the map have wrapped round to large numbers.
        let row = i + u - TOP;
        if row >= HEIGHT {
            continue;
        }
        let start = (channel * HEIGHT + row) * WIDTH;
        let first = j - LEFT;
        var a = vec4f(0.0, element(start, first), element(start, first + 1u), element(start, first + 2u));
        var b = vec4f(element(start, first + 3u), element(start, first + 4u), element(start, first + 5u),
            element(start, first + 6u));
        for (var v = 0u; v < KERNEL_WIDTH; v++) {
            a = vec4f(a.yzw, b.x);
            b = vec4f(b.yzw, element(start, first + 7u + v));
            let tap = u * KERNEL_WIDTH + v;
            let weight = vec4f(f32(theta[channel * taps + select(tap, taps - 1u - tap, ROTATED)]));
            low = fma(weight, a, low);
            high = fma(weight, b, high);
        }
    }

    let start = (channel * HEIGHT + i) * WIDTH;
    store(start, j, low.x);
    store(start, j + 1u, low.y);
    store(start, j + 2u, low.z);
    store(start, j + 3u, low.w);
    store(start, j + 4u, high.x);
    store(start, j + 5u, high.y);
    store(start, j + 6u, high.z);
    store(start, j + 7u, high.w);
}
