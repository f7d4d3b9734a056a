// y[n, o, i, j] = [relu] (bias[o] + sum over c, u, v of
//     weight[o, c, u, v] * x[n, g C/G + c, i SY + u - PY, j SX + v - PX] [+ residual[n, o, i, j]])
//
// c counts the C/G = CHANNELS / GROUPS channels of o's group g; x is 0 outside the picture. Any kernel, stride, padding
// and groups.
//
// Computes: one output per invocation.
// Grid: ceil(outputs / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read neighbouring x and the same weight, and write neighbouring y.
// Why: the plain kernel. Each channel is summed on its own first, which keeps the rounding error of long sums small.
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
override HAS_BIAS: bool;
override RESIDUAL: bool;
override RELU: bool;

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Residual = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;                // [BATCH, CHANNELS, HEIGHT, WIDTH]
@group(0) @binding(1) var<storage, read> weight: array<f32>;         // [OUT_CHANNELS, CHANNELS / GROUPS, KERNEL_HEIGHT, KERNEL_WIDTH]
@group(0) @binding(2) var<storage, read> bias: array<f32>;           // [OUT_CHANNELS]; anything where HAS_BIAS is false
@group(0) @binding(3) var<storage, read> residual: array<Residual>;  // [BATCH, OUT_CHANNELS, OUT_HEIGHT, OUT_WIDTH]; anything where RESIDUAL is false
@group(0) @binding(4) var<storage, read_write> y: array<Y>;          // [BATCH, OUT_CHANNELS, OUT_HEIGHT, OUT_WIDTH]

// What follows the convolution.
fn finish(value: f32, at: u32) -> f32 {
    var result = value;
    if RESIDUAL {
        result += f32(residual[at]);
    }
    if RELU {
        result = max(result, 0.0);
    }
    return result;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= BATCH * OUT_CHANNELS * OUT_HEIGHT * OUT_WIDTH {
        return;
    }
    let column = i32(index % OUT_WIDTH * STRIDE_X) - i32(PADDING_X);
    let row = i32(index / OUT_WIDTH % OUT_HEIGHT * STRIDE_Y) - i32(PADDING_Y);
    let output = index / (OUT_WIDTH * OUT_HEIGHT) % OUT_CHANNELS;
    let sample = index / (OUT_WIDTH * OUT_HEIGHT * OUT_CHANNELS);
    let channels = CHANNELS / GROUPS;
    let first = output / (OUT_CHANNELS / GROUPS) * channels;

    var sum = 0.0;
    for (var channel = 0u; channel < channels; channel++) {
        var channel_sum = 0.0;
        let plane = (sample * CHANNELS + first + channel) * HEIGHT;
        let taps = (output * channels + channel) * KERNEL_HEIGHT;
        for (var u = 0u; u < KERNEL_HEIGHT; u++) {
            let at_row = row + i32(u);
            if at_row < 0 || at_row >= i32(HEIGHT) {
                continue;
            }
            for (var v = 0u; v < KERNEL_WIDTH; v++) {
                let at_column = column + i32(v);
                if at_column < 0 || at_column >= i32(WIDTH) {
                    continue;
                }
                let value = f32(x[(plane + u32(at_row)) * WIDTH + u32(at_column)]);
                channel_sum = fma(weight[(taps + u) * KERNEL_WIDTH + v], value, channel_sum);
            }
        }
        sum += channel_sum;
    }
    if HAS_BIAS {
        sum += bias[output];
    }
    y[index] = Y(finish(sum, index));
}
