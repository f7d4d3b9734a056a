// dbeta = sum g,  dgamma = sum g h,  dx = gamma s (g - dbeta / M - h dgamma / M),  dresidual = g
//
// with M = BATCH * AREA, s = 1 / sqrt(variance + EPS), h = (x - mean) s and g = dy, or with RELU dy where y > 0, else
// 0; derived in backward_input.wgsl.
//
// Computes: one channel per workgroup: first the sums, split by split, then dx, of which a lane takes every LANES-th vec4.
// Grid: CHANNELS workgroups of LANES, folded into y past 65,535.
// Memory: feature maps as vec4; neighbouring lanes read and write neighbouring ones. dy, x and y are read twice, the second
//   time mostly from a cache. Workgroup memory: the sums of the lanes, which are added as a tree, always in the same order.
//   Without RESIDUAL nothing is written to dresidual, which may then be any buffer.
// Why: one dispatch in place of those of backward_sums_vec4.wgsl and backward_input_vec4.wgsl, with the same bits. For CPU
//   adapters, whose few cores the channels keep busy, and for channels of one split. It binds 10 storage buffers, so that not
//   every adapter can run it.
// Measured: on lavapipe (Mesa 22.3), DITN-W32's maps at batch 2: as fast as vec4 (0.90 ms against 0.96 at 32 channels, 8.7
//   against 7.6 at 256).

override BATCH: u32;
override CHANNELS: u32;
override AREA: u32;        // height * width, a multiple of 4
override SPLIT_SIZE: u32;  // vec4 a split
override SPLITS: u32;      // splits a channel
override LANES: u32;       // a power of two
override EPS: f32;
override RESIDUAL: bool;
override RELU: bool;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias X = f32;
alias Y = f32;
alias Dx = f32;
alias Dresidual = f32;

@group(0) @binding(0) var<storage, read> dy: array<vec4<Dy>>;                      // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(1) var<storage, read> x: array<vec4<X>>;                        // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(2) var<storage, read> gamma: array<f32>;                        // [CHANNELS]
@group(0) @binding(3) var<storage, read> mean: array<f32>;                         // [CHANNELS]
@group(0) @binding(4) var<storage, read> variance: array<f32>;                     // [CHANNELS]
@group(0) @binding(5) var<storage, read> y: array<vec4<Y>>;                        // [BATCH, CHANNELS, AREA / 4]; any other without RELU
@group(0) @binding(6) var<storage, read_write> dx: array<vec4<Dx>>;                // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(7) var<storage, read_write> dresidual: array<vec4<Dresidual>>;  // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(8) var<storage, read_write> dgamma: array<f32>;                 // [CHANNELS]
@group(0) @binding(9) var<storage, read_write> dbeta: array<f32>;                  // [CHANNELS]

// (sum of g * (x - mean), sum of g) of each lane.
var<workgroup> sums: array<vec2f, LANES>;

// g and x - mean of a vec4 of a channel.
struct Terms { g: vec4f, deviation: vec4f }

// Where vec4 number `index` of a channel lies.
fn vec4_of_channel(channel: u32, index: u32) -> u32 {
    let area = AREA / 4u;
    return ((index / area) * CHANNELS + channel) * area + index % area;
}

fn gradient_at(at: u32) -> vec4f {
    let g = vec4f(dy[at]);
    if RELU {
        return select(vec4f(0.0), g, vec4f(y[at]) > vec4f(0.0));
    }
    return g;
}

fn terms_at(at: u32, centre: f32) -> Terms {
    return Terms(gradient_at(at), vec4f(x[at]) - vec4f(centre));
}

// The sums over every LANES-th vec4 of a channel from `first` to `last`.
fn sums_of_lane(channel: u32, centre: f32, first: u32, last: u32) -> vec2f {
    var products = vec4f(0.0);
    var sum = vec4f(0.0);
    var index = first;
    for (; index + 3u * LANES < last; index += 4u * LANES) {
        let a = terms_at(vec4_of_channel(channel, index), centre);
        let b = terms_at(vec4_of_channel(channel, index + LANES), centre);
        let c = terms_at(vec4_of_channel(channel, index + 2u * LANES), centre);
        let d = terms_at(vec4_of_channel(channel, index + 3u * LANES), centre);
        products = fma(d.g, d.deviation, fma(c.g, c.deviation, fma(b.g, b.deviation, fma(a.g, a.deviation, products))));
        sum = sum + a.g + b.g + c.g + d.g;
    }
    for (; index < last; index += LANES) {
        let a = terms_at(vec4_of_channel(channel, index), centre);
        products = fma(a.g, a.deviation, products);
        sum += a.g;
    }
    return vec2f(products.x + products.y + products.z + products.w, sum.x + sum.y + sum.z + sum.w);
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup.y * workgroups.x + workgroup.x;
    let channel = min(number, CHANNELS - 1u);
    let end = select(0u, BATCH * AREA / 4u, number < CHANNELS);
    let inverse = inverseSqrt(variance[channel] + EPS);
    let centre = mean[channel];
    var total = vec2f(0.0);
    for (var split = 0u; split < SPLITS; split++) {
        let first = split * SPLIT_SIZE;
        sums[lane] = sums_of_lane(channel, centre, first + lane, min(first + SPLIT_SIZE, end));
        for (var half = LANES / 2u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if lane < half {
                sums[lane] += sums[lane + half];
            }
        }
        workgroupBarrier();
        total += vec2f(sums[0].x * inverse, sums[0].y);
        workgroupBarrier();
    }
    if lane == 0u && number < CHANNELS {
        dgamma[channel] = total.x;
        dbeta[channel] = total.y;
    }
    let count = f32(BATCH * AREA);
    let slope = total.x * inverse / count;
    let offset = total.y / count;
    let scale = gamma[channel] * inverse;
    for (var index = lane; index < end; index += LANES) {
        let at = vec4_of_channel(channel, index);
        let g = gradient_at(at);
        if RESIDUAL {
            dresidual[at] = vec4<Dresidual>(g);
        }
        dx[at] = vec4<Dx>((g - vec4f(offset) - (vec4f(x[at]) - vec4f(centre)) * slope) * scale);
    }
}
