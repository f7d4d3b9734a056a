// y[n, o, i, j] = [relu] (bias[o] + sum over c, u, v of weight[o, c, u, v] * x[n, c, i SY + u - PY, j SX + v - PX]
//     [+ residual[n, o, i, j]])
//
// Any kernel and stride, one group. With INPUT_GRADIENT x is dy, y is dx, and weight is [channels, out_channels, ...]:
// the gradient for the input. There y falls into SY SX classes of pixels (i mod SY, j mod SX); a class meets only every
// SY-th row and SX-th column of the kernel and is a convolution with stride 1 of its own. For 3x3 kernels with stride 2
// and padding 1 the classes meet these taps:
//
//     (0, 0)   . . .     (0, 1)   . . .     (1, 0)   . # .     (1, 1)   # . #
//              . # .              # . #              . . .              . . .
//              . . .              . . .              . # .              # . #
//
// Computes: 64 pixels of OUTPUTS_A_LANE channels per invocation, in the order sample, row, column of a class; a
//   workgroup, at most one subgroup, computes the same pixels of WORKGROUP * OUTPUTS_A_LANE channels. With STATISTICS
//   an invocation also writes the moments of its pixels of each channel.
// Grid: classes * ceil(pixels of the largest class / 64) * ceil(out_channels / (WORKGROUP * OUTPUTS_A_LANE)) workgroups
//   of WORKGROUP, channels first, classes last, folded into y past 65,535. Subgroups have 8 lanes or more; WORKGROUP is
//   a multiple of 8 and at most a subgroup.
// Memory: lanes stand for output channels and share their pixels, of which lane l of 0 to 7 loads l, l + 8, ..., l + 56
//   in two vec4; subgroupBroadcast hands them to all:
//
//     near.x of lanes 0 .. 7 = pixels 0 .. 7,   near.y = 8 .. 15,   near.z = 16 .. 23,  near.w = 24 .. 31
//     far.x                  = pixels 32 .. 39, far.y  = 40 .. 47,  far.z  = 48 .. 55,  far.w  = 56 .. 63
//
// Why: for CPU adapters, where loads cost most. The classes leave out the zeros of a stretched dy. Each tap is summed
//   on its own first, which keeps the rounding error of long sums small. From the moments
//   batch_norm/statistics_of_splits.wgsl computes mean and variance of y without reading it. Every invocation runs to
//   the end, for the broadcasts. The extents come from a buffer: one pipeline serves all shapes.
// Measured: lavapipe, 2 cores, subgroups of 8; GFLOP/s by CPU time, forward.wgsl in brackets: 3x3 stride 2, 16->16
//   48x48 batch 8 13 to 15 (0.7), its input gradient 6 to 11 (0.2).

override HAS_BIAS: bool;
override RESIDUAL: bool;
override RELU: bool;
override INPUT_GRADIENT: bool;
override STATISTICS: bool;     // not with RESIDUAL, RELU or INPUT_GRADIENT
override OUTPUTS_A_LANE: u32;  // 1, 2 or 4
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

@group(0) @binding(0) var<storage, read> x: array<X>;                    // [batch, channels, height, width]
@group(0) @binding(1) var<storage, read> weight: array<f32>;             // [out_channels, channels, kernel_height, kernel_width]; see INPUT_GRADIENT
@group(0) @binding(2) var<storage, read> bias: array<f32>;               // [out_channels]; anything where HAS_BIAS is false
@group(0) @binding(3) var<storage, read> residual: array<Residual>;      // [batch, out_channels, out_height, out_width]; anything where RESIDUAL is false
@group(0) @binding(4) var<storage, read> extents: Extents;
@group(0) @binding(5) var<storage, read_write> y: array<Y>;              // [batch, out_channels, out_height, out_width]
@group(0) @binding(6) var<storage, read_write> moments: array<Moments>;  // [out_channels, ceil(pixels / 64)]; any other where STATISTICS is false

