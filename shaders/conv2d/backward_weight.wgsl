// splits[k, o, c, u, v] = sum over the samples n of split k, over i, j of
//     dy[n, o, i, j] * x[n, g C/G + c, i SY + u - PY, j SX + v - PX]
//
// Computes: one weight of one split per invocation; a split is ceil(BATCH / SPLITS) samples.
// Grid: ceil(SPLITS * weights / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read overlapping x and the same dy.
// Why: the plain kernel: the gradient of forward.wgsl for the weight. sum_splits.wgsl adds the splits; a single one is
//   the gradient. Rows and samples are summed on their own first, which keeps the rounding error of long sums small.
// Measured: the others compare themselves with it.

override BATCH: u32;
override CHANNELS: u32;
override HEIGHT: u32;
override WIDTH: u32;
override OUT_CHANNELS: u32;
override OUT_HEIGHT: u32;
override OUT_WIDTH: u32;
override KERNEL_HEIGHT: u32;
override KERNEL_WIDTH: u32;
override STRIDE_Y: u32;
override STRIDE_X: u32;
override PADDING_Y: u32;
override PADDING_X: u32;
override GROUPS: u32;
override SPLITS: u32;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias X = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;             // [BATCH, OUT_CHANNELS, OUT_HEIGHT, OUT_WIDTH]
@group(0) @binding(1) var<storage, read> x: array<X>;               // [BATCH, CHANNELS, HEIGHT, WIDTH]
@group(0) @binding(2) var<storage, read_write> splits: array<f32>;  // [SPLITS, OUT_CHANNELS, CHANNELS / GROUPS, KERNEL_HEIGHT, KERNEL_WIDTH]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    let channels = CHANNELS / GROUPS;
    let weights = OUT_CHANNELS * channels * KERNEL_HEIGHT * KERNEL_WIDTH;
    if index >= SPLITS * weights {
        return;
    }
    let v = index % KERNEL_WIDTH;
    let u = index / KERNEL_WIDTH % KERNEL_HEIGHT;
    let output = index / (KERNEL_WIDTH * KERNEL_HEIGHT * channels) % OUT_CHANNELS;
    let channel = index / (KERNEL_WIDTH * KERNEL_HEIGHT) % channels + output / (OUT_CHANNELS / GROUPS) * channels;
    let samples = (BATCH + SPLITS - 1u) / SPLITS;
    let first = index / weights * samples;

    var sum = 0.0;
    for (var sample = first; sample < min(first + samples, BATCH); sample++) {
        var sample_sum = 0.0;
        for (var i = 0u; i < OUT_HEIGHT; i++) {
            let row = i32(i * STRIDE_Y + u) - i32(PADDING_Y);
            if row < 0 || row >= i32(HEIGHT) {
                continue;
            }
            let dy_row = ((sample * OUT_CHANNELS + output) * OUT_HEIGHT + i) * OUT_WIDTH;
            let x_row = ((sample * CHANNELS + channel) * HEIGHT + u32(row)) * WIDTH;
            var row_sum = 0.0;
            for (var j = 0u; j < OUT_WIDTH; j++) {
                let column = i32(j * STRIDE_X + v) - i32(PADDING_X);
                if column >= 0 && column < i32(WIDTH) {
                    row_sum = fma(f32(dy[dy_row + j]), f32(x[x_row + u32(column)]), row_sum);
                }
            }
            sample_sum += row_sum;
        }
        sum += sample_sum;
    }
    splits[index] = sum;
}
