// dbeta[c, k] = sum g,  dgamma[c, k] = sum g (x - mean[c]) / sqrt(variance[c] + EPS)  over split k of channel c
//
// with g = dy, or with RELU dy where y > 0, else 0.
//
// Computes: one split of a channel per workgroup: its SPLIT_SIZE vec4, of which a lane sums every LANES-th.
// Grid: CHANNELS * SPLITS workgroups of LANES, folded into y past 65,535.
// Memory: dy, x and y as vec4; neighbouring lanes read neighbouring ones, four of each before it uses the first. Workgroup
//   memory: the sums of the lanes, which are added as a tree, always in the same order.
// Why: a quarter of the loads of backward_sums.wgsl, each of four elements. LANES is 64 on a CPU adapter; on a GPU it is 256,
//   and several loads are under way at a time, since nothing but the bandwidth of memory should bound it.
// Measured: not measured.

override BATCH: u32;
override CHANNELS: u32;
override AREA: u32;        // height * width, a multiple of 4
override SPLIT_SIZE: u32;  // vec4 a split
override SPLITS: u32;      // splits a channel
override LANES: u32;       // a power of two
override EPS: f32;
override RELU: bool;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias X = f32;
alias Y = f32;

// The sums over a split of a channel, and what backward_input needs of the channel besides: inverse is 1 / sqrt(variance + EPS).
struct SplitSums { dgamma: f32, dbeta: f32, gamma: f32, mean: f32, inverse: f32 }

@group(0) @binding(0) var<storage, read> dy: array<vec4<Dy>>;             // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(1) var<storage, read> x: array<vec4<X>>;               // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(2) var<storage, read> gamma: array<f32>;               // [CHANNELS]
@group(0) @binding(3) var<storage, read> mean: array<f32>;                // [CHANNELS]
@group(0) @binding(4) var<storage, read> variance: array<f32>;            // [CHANNELS]
@group(0) @binding(5) var<storage, read> y: array<vec4<Y>>;               // [BATCH, CHANNELS, AREA / 4]; any other without RELU
@group(0) @binding(6) var<storage, read_write> splits: array<SplitSums>;  // [CHANNELS, SPLITS]

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
    let split = workgroup.y * workgroups.x + workgroup.x;
    let channel = min(split / SPLITS, CHANNELS - 1u);
    let first = (split % SPLITS) * SPLIT_SIZE;
    let last = min(first + SPLIT_SIZE, BATCH * AREA / 4u);
    let centre = mean[channel];
    sums[lane] = sums_of_lane(channel, centre, first + lane, last);
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sums[lane] += sums[lane + half];
        }
    }
    if lane == 0u && split < CHANNELS * SPLITS {
        let inverse = inverseSqrt(variance[channel] + EPS);
        splits[split] = SplitSums(sums[0].x * inverse, sums[0].y, gamma[channel], centre, inverse);
    }
}