// Number, mean and sum of squared deviations from that mean of 64 pixels, or of those that are left.
struct Moments { count: f32, mean: f32, squares: f32 }

// Pixels 8 k to 8 k + 3 in element 2 k, 8 k + 4 to 8 k + 7 in element 2 k + 1.
alias Pixels = array<vec4f, 16>;

fn spread(v: f32) -> array<vec4f, 2> {
    return array(
        vec4f(subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u)),
        vec4f(subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u)),
    );
}

fn spread_all(near: vec4f, far: vec4f) -> Pixels {
    let a = spread(near.x);
    let b = spread(near.y);
    let c = spread(near.z);
    let d = spread(near.w);
    let e = spread(far.x);
    let f = spread(far.y);
    let g = spread(far.z);
    let h = spread(far.w);
    return array(a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1], e[0], e[1], f[0], f[1], g[0], g[1], h[0], h[1]);
}

fn add(sum: Pixels, p: Pixels, tap: f32) -> Pixels {
    let w = vec4f(tap);
    return array(
        fma(p[0], w, sum[0]), fma(p[1], w, sum[1]), fma(p[2], w, sum[2]), fma(p[3], w, sum[3]),
        fma(p[4], w, sum[4]), fma(p[5], w, sum[5]), fma(p[6], w, sum[6]), fma(p[7], w, sum[7]),
        fma(p[8], w, sum[8]), fma(p[9], w, sum[9]), fma(p[10], w, sum[10]), fma(p[11], w, sum[11]),
        fma(p[12], w, sum[12]), fma(p[13], w, sum[13]), fma(p[14], w, sum[14]), fma(p[15], w, sum[15]),
    );
}

fn join(a: Pixels, b: Pixels) -> Pixels {
    return array(
        a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4], a[5] + b[5], a[6] + b[6], a[7] + b[7],
        a[8] + b[8], a[9] + b[9], a[10] + b[10], a[11] + b[11], a[12] + b[12], a[13] + b[13], a[14] + b[14], a[15] + b[15],
    );
}

// Pixels of one class of y: every output_stride-th row and column from the first on.
struct Class { first: vec2u, output_stride: vec2u, count: vec2u }

// A pixel of a class by its place in the class.
struct Cursor { sample: u32, row: u32, column: u32 }

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

// Stores one pixel of all channels of an invocation and moves on.
fn store(e: Extents, class_: Class, at: ptr<function, Cursor>, output: u32, value: vec4f) {
    if (*at).sample < e.batch {
        let pixel = (class_.first.y + (*at).row * class_.output_stride.y) * e.out_width + class_.first.x + (*at).column * class_.output_stride.x;
        let plane = e.out_height * e.out_width;
        let index = ((*at).sample * e.out_channels + output) * plane + pixel;
        if output < e.out_channels {
            y[index] = Y(finish(value.x, index));
        }
        if OUTPUTS_A_LANE > 1u && output + WORKGROUP < e.out_channels {
            y[index + WORKGROUP * plane] = Y(finish(value.y, index + WORKGROUP * plane));
        }
        if OUTPUTS_A_LANE > 2u && output + WORKGROUP * 2u < e.out_channels {
            y[index + WORKGROUP * 2u * plane] = Y(finish(value.z, index + WORKGROUP * 2u * plane));
        }
        if OUTPUTS_A_LANE > 2u && output + WORKGROUP * 3u < e.out_channels {
            y[index + WORKGROUP * 3u * plane] = Y(finish(value.w, index + WORKGROUP * 3u * plane));
        }
    }
    (*at).column += 1u;
    if (*at).column == class_.count.x {
        (*at).column = 0u;
        (*at).row += 1u;
    }
    if (*at).row == class_.count.y {
        (*at).row = 0u;
        (*at).sample += 1u;
    }
}

