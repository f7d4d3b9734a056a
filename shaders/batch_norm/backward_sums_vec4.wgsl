// dbeta[c, k] = sum g,  dgamma[c, k] = sum g (x - mean[c]) / sqrt(variance[c] + EPS)  over split k of channel c
//
// with g = dy, or with RELU dy where y > 0, else 0.
//
// Computes: one split of a channel per workgroup: its SPLIT_SIZE vec4, of which a lane sums every 64th.
// Grid: CHANNELS * SPLITS workgroups of 64, folded into y past 65,535.
// Memory: dy, x and y as vec4; neighbouring lanes read neighbouring ones. Workgroup memory: the sums of the 64 lanes,
//   which are added as a tree, always in the same order.
// Why: a quarter of the loads of backward_sums.wgsl, each of four elements. With several splits backward_merge.wgsl
//   adds them.
// Measured: not measured.

override BATCH: u32;
override CHANNELS: u32;
override AREA: u32;    // height * width, a multiple of 4
override SPLIT_SIZE: u32;  // vec4 a split
override SPLITS: u32;      // splits a channel
override EPS: f32;
override RELU: bool;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias X = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> dy: array<vec4<Dy>>;       // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(1) var<storage, read> x: array<vec4<X>>;         // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(2) var<storage, read> mean: array<f32>;          // [CHANNELS]
@group(0) @binding(3) var<storage, read> variance: array<f32>;      // [CHANNELS]
@group(0) @binding(4) var<storage, read> y: array<vec4<Y>>;         // [BATCH, CHANNELS, AREA / 4]; any other without RELU
@group(0) @binding(5) var<storage, read_write> dgamma: array<f32>;  // [CHANNELS, SPLITS]
@group(0) @binding(6) var<storage, read_write> dbeta: array<f32>;   // [CHANNELS, SPLITS]

// (sum of g * normalised x, sum of g) of each lane.
var<workgroup> sums: array<vec2f, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let split = workgroup.y * workgroups.x + workgroup.x;
    let channel = min(split / SPLITS, CHANNELS - 1u);
    let area = AREA / 4u;
    let first = (split % SPLITS) * SPLIT_SIZE;
    let last = min(first + SPLIT_SIZE, BATCH * area);
    let centre = vec4f(mean[channel]);
    var products = vec4f(0.0);
    var sum = vec4f(0.0);
    for (var index = first + lane; index < last; index += 64u) {
        let at = ((index / area) * CHANNELS + channel) * area + index % area;
        var g = vec4f(dy[at]);
        if RELU {
            g = select(vec4f(0.0), g, vec4f(y[at]) > vec4f(0.0));
        }
        products = fma(g, vec4f(x[at]) - centre, products);
        sum += g;
    }
    sums[lane] = vec2f(products.x + products.y + products.z + products.w, sum.x + sum.y + sum.z + sum.w);
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sums[lane] += sums[lane + half];
        }
    }
    if lane == 0u && split < CHANNELS * SPLITS {
        dgamma[split] = sums[0].x * inverseSqrt(variance[channel] + EPS);
        dbeta[split] = sums[0].y;
    }
}
