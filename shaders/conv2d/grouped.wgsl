// y[n, o, i, j] = [relu] (bias[o] + sum over c, u, v of
//     weight[o, c, u, v] * x[n, g C/G + c, i SY + u - PY, j SX + v - PX] [+ residual[n, o, i, j]])
//
// Any kernel, stride and groups; made for few channels c per group g. With INPUT_GRADIENT x is dy, y is dx, and weight
// is [channels, out_channels / groups, ...]: the gradient for the input. There y falls into SY SX classes of pixels (i
// mod SY, j mod SX) that meet different taps; tiled.wgsl draws them.
//
// Computes: four pixels in a row of a class, for OUTPUTS channels of one group, per invocation.
// Grid: classes * out_channels / OUTPUTS * ceil(vec4 of the largest class / WORKGROUP) workgroups of WORKGROUP,
//   channels first, classes last, folded into y past 65,535.
// Memory: x by single elements, which each serve OUTPUTS channels; a tap serves four pixels.
// Why: fewer loads per multiply-add than the plain kernels; the classes leave out the zeros of a stretched dy. The
//   extents come from a buffer: one pipeline serves all shapes.
// Measured: lavapipe, 2 cores; GFLOP/s by CPU time, the plain kernel in brackets: 3x3 stride 2 of 15 groups of 2->2
//   channels, 24x24 batch 8: 1.0 to 1.5 (1.0), its input gradient 0.7 (0.3).

override HAS_BIAS: bool;
override RESIDUAL: bool;
override RELU: bool;
override INPUT_GRADIENT: bool;
override OUTPUTS: u32;  // 1, or 2 where out_channels / groups is even
override WORKGROUP: u32;

struct Extents {
    batch: u32,
    channels: u32,
    height: u32,
    width: u32,
    out_channels: u32,
    out_height: u32,
    out_width: u32,
    padding_y: u32,
    padding_x: u32,
    kernel_height: u32,
    kernel_width: u32,
    stride_y: u32,
    stride_x: u32,
    groups: u32,
    splits: u32,  // of a weight gradient, otherwise 1
}

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Residual = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;                // [batch, channels, height, width]
@group(0) @binding(1) var<storage, read> weight: array<f32>;         // [out_channels, channels / groups, kernel_height, kernel_width]; see INPUT_GRADIENT
@group(0) @binding(2) var<storage, read> bias: array<f32>;           // [out_channels]; anything where HAS_BIAS is false
@group(0) @binding(3) var<storage, read> residual: array<Residual>;  // [batch, out_channels, out_height, out_width]; anything where RESIDUAL is false
@group(0) @binding(4) var<storage, read> extents: Extents;
@group(0) @binding(5) var<storage, read_write> y: array<Y>;          // [batch, out_channels, out_height, out_width]

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

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let e = extents;
    let index = workgroup.y * workgroups.x + workgroup.x;
    let blocks = e.out_channels / OUTPUTS;
    let output = index % blocks * OUTPUTS;

    // Classes: one of all pixels, or for the gradient one for each residue.
    let stride = vec2u(e.stride_x, e.stride_y);
    let size = vec2u(e.out_width, e.out_height);
    let output_stride = select(vec2u(1u), stride, INPUT_GRADIENT);
    let largest = (size + output_stride - 1u) / output_stride;
    let items = (e.batch * largest.y * ((largest.x + 3u) / 4u) + WORKGROUP - 1u) / WORKGROUP;
    let item = index / blocks % items * WORKGROUP + local;
    let number = index / (blocks * items);
    let first = vec2u(number % output_stride.x, number / output_stride.x);
    // A residue may have no pixel where y is smaller than the stride.
    if number >= output_stride.x * output_stride.y || any(first >= size) {
        return;
    }
    let count = (size + output_stride - 1u - first) / output_stride;
    let vectors = (count.x + 3u) / 4u;
    let sample = item / (vectors * count.y);
    if sample >= e.batch {
        return;
    }
    let i = item / vectors % count.y;
    let j = item % vectors * 4u;

    // Taps first_tap, first_tap + output_stride, ... of the kernel; the t-th of them reads x at origin + t or, for the gradient,
    // at origin - t.
    let padding = vec2u(e.padding_x, e.padding_y);
    let kernel = vec2u(e.kernel_width, e.kernel_height);
    let first_tap = select(vec2u(0u), (first + padding) % output_stride, INPUT_GRADIENT);
    let taps = (kernel + output_stride - 1u - min(first_tap, kernel)) / output_stride;
    let direction = select(1, -1, INPUT_GRADIENT);
    let shift = select(-vec2i(padding), vec2i((first + padding) / output_stride), INPUT_GRADIENT);
    let input_stride = select(stride, vec2u(1u), INPUT_GRADIENT);
    let row = i32(i * input_stride.y) + shift.y;
    let column = vec4i((vec4u(j) + vec4u(0u, 1u, 2u, 3u)) * input_stride.x) + shift.x;

    let channels = e.channels / e.groups;
    let outputs = e.out_channels / e.groups;
    let group = output / outputs;
    let kernel_area = e.kernel_height * e.kernel_width;
    // Elements of the weight from one output to the next, and from one channel to the next.
    let weight_output_stride = select(channels, 1u, INPUT_GRADIENT) * kernel_area;
    let weight_channel_stride = select(1u, outputs, INPUT_GRADIENT) * kernel_area;
    let forward = output * channels;
    let backward = group * channels * outputs + output % outputs;
    let start = select(forward, backward, INPUT_GRADIENT) * kernel_area;

    var a = vec4f(select(0.0, bias[select(0u, output, HAS_BIAS)], HAS_BIAS));
    var b = vec4f(select(0.0, bias[select(0u, output + OUTPUTS - 1u, HAS_BIAS)], HAS_BIAS));
    for (var channel = 0u; channel < channels; channel++) {
        let plane = (sample * e.channels + group * channels + channel) * e.height * e.width;
        for (var ty = 0u; ty < taps.y; ty++) {
            let at_row = row + direction * i32(ty);
            for (var tx = 0u; tx < taps.x; tx++) {
                let at_column = column + direction * i32(tx);
                let inside = (at_column >= vec4i(0)) & (at_column < vec4i(i32(e.width)))
                    & vec4<bool>(at_row >= 0 && at_row < i32(e.height));
                let at = select(vec4u(0u), plane + vec4u(at_row * i32(e.width) + at_column), inside);
                let pixels = select(vec4f(0.0), vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w])), inside);
                let tap = start + channel * weight_channel_stride
                    + (first_tap.y + ty * output_stride.y) * e.kernel_width + first_tap.x + tx * output_stride.x;
                a = fma(pixels, vec4f(weight[tap]), a);
                if OUTPUTS > 1u {
                    b = fma(pixels, vec4f(weight[tap + weight_output_stride]), b);
                }
            }
        }
    }

    let plane = e.out_height * e.out_width;
    let at = (sample * e.out_channels + output) * plane + (first.y + i * output_stride.y) * e.out_width + first.x + j * output_stride.x;
    for (var pixel = 0u; pixel < min(4u, count.x - j); pixel++) {
        y[at + pixel * output_stride.x] = Y(finish(a[pixel], at + pixel * output_stride.x));
        if OUTPUTS > 1u {
            y[at + pixel * output_stride.x + plane] = Y(finish(b[pixel], at + pixel * output_stride.x + plane));
        }
    }
}
