// dbeta[c, k] = sum g,  dgamma[c, k] = sum g (x - mean[c]) / sqrt(variance[c] + EPS)  over split k of channel c
//
// with g = dy, or with RELU dy where y > 0, else 0.
//
// Computes: one split of a channel per workgroup: its SPLIT_SIZE elements, of which a lane sums every 64th.
// Grid: CHANNELS * SPLITS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read neighbouring elements. Workgroup memory: the sums of the 64 lanes, which are added as
//   a tree, always in the same order.
// Why: the plain kernel. backward_input.wgsl adds the sums of a channel's splits, with which large channels spread over
//   many workgroups. It finds gamma, mean and 1 / sqrt(variance + EPS) beside them, so that it binds no more than the 8
//   storage buffers that every adapter has.
// Measured: not measured.

override BATCH: u32;
override CHANNELS: u32;
override AREA: u32;        // height * width
override SPLIT_SIZE: u32;  // elements a split
override SPLITS: u32;      // splits a channel
override EPS: f32;
override RELU: bool;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias X = f32;
alias Y = f32;

// The sums over a split of a channel, and what backward_input needs of the channel besides: inverse is 1 / sqrt(variance + EPS).
struct SplitSums { dgamma: f32, dbeta: f32, gamma: f32, mean: f32, inverse: f32 }

@group(0) @binding(0) var<storage, read> dy: array<Dy>;                   // [BATCH, CHANNELS, AREA]
@group(0) @binding(1) var<storage, read> x: array<X>;                     // [BATCH, CHANNELS, AREA]
@group(0) @binding(2) var<storage, read> gamma: array<f32>;               // [CHANNELS]
@group(0) @binding(3) var<storage, read> mean: array<f32>;                // [CHANNELS]
@group(0) @binding(4) var<storage, read> variance: array<f32>;            // [CHANNELS]
@group(0) @binding(5) var<storage, read> y: array<Y>;                     // [BATCH, CHANNELS, AREA]; any other without RELU
@group(0) @binding(6) var<storage, read_write> splits: array<SplitSums>;  // [CHANNELS, SPLITS]

// (sum of g * (x - mean), sum of g) of each lane.
var<workgroup> sums: array<vec2f, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let split = workgroup.y * workgroups.x + workgroup.x;
    let channel = min(split / SPLITS, CHANNELS - 1u);
    let area = AREA;
    let first = (split % SPLITS) * SPLIT_SIZE;
    let last = min(first + SPLIT_SIZE, BATCH * area);
    let centre = mean[channel];
    var products = 0.0;
    var sum = 0.0;
    for (var index = first + lane; index < last; index += 64u) {
        let at = ((index / area) * CHANNELS + channel) * area + index % area;
        var g = f32(dy[at]);
        if RELU {
            g = select(0.0, g, f32(y[at]) > 0.0);
        }
        products = fma(g, f32(x[at]) - centre, products);
        sum += g;
    }
    sums[lane] = vec2f(products, sum);
    for (var half = 32u; half > 0u; half /= 2u) {
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
