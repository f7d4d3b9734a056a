// dx = gamma s (g - dbeta / M - h dgamma / M),  dresidual = g
//
// with M = BATCH * AREA, s = 1 / sqrt(variance + EPS), h = (x - mean) s and g = dy, or with RELU dy where y > 0, else
// 0. In a channel, for a loss L whose gradient for z = gamma h + beta is g:
//
//     m   = sum x / M             dm/dx_j   = 1 / M
//     V   = sum (x - m)^2 / M     dV/dx_j   = 2 (x_j - m) / M
//     s   = (V + EPS)^(-1/2)      ds/dx_j   = -1/2 s^3 dV/dx_j = -s^2 h_j / M
//     h_i = (x_i - m) s           dh_i/dx_j = s ([i = j] - 1 / M - h_i h_j / M)
//     z_i = gamma h_i + beta      dbeta = sum g,  dgamma = sum g h
//     dL/dx_j = sum over i of g_i gamma dh_i/dx_j = gamma s (g_j - dbeta / M - h_j dgamma / M)
//
// Computes: one split of a channel per workgroup: SPLIT_SIZE elements of dx, of which a lane takes every 64th, with RESIDUAL
//   those of dresidual too. The workgroup of split 0 also stores dgamma and dbeta.
// Grid: CHANNELS * SPLITS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read and write neighbouring elements. Every invocation reads the sums of its channel's splits,
//   at the same time as the others of its workgroup. Without RESIDUAL nothing is written to dresidual, which may then be any
//   buffer.
// Why: the plain kernel. The sums of the splits come from backward_sums.wgsl. All workgroups add them in the same ascending
//   order, which a few loads cost, where a kernel of its own would be one more dispatch.
// Measured: not measured.

override BATCH: u32;
override CHANNELS: u32;
override AREA: u32;        // height * width
override SPLIT_SIZE: u32;  // elements a split
override SPLITS: u32;      // splits a channel
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

@group(0) @binding(0) var<storage, read> dy: array<Dy>;                      // [BATCH, CHANNELS, AREA]
@group(0) @binding(1) var<storage, read> x: array<X>;                        // [BATCH, CHANNELS, AREA]
@group(0) @binding(2) var<storage, read> y: array<Y>;                        // [BATCH, CHANNELS, AREA]; any other without RELU
@group(0) @binding(3) var<storage, read> splits: array<SplitSums>;           // [CHANNELS, SPLITS]
@group(0) @binding(4) var<storage, read_write> dx: array<Dx>;                // [BATCH, CHANNELS, AREA]
@group(0) @binding(5) var<storage, read_write> dresidual: array<Dresidual>;  // [BATCH, CHANNELS, AREA]
@group(0) @binding(6) var<storage, read_write> dgamma: array<f32>;           // [CHANNELS]
@group(0) @binding(7) var<storage, read_write> dbeta: array<f32>;            // [CHANNELS]

@compute @workgroup_size(64)
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
    let area = AREA;
    let first = (split % SPLITS) * SPLIT_SIZE;
    let last = min(first + SPLIT_SIZE, BATCH * area);
    for (var index = first + lane; index < last; index += 64u) {
        let at = ((index / area) * CHANNELS + channel) * area + index % area;
        var g = f32(dy[at]);
        if RELU {
            g = select(0.0, g, f32(y[at]) > 0.0);
        }
        if RESIDUAL {
            dresidual[at] = Dresidual(g);
        }
        dx[at] = Dx((g - offset - (f32(x[at]) - centre) * slope) * scale);
    }
}
