// y[n, o, p] = [relu] (bias[o] + sum over c of weight[o, c] * x[n, c, p] [+ residual[n, o, p]])
//
// 1x1 kernels with stride 1, no padding and one group: a product of matrices. With INPUT_GRADIENT x is dy, y is dx, and
// weight is [channels, out_channels]: the gradient for the input. height * width and channels are multiples of 4, with
// INPUT_GRADIENT out_channels too.
//
// Computes: 32 pixels of OUTPUTS_A_LANE channels in a row per invocation; a workgroup, at most one subgroup, computes
//   the same pixels of WORKGROUP * OUTPUTS_A_LANE channels. With STATISTICS an invocation also writes the moments of
//   its pixels of each channel.
// Grid: ceil(batch * height * width / 32) * ceil(out_channels / (WORKGROUP * OUTPUTS_A_LANE)) workgroups of WORKGROUP,
//   channels first, folded into y past 65,535. Subgroups have 8 lanes or more; WORKGROUP is a multiple of 8 and at most
//   a subgroup.
// Memory: lanes stand for output channels and share their pixels, which lanes 0 to 7 load as one vec4 each and
//   subgroupBroadcast hands to all:
//
//     lane       0         1         2       ...   7
//     pixels     0 .. 3    4 .. 7    8 .. 11       28 .. 31
//
//   The four loads of a step are four channels c. A lane's taps of those are one vec4 per output; with INPUT_GRADIENT,
//   where an output's taps lie apart, one vec4 per channel that holds the lane's outputs.
// Why: for CPU adapters, where loads cost most. Four products join the others as one sum, which keeps the rounding
//   error of long sums small. From the moments batch_norm/statistics_of_splits.wgsl computes mean and variance of y
//   without reading it. Every invocation runs to the end, for the broadcasts. The extents come from a buffer: one
//   pipeline serves all shapes.
// Measured: lavapipe, 2 cores, subgroups of 8; GFLOP/s by CPU time, tiled.wgsl and forward.wgsl in brackets: 256->64
//   64x64 batch 4 28 to 31 (15, 0.6), 64->16 24x24 batch 8 13 to 17 (7 to 9, 0.5).

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

@group(0) @binding(0) var<storage, read> x: array<vec4<X>>;                // [batch, channels, height, width] as vec4
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;             // [out_channels, channels] as vec4; see INPUT_GRADIENT
@group(0) @binding(2) var<storage, read> bias: array<f32>;                 // [out_channels]; anything where HAS_BIAS is false
@group(0) @binding(3) var<storage, read> residual: array<vec4<Residual>>;  // [batch, out_channels, height, width] as vec4; anything where RESIDUAL is false
@group(0) @binding(4) var<storage, read> extents: Extents;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<Y>>;          // [batch, out_channels, height, width] as vec4
@group(0) @binding(6) var<storage, read_write> moments: array<Moments>;    // [out_channels, ceil(pixels / 32)]; any other where STATISTICS is false

// Number, mean and sum of squared deviations from that mean of 32 pixels, or of those that are left.
struct Moments { count: f32, mean: f32, squares: f32 }

// 32 pixels of a channel.
alias Pixels = array<vec4f, 8>;

// A lane's weights for four channels; element k is that of its k-th output.
alias Weights = array<vec4f, 4>;

fn spread(v: vec4f) -> Pixels {
    return Pixels(
        subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u),
        subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u),
    );
}

// All four products of a pixel before the next one, so that their sum stays in a register meanwhile. They join the others
// as one, which keeps the rounding error of long sums small.
fn add_vec4(sum: vec4f, a: vec4f, b: vec4f, c: vec4f, d: vec4f, w: vec4f) -> vec4f {
    return sum + fma(d, vec4f(w.w), fma(c, vec4f(w.z), fma(b, vec4f(w.y), a * w.x)));
}

