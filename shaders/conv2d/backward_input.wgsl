// dx[n, c, h, w] = sum over o, u, v of weight[o, c - g C/G, u, v] * dy[n, o, (h + PY - u) / SY, (w + PX - v) / SX]
//     [+ residual[n, c, h, w]]
//
// o counts the outputs of c's group g; only quotients that are whole and inside dy count.
//
// Computes: one element of dx per invocation.
// Grid: ceil(elements / 64) workgroups of 64, folded into y past 65,535.
// Memory: of the taps only every STRIDE_Y-th row and STRIDE_X-th column is read, those that make the quotients whole.
// Why: the plain kernel: the gradient of forward.wgsl for x.
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
override RESIDUAL: bool;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias Residual = f32;
alias Dx = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;              // [BATCH, OUT_CHANNELS, OUT_HEIGHT, OUT_WIDTH]
@group(0) @binding(1) var<storage, read> weight: array<f32>;         // [OUT_CHANNELS, CHANNELS / GROUPS, KERNEL_HEIGHT, KERNEL_WIDTH]
@group(0) @binding(2) var<storage, read> residual: array<Residual>;  // like dx; anything where RESIDUAL is false
@group(0) @binding(3) var<storage, read_write> dx: array<Dx>;        // [BATCH, CHANNELS, HEIGHT, WIDTH]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= BATCH * CHANNELS * HEIGHT * WIDTH {
        return;
    }
    let column = index % WIDTH + PADDING_X;
    let row = index / WIDTH % HEIGHT + PADDING_Y;
    let channel = index / (WIDTH * HEIGHT) % CHANNELS;
    let sample = index / (WIDTH * HEIGHT * CHANNELS);
    let channels = CHANNELS / GROUPS;
    let outputs = OUT_CHANNELS / GROUPS;
    let first = channel / channels * outputs;

    var sum = 0.0;
    for (var output = first; output < first + outputs; output++) {
        let plane = (sample * OUT_CHANNELS + output) * OUT_HEIGHT;
        let taps = (output * channels + channel % channels) * KERNEL_HEIGHT;
        // The first u that makes the quotient whole; from there on every STRIDE_Y-th does.
        for (var u = row % STRIDE_Y; u < KERNEL_HEIGHT; u += STRIDE_Y) {
            if row < u || (row - u) / STRIDE_Y >= OUT_HEIGHT {
                continue;
            }
            let at_row = plane + (row - u) / STRIDE_Y;
            for (var v = column % STRIDE_X; v < KERNEL_WIDTH; v += STRIDE_X) {
                if column < v || (column - v) / STRIDE_X >= OUT_WIDTH {
                    continue;
                }
                let value = f32(dy[at_row * OUT_WIDTH + (column - v) / STRIDE_X]);
                sum = fma(weight[(taps + u) * KERNEL_WIDTH + v], value, sum);
            }
        }
    }
    if RESIDUAL {
        sum += f32(residual[index]);
    }
    dx[index] = Dx(sum);
}
