// y = [relu] (gamma (x - mean) / sqrt(variance + EPS) + beta [+ residual])
//
// Computes: one element per invocation.
// Grid: ceil(BATCH * CHANNELS * AREA / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements.
// Why: the plain kernel, for training (batch statistics) and inference (running statistics).
// Measured: not measured.

override BATCH: u32;
override CHANNELS: u32;
override AREA: u32;  // height * width
override EPS: f32;
override RESIDUAL: bool;
override RELU: bool;

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Residual = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;                // [BATCH, CHANNELS, AREA]
@group(0) @binding(1) var<storage, read> gamma: array<f32>;          // [CHANNELS]
@group(0) @binding(2) var<storage, read> beta: array<f32>;           // [CHANNELS]
@group(0) @binding(3) var<storage, read> mean: array<f32>;           // [CHANNELS]
@group(0) @binding(4) var<storage, read> variance: array<f32>;       // [CHANNELS]
@group(0) @binding(5) var<storage, read> residual: array<Residual>;  // [BATCH, CHANNELS, AREA]; any other without RESIDUAL
@group(0) @binding(6) var<storage, read_write> y: array<Y>;          // [BATCH, CHANNELS, AREA]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let area = AREA;
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= BATCH * CHANNELS * area {
        return;
    }
    let channel = (index / area) % CHANNELS;
    let scale = gamma[channel] * inverseSqrt(variance[channel] + EPS);
    var value = fma(f32(x[index]) - mean[channel], scale, beta[channel]);
    if RESIDUAL {
        value += f32(residual[index]);
    }
    if RELU {
        value = max(value, 0.0);
    }
    y[index] = Y(value);
}