fn add(sum: Pixels, a: Pixels, b: Pixels, c: Pixels, d: Pixels, w: vec4f) -> Pixels {
    return Pixels(
        add_vec4(sum[0], a[0], b[0], c[0], d[0], w), add_vec4(sum[1], a[1], b[1], c[1], d[1], w),
        add_vec4(sum[2], a[2], b[2], c[2], d[2], w), add_vec4(sum[3], a[3], b[3], c[3], d[3], w),
        add_vec4(sum[4], a[4], b[4], c[4], d[4], w), add_vec4(sum[5], a[5], b[5], c[5], d[5], w),
        add_vec4(sum[6], a[6], b[6], c[6], d[6], w), add_vec4(sum[7], a[7], b[7], c[7], d[7], w),
    );
}

// The weights of OUTPUTS_A_LANE outputs from `output` on for one channel, which lie in one vec4.
fn load_column(e: Extents, output: u32, channel: u32) -> vec4f {
    let vector = weight[(channel * e.out_channels + output) / 4u];
    let half = select(vector, vector.zwzw, (output & 2u) != 0u);
    if OUTPUTS_A_LANE == 1u {
        return select(half, half.yyyy, (output & 1u) != 0u);
    }
    if OUTPUTS_A_LANE == 2u {
        return half;
    }
    return vector;
}

fn load_weights(e: Extents, output: u32, channel: u32) -> Weights {
    if INPUT_GRADIENT {
        let a = load_column(e, output, channel);
        let b = load_column(e, output, channel + 1u);
        let c = load_column(e, output, channel + 2u);
        let d = load_column(e, output, channel + 3u);
        return Weights(
            vec4f(a.x, b.x, c.x, d.x), vec4f(a.y, b.y, c.y, d.y), vec4f(a.z, b.z, c.z, d.z), vec4f(a.w, b.w, c.w, d.w),
        );
    }
    let row = channel / 4u;
    let rows = e.channels / 4u;
    let last = e.out_channels - 1u;
    var weights = Weights();
    weights[0] = weight[output * rows + row];
    if OUTPUTS_A_LANE > 1u {
        weights[1] = weight[min(output + 1u, last) * rows + row];
    }
    if OUTPUTS_A_LANE > 2u {
        weights[2] = weight[min(output + 2u, last) * rows + row];
        weights[3] = weight[min(output + 3u, last) * rows + row];
    }
    return weights;
}

// Past the last vec4.
const NOWHERE = 0xffffffffu;

fn start(output: u32) -> Pixels {
    let b = vec4f(select(0.0, bias[select(0u, output, HAS_BIAS)], HAS_BIAS));
    return Pixels(b, b, b, b, b, b, b, b);
}

// What follows the convolution.
fn finish_vec4(value: vec4f, at: u32) -> vec4f {
    var result = value;
    if RESIDUAL {
        result += vec4f(residual[at]);
    }
    if RELU {
        result = max(result, vec4f(0.0));
    }
    return result;
}

// Stores one vec4 of pixels of all channels of an invocation; `to` is where it goes in channel 0.
fn store_vec4(e: Extents, to: u32, output: u32, a: vec4f, b: vec4f, c: vec4f, d: vec4f) {
    let vectors = e.height * e.width / 4u;
    let at = to + output * vectors;
    if to == NOWHERE {
        return;
    }
    if output < e.out_channels {
        y[at] = vec4<Y>(finish_vec4(a, at));
    }
    if OUTPUTS_A_LANE > 1u && output + 1u < e.out_channels {
        y[at + vectors] = vec4<Y>(finish_vec4(b, at + vectors));
    }
    if OUTPUTS_A_LANE > 2u && output + 2u < e.out_channels {
        y[at + vectors * 2u] = vec4<Y>(finish_vec4(c, at + vectors * 2u));
    }
    if OUTPUTS_A_LANE > 2u && output + 3u < e.out_channels {
        y[at + vectors * 3u] = vec4<Y>(finish_vec4(d, at + vectors * 3u));
    }
}