fn store_four(e: Extents, class_: Class, at: ptr<function, Cursor>, output: u32, a: vec4f, b: vec4f, c: vec4f, d: vec4f) {
    store(e, class_, at, output, vec4f(a.x, b.x, c.x, d.x));
    store(e, class_, at, output, vec4f(a.y, b.y, c.y, d.y));
    store(e, class_, at, output, vec4f(a.z, b.z, c.z, d.z));
    store(e, class_, at, output, vec4f(a.w, b.w, c.w, d.w));
}

fn start(output: u32) -> Pixels {
    let b = vec4f(select(0.0, bias[select(0u, output, HAS_BIAS)], HAS_BIAS));
    return array(b, b, b, b, b, b, b, b, b, b, b, b, b, b, b, b);
}

// `v`, pixels `first` to `first` + 3, with 0 for those from `pixels` on.
fn only(v: vec4f, first: u32, pixels: u32) -> vec4f {
    return select(vec4f(0.0), v, first + vec4u(0u, 1u, 2u, 3u) < vec4u(pixels));
}

// The squared deviations of the same.
fn deviations(v: vec4f, mean: f32, first: u32, pixels: u32) -> vec4f {
    let deviation = only(v - mean, first, pixels);
    return deviation * deviation;
}

// Writes the moments of the first `pixels` pixels of `p` where the output exists.
fn store_moments(e: Extents, p: Pixels, pixels: u32, output: u32, split: u32) {
    if output >= e.out_channels {
        return;
    }
    let sums = only(p[0], 0u, pixels) + only(p[1], 4u, pixels) + only(p[2], 8u, pixels) + only(p[3], 12u, pixels)
        + only(p[4], 16u, pixels) + only(p[5], 20u, pixels) + only(p[6], 24u, pixels) + only(p[7], 28u, pixels)
        + only(p[8], 32u, pixels) + only(p[9], 36u, pixels) + only(p[10], 40u, pixels) + only(p[11], 44u, pixels)
        + only(p[12], 48u, pixels) + only(p[13], 52u, pixels) + only(p[14], 56u, pixels) + only(p[15], 60u, pixels);
    let mean = dot(sums, vec4f(1.0)) / f32(pixels);
    let squares = deviations(p[0], mean, 0u, pixels) + deviations(p[1], mean, 4u, pixels)
        + deviations(p[2], mean, 8u, pixels) + deviations(p[3], mean, 12u, pixels)
        + deviations(p[4], mean, 16u, pixels) + deviations(p[5], mean, 20u, pixels)
        + deviations(p[6], mean, 24u, pixels) + deviations(p[7], mean, 28u, pixels)
        + deviations(p[8], mean, 32u, pixels) + deviations(p[9], mean, 36u, pixels)
        + deviations(p[10], mean, 40u, pixels) + deviations(p[11], mean, 44u, pixels)
        + deviations(p[12], mean, 48u, pixels) + deviations(p[13], mean, 52u, pixels)
        + deviations(p[14], mean, 56u, pixels) + deviations(p[15], mean, 60u, pixels);
    let splits_a_channel = (e.batch * e.out_height * e.out_width + 63u) / 64u;
    moments[output * splits_a_channel + split] = Moments(f32(pixels), mean, dot(squares, vec4f(1.0)));
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
    let e = extents;
    let lane = subgroup_lane % 8u;
    let index = workgroup.y * workgroups.x + workgroup.x;
    let blocks = (e.out_channels + WORKGROUP * OUTPUTS_A_LANE - 1u) / (WORKGROUP * OUTPUTS_A_LANE);
    let output = index % blocks * WORKGROUP * OUTPUTS_A_LANE + local;
    let last = e.out_channels - 1u;

    // Classes: one of all pixels, or for the gradient one for each residue.
    let stride = vec2u(e.stride_x, e.stride_y);
    let size = vec2u(e.out_width, e.out_height);
    let output_stride = select(vec2u(1u), stride, INPUT_GRADIENT);
    let largest = (size + output_stride - 1u) / output_stride;
    let tiles = (e.batch * largest.x * largest.y + 63u) / 64u;
    let tile = index / blocks % tiles;
    let number = min(index / (blocks * tiles), output_stride.x * output_stride.y - 1u);
    let first = vec2u(number % output_stride.x, number / output_stride.x);
    // A residue may have no pixel where y is smaller than the stride.
    let class_ = Class(first, output_stride, max((size + output_stride - 1u - first) / output_stride, vec2u(1u)));
    let exists = all(first < size);

    // Taps first_tap, first_tap + output_stride, ... of the kernel; the t-th of them reads x at origin + t or, for the gradient,
    // at origin - t.
    let padding = vec2u(e.padding_x, e.padding_y);
    let kernel = vec2u(e.kernel_width, e.kernel_height);
    let first_tap = select(vec2u(0u), (first + padding) % output_stride, INPUT_GRADIENT);
    let taps = (kernel + output_stride - 1u - min(first_tap, kernel)) / output_stride;
    let direction = select(1, -1, INPUT_GRADIENT);
    let near = vec4u(tile * 64u + lane) + vec4u(0u, 8u, 16u, 24u);
    let far = near + 32u;
    let near_line = near / class_.count.x;
    let far_line = far / class_.count.x;
    let near_sample = near_line / class_.count.y;
    let far_sample = far_line / class_.count.y;
    let shift = select(-vec2i(padding), vec2i((first + padding) / output_stride), INPUT_GRADIENT);
    let input_stride = select(stride, vec2u(1u), INPUT_GRADIENT);
    let near_row = vec4i((near_line - near_sample * class_.count.y) * input_stride.y) + shift.y;
    let far_row = vec4i((far_line - far_sample * class_.count.y) * input_stride.y) + shift.y;
    let near_column = vec4i((near - near_line * class_.count.x) * input_stride.x) + shift.x;
    let far_column = vec4i((far - far_line * class_.count.x) * input_stride.x) + shift.x;
    let plane = e.height * e.width;
    let kernel_area = e.kernel_height * e.kernel_width;
    let weight_output_stride = select(e.channels, 1u, INPUT_GRADIENT) * kernel_area;
    let weight_channel_stride = select(1u, e.out_channels, INPUT_GRADIENT) * kernel_area;

    var a = start(min(output, last));
    var b = start(min(output + WORKGROUP, last));
    var c = start(min(output + WORKGROUP * 2u, last));
    var d = start(min(output + WORKGROUP * 3u, last));
    for (var ty = 0u; ty < taps.y; ty++) {
        let u = first_tap.y + ty * output_stride.y;
        let near_y = near_row + direction * i32(ty);
        let far_y = far_row + direction * i32(ty);
        for (var tx = 0u; tx < taps.x; tx++) {
            let v = first_tap.x + tx * output_stride.x;
            let near_x = near_column + direction * i32(tx);
            let far_x = far_column + direction * i32(tx);
            let near_inside = (near_y >= vec4i(0)) & (near_y < vec4i(i32(e.height))) & (near_x >= vec4i(0))
                & (near_x < vec4i(i32(e.width))) & (near_sample < vec4u(e.batch));
            let far_inside = (far_y >= vec4i(0)) & (far_y < vec4i(i32(e.height))) & (far_x >= vec4i(0))
                & (far_x < vec4i(i32(e.width))) & (far_sample < vec4u(e.batch));
            let near_pixel = near_sample * e.channels * plane + vec4u(near_y * i32(e.width) + near_x);
            let far_pixel = far_sample * e.channels * plane + vec4u(far_y * i32(e.width) + far_x);
            var near_at = select(vec4u(0u), near_pixel, near_inside);
            var far_at = select(vec4u(0u), far_pixel, far_inside);
            let tap = u * e.kernel_width + v;
            var weight_a = min(output, last) * weight_output_stride + tap;
            var weight_b = min(output + WORKGROUP, last) * weight_output_stride + tap;
            var weight_c = min(output + WORKGROUP * 2u, last) * weight_output_stride + tap;
            var weight_d = min(output + WORKGROUP * 3u, last) * weight_output_stride + tap;
            // Each tap is summed on its own first, which keeps the rounding error of long sums small.
            let none = vec4f(0.0);
            var tap_a = array(
                none, none, none, none, none, none, none, none, none, none, none, none, none, none, none, none,
            );
            var tap_b = tap_a;
            var tap_c = tap_a;
            var tap_d = tap_a;
            for (var channel = 0u; channel < e.channels; channel++) {
                let near_value = vec4f(f32(x[near_at.x]), f32(x[near_at.y]), f32(x[near_at.z]), f32(x[near_at.w]));
                let far_value = vec4f(f32(x[far_at.x]), f32(x[far_at.y]), f32(x[far_at.z]), f32(x[far_at.w]));
                let pixels = spread_all(
                    select(vec4f(0.0), near_value, near_inside),
                    select(vec4f(0.0), far_value, far_inside),
                );
                tap_a = add(tap_a, pixels, weight[weight_a]);
                if OUTPUTS_A_LANE > 1u {
                    tap_b = add(tap_b, pixels, weight[weight_b]);
                }
                if OUTPUTS_A_LANE > 2u {
                    tap_c = add(tap_c, pixels, weight[weight_c]);
                    tap_d = add(tap_d, pixels, weight[weight_d]);
                }
                near_at += plane;
                far_at += plane;
                weight_a += weight_channel_stride;
                weight_b += weight_channel_stride;
                weight_c += weight_channel_stride;
                weight_d += weight_channel_stride;
            }
            a = join(a, tap_a);
            b = join(b, tap_b);
            c = join(c, tap_c);
            d = join(d, tap_d);
        }
    }

    if !exists || index >= blocks * tiles * output_stride.x * output_stride.y {
        return;
    }
    let line = tile * 64u / class_.count.x;
    var at = Cursor(line / class_.count.y, line % class_.count.y, tile * 64u % class_.count.x);
    store_four(e, class_, &at, output, a[0], b[0], c[0], d[0]);
    store_four(e, class_, &at, output, a[1], b[1], c[1], d[1]);
    store_four(e, class_, &at, output, a[2], b[2], c[2], d[2]);
    store_four(e, class_, &at, output, a[3], b[3], c[3], d[3]);
    store_four(e, class_, &at, output, a[4], b[4], c[4], d[4]);
    store_four(e, class_, &at, output, a[5], b[5], c[5], d[5]);
    store_four(e, class_, &at, output, a[6], b[6], c[6], d[6]);
    store_four(e, class_, &at, output, a[7], b[7], c[7], d[7]);
    store_four(e, class_, &at, output, a[8], b[8], c[8], d[8]);
    store_four(e, class_, &at, output, a[9], b[9], c[9], d[9]);
    store_four(e, class_, &at, output, a[10], b[10], c[10], d[10]);
    store_four(e, class_, &at, output, a[11], b[11], c[11], d[11]);
    store_four(e, class_, &at, output, a[12], b[12], c[12], d[12]);
    store_four(e, class_, &at, output, a[13], b[13], c[13], d[13]);
    store_four(e, class_, &at, output, a[14], b[14], c[14], d[14]);
    store_four(e, class_, &at, output, a[15], b[15], c[15], d[15]);
    if STATISTICS {
        let pixels = min(e.batch * e.out_height * e.out_width - tile * 64u, 64u);
        store_moments(e, a, pixels, output, tile);
        if OUTPUTS_A_LANE > 1u {
            store_moments(e, b, pixels, output + WORKGROUP, tile);
        }
        if OUTPUTS_A_LANE > 2u {
            store_moments(e, c, pixels, output + WORKGROUP * 2u, tile);
            store_moments(e, d, pixels, output + WORKGROUP * 3u, tile);
        }
    }
}
