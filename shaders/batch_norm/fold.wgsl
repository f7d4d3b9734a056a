// folded_weight[o, t] = weight[o, t] * scale[o],  folded_bias[o] = beta[o] + (bias[o] - mean[o]) * scale[o]
//
// with scale = gamma / sqrt(variance + EPS).
//
// Computes: one weight per invocation; that of the first weight of an output also computes the output's bias.
// Grid: ceil(OUT_CHANNELS * TAPS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements.
// Why: a convolution followed by a batch normalisation whose statistics do not change is a convolution with these.
// Measured: not measured.

override OUT_CHANNELS: u32;
override TAPS: u32;  // weights of an output
override EPS: f32;
override HAS_BIAS: bool;

@group(0) @binding(0) var<storage, read> weight: array<f32>;                // [OUT_CHANNELS, TAPS]
@group(0) @binding(1) var<storage, read> gamma: array<f32>;                 // [OUT_CHANNELS]
@group(0) @binding(2) var<storage, read> beta: array<f32>;                  // [OUT_CHANNELS]
@group(0) @binding(3) var<storage, read> mean: array<f32>;                  // [OUT_CHANNELS]
@group(0) @binding(4) var<storage, read> variance: array<f32>;              // [OUT_CHANNELS]
@group(0) @binding(5) var<storage, read> bias: array<f32>;                  // [OUT_CHANNELS]; anything where HAS_BIAS is false
@group(0) @binding(6) var<storage, read_write> folded_weight: array<f32>;   // [OUT_CHANNELS, TAPS]
@group(0) @binding(7) var<storage, read_write> folded_bias: array<f32>;     // [OUT_CHANNELS]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= OUT_CHANNELS * TAPS {
        return;
    }
    let output = index / TAPS;
    let scale = gamma[output] * inverseSqrt(variance[output] + EPS);
    folded_weight[index] = weight[index] * scale;
    if index % TAPS == 0u {
        var shift = -mean[output];
        if HAS_BIAS {
            shift += bias[output];
        }
        folded_bias[output] = fma(shift, scale, beta[output]);
    }
}