// Writes the moments of the first `vectors` vec4 of `p` where the output exists.
fn store_moments(e: Extents, p: Pixels, vectors: u32, output: u32, split: u32) {
    if output >= e.out_channels {
        return;
    }
    let near = select(vec4f(0.0), vec4f(1.0), vec4u(0u, 1u, 2u, 3u) < vec4u(vectors));
    let far = select(vec4f(0.0), vec4f(1.0), vec4u(4u, 5u, 6u, 7u) < vec4u(vectors));
    let pixels = 4.0 * f32(vectors);
    let sums = p[0] * near.x + p[1] * near.y + p[2] * near.z + p[3] * near.w
        + p[4] * far.x + p[5] * far.y + p[6] * far.z + p[7] * far.w;
    let mean = dot(sums, vec4f(1.0)) / pixels;
    let squares = square(p[0] - mean) * near.x + square(p[1] - mean) * near.y + square(p[2] - mean) * near.z
        + square(p[3] - mean) * near.w + square(p[4] - mean) * far.x + square(p[5] - mean) * far.y
        + square(p[6] - mean) * far.z + square(p[7] - mean) * far.w;
    let splits_a_channel = (e.batch * e.height * e.width + 31u) / 32u;
    moments[output * splits_a_channel + split] = Moments(pixels, mean, dot(squares, vec4f(1.0)));
}

fn square(v: vec4f) -> vec4f {
    return v * v;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
    let e = extents;
    let index = workgroup.y * workgroups.x + workgroup.x;
    let blocks = (e.out_channels + WORKGROUP * OUTPUTS_A_LANE - 1u) / (WORKGROUP * OUTPUTS_A_LANE);
    let output = (index % blocks * WORKGROUP + local) * OUTPUTS_A_LANE;
    let first = index / blocks * 8u;
    let vectors = e.height * e.width / 4u;
    let vector = min(first + subgroup_lane % 8u, e.batch * vectors - 1u);
    let sample = vector / vectors;
    let source = (sample * (e.channels - 1u)) * vectors + vector;
    let place = select((sample * (e.out_channels - 1u)) * vectors + vector, NOWHERE, first + subgroup_lane % 8u > vector);
    let last = e.out_channels - 1u;
    // With INPUT_GRADIENT out_channels is a multiple of 4, and so the vec4 of a clamped output still starts at a fourth.
    let clamped = min(output, last / OUTPUTS_A_LANE * OUTPUTS_A_LANE);

    var a = start(min(output, last));
    var b = start(min(output + 1u, last));
    var c = start(min(output + 2u, last));
    var d = start(min(output + 3u, last));
    for (var channel = 0u; channel < e.channels; channel += 4u) {
        let at = source + channel * vectors;
        let p = spread(vec4f(x[at]));
        let q = spread(vec4f(x[at + vectors]));
        let r = spread(vec4f(x[at + vectors * 2u]));
        let s = spread(vec4f(x[at + vectors * 3u]));
        let w = load_weights(e, clamped, channel);
        a = add(a, p, q, r, s, w[0]);
        if OUTPUTS_A_LANE > 1u {
            b = add(b, p, q, r, s, w[1]);
        }
        if OUTPUTS_A_LANE > 2u {
            c = add(c, p, q, r, s, w[2]);
            d = add(d, p, q, r, s, w[3]);
        }
    }

    store_vec4(e, subgroupBroadcast(place, 0u), output, a[0], b[0], c[0], d[0]);
    store_vec4(e, subgroupBroadcast(place, 1u), output, a[1], b[1], c[1], d[1]);
    store_vec4(e, subgroupBroadcast(place, 2u), output, a[2], b[2], c[2], d[2]);
    store_vec4(e, subgroupBroadcast(place, 3u), output, a[3], b[3], c[3], d[3]);
    store_vec4(e, subgroupBroadcast(place, 4u), output, a[4], b[4], c[4], d[4]);
    store_vec4(e, subgroupBroadcast(place, 5u), output, a[5], b[5], c[5], d[5]);
    store_vec4(e, subgroupBroadcast(place, 6u), output, a[6], b[6], c[6], d[6]);
    store_vec4(e, subgroupBroadcast(place, 7u), output, a[7], b[7], c[7], d[7]);
    if STATISTICS && first < e.batch * vectors {
        let exist = min(e.batch * vectors - first, 8u);
        store_moments(e, a, exist, output, first / 8u);
        if OUTPUTS_A_LANE > 1u {
            store_moments(e, b, exist, output + 1u, first / 8u);
        }
        if OUTPUTS_A_LANE > 2u {
            store_moments(e, c, exist, output + 2u, first / 8u);
            store_moments(e, d, exist, output + 3u, first / 8u);
        }
    }
}
