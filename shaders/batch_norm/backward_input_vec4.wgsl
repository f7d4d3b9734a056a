// dx = gamma s (g - dbeta / M - h dgamma / M),  dresidual = g
//
// with M = BATCH * AREA, s = 1 / sqrt(variance + EPS), h = (x - mean) s and g = dy, or with RELU dy where y > 0, else
// 0; derived in backward_input.wgsl.
//
// Computes: one split of a channel per workgroup: its SPLIT_SIZE vec4, of which a lane takes every LANES-th.
// Grid: CHANNELS * SPLITS workgroups of LANES, folded into y past 65,535.
// Memory: feature maps as vec4; neighbouring lanes read and write neighbouring ones. Every invocation reads the sums of its
//   channel's splits, at the same time as the others of its workgroup. Without RESIDUAL nothing is written to dresidual, which
//   may then be any buffer.
// Why: beside backward_input.wgsl a quarter of the loads and stores, each of four elements. LANES is 64 on a CPU adapter and
//   256 on a GPU.
// Measured: not measured.

override BATCH: u32;
override CHANNELS: u32;
override AREA: u32;        // height * width, a multiple of 4
override SPLIT_SIZE: u32;  // vec4 a split
override SPLITS: u32;      // splits a channel
override LANES: u32;
override RESIDUAL: bool;
override RELU: bool;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias X = f32;
alias Y = f32;
alias Dx = f32;
alias Dresidual = f32;

// The sums over a split of a channel, and what backward_input needs of the channel besides: inverse is 1 / sqrt(variance + EPS).
struct SplitSums { dgamma: f32, dbeta: f32, gamma: f32, mean: f32, inverse: f32 }

@group(0) @binding(0) var<storage, read> dy: array<vec4<Dy>>;                      // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(1) var<storage, read> x: array<vec4<X>>;                        // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(2) var<storage, read> y: array<vec4<Y>>;                        // [BATCH, CHANNELS, AREA / 4]; any other without RELU
@group(0) @binding(3) var<storage, read> splits: array<SplitSums>;                 // [CHANNELS, SPLITS]
@group(0) @binding(4) var<storage, read_write> dx: array<vec4<Dx>>;                // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(5) var<storage, read_write> dresidual: array<vec4<Dresidual>>;  // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(6) var<storage, read_write> dgamma: array<f32>;                 // [CHANNELS]
@group(0) @binding(7) var<storage, read_write> dbeta: array<f32>;                  // [CHANNELS]

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

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let split = workgroup.y * workgroups.x + workgroup.x;
    if split >= CHANNELS * SPLITS {
        return;
    }
    let channel = split / SPLITS;
    var sums = vec2f(0.0);
    for (var at = channel * SPLITS; at < (channel + 1u) * SPLITS; at++) {
        sums += vec2f(splits[at].dgamma, splits[at].dbeta);
    }
    if split % SPLITS == 0u && lane == 0u {
        dgamma[channel] = sums.x;
        dbeta[channel] = sums.y;
    }
    let inverse = splits[split].inverse;
    let centre = splits[split].mean;
    let count = f32(BATCH * AREA);
    let slope = sums.x * inverse / count;
    let offset = sums.y / count;
    let scale = splits[split].gamma * inverse;
    let first = (split % SPLITS) * SPLIT_SIZE;
    let last = min(first + SPLIT_SIZE, BATCH * AREA / 4u);
    for (var index = first + lane; index < last; index += LANES) {
        let at = vec4_of_channel(channel, index);
        let g = gradient_at(at);
        if RESIDUAL {
            dresidual[at] = vec4<Dresidual>(g);
        }
        dx[at] = vec4<Dx>((g - vec4f(offset) - (vec4f(x[at]) - vec4f(centre)) * slope) * scale);
    }
}
