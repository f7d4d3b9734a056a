// y = [relu] (gamma (x - mean) / sqrt(variance + EPS) + beta [+ residual])
//
// Computes: VECTORS neighbouring vec4 of one channel per invocation.
// Grid: ceil(BATCH * CHANNELS * AREA / (256 * VECTORS)) workgroups of 64, folded into y past 65,535.
// Memory: feature maps as vec4, the channel's numbers once per invocation.
// Why: beside normalise.wgsl a quarter of the loads and stores, each of four elements. On a CPU adapter, where loads
//   cost most, VECTORS is 4 where AREA allows it; on a GPU it is 1, so that neighbouring lanes load neighbouring vec4.
// Measured: not measured.

override BATCH: u32;
override CHANNELS: u32;
override AREA: u32;   // height * width, a multiple of 4 VECTORS
override VECTORS: u32;
override EPS: f32;
override RESIDUAL: bool;
override RELU: bool;

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Residual = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<vec4<X>>;                // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(1) var<storage, read> gamma: array<f32>;                // [CHANNELS]
@group(0) @binding(2) var<storage, read> beta: array<f32>;                 // [CHANNELS]
@group(0) @binding(3) var<storage, read> mean: array<f32>;                 // [CHANNELS]
@group(0) @binding(4) var<storage, read> variance: array<f32>;             // [CHANNELS]
@group(0) @binding(5) var<storage, read> residual: array<vec4<Residual>>;  // [BATCH, CHANNELS, AREA / 4]; any other without RESIDUAL
@group(0) @binding(6) var<storage, read_write> y: array<vec4<Y>>;          // [BATCH, CHANNELS, AREA / 4]

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
    let scale = gamma[channel] * inverseSqrt(variance[channel] + EPS);
    let centre = mean[channel];
    let shift = beta[channel];
    for (var index = first; index < first + VECTORS; index++) {
        var value = fma(vec4f(x[index]) - vec4f(centre), vec4f(scale), vec4f(shift));
        if RESIDUAL {
            value += vec4f(residual[index]);
        }
        if RELU {
            value = max(value, vec4f(0.0));
        }
        y[index] = vec4<Y>(value);
    }
}
