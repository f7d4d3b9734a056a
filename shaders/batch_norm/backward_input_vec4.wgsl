// dx = gamma s (g - dbeta / M - h dgamma / M),  dresidual = g
//
// with M = BATCH * AREA, s = 1 / sqrt(variance + EPS), h = (x - mean) s and g = dy, or with RELU dy where y > 0, else
// 0; derived in backward_input.wgsl.
//
// Computes: VECTORS neighbouring vec4 of one channel per invocation.
// Grid: ceil(BATCH * CHANNELS * AREA / (256 * VECTORS)) workgroups of 64, folded into y past 65,535.
// Memory: feature maps as vec4, the channel's numbers once per invocation. Without RESIDUAL nothing is written to
//   dresidual, which may then be any buffer.
// Why: beside backward_input.wgsl a quarter of the loads and stores, each of four elements. On a CPU adapter, where
//   loads cost most, VECTORS is 4 where AREA allows it; on a GPU it is 1, so that neighbouring lanes load neighbouring
//   vec4.
// Measured: not measured.

override BATCH: u32;
override CHANNELS: u32;
override AREA: u32;   // height * width, a multiple of 4 VECTORS
override VECTORS: u32;
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
@group(0) @binding(6) var<storage, read> dgamma: array<f32>;                       // [CHANNELS]
@group(0) @binding(7) var<storage, read> dbeta: array<f32>;                        // [CHANNELS]
@group(0) @binding(8) var<storage, read_write> dx: array<vec4<Dx>>;                // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(9) var<storage, read_write> dresidual: array<vec4<Dresidual>>;  // [BATCH, CHANNELS, AREA / 4]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let area = AREA / 4u;
    let first = ((workgroup.y * workgroups.x + workgroup.x) * 64u + lane) * VECTORS;
    if first >= BATCH * CHANNELS * area {
        return;
    }
    let channel = (first / area) % CHANNELS;
    let count = f32(BATCH * AREA);
    let inverse = inverseSqrt(variance[channel] + EPS);
    let slope = dgamma[channel] * inverse / count;
    let offset = dbeta[channel] / count;
    let centre = mean[channel];
    let scale = gamma[channel] * inverse;
    for (var index = first; index < first + VECTORS; index++) {
        var g = vec4f(dy[index]);
        if RELU {
            g = select(vec4f(0.0), g, vec4f(y[index]) > vec4f(0.0));
        }
        if RESIDUAL {
            dresidual[index] = vec4<Dresidual>(g);
        }
        dx[index] = vec4<Dx>((g - vec4f(offset) - (vec4f(x[index]) - vec4f(centre)) * slope) * scale);
    }
}
