// dx = gamma s (g - dbeta / M - h dgamma / M),  dresidual = g,
// with s = 1 / sqrt(variance + EPS), h = (x - mean) s, M = BATCH * AREA and g = dy, or with RELU dy where y > 0, else 0
//
// One invocation computes one element. Grid: ceil(BATCH * CHANNELS * AREA / 64) workgroups of
// 64, folded into y past 65,535. Without RESIDUAL nothing is written to dresidual, which may then be any buffer.

override BATCH: u32;
override CHANNELS: u32;
override AREA: u32;  // height * width
override EPS: f32;
override RESIDUAL: bool;
override RELU: bool;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias X = f32;
alias Y = f32;
alias Dx = f32;
alias Dresidual = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;                      // [BATCH, CHANNELS, AREA]
@group(0) @binding(1) var<storage, read> x: array<X>;                        // [BATCH, CHANNELS, AREA]
@group(0) @binding(2) var<storage, read> gamma: array<f32>;                  // [CHANNELS]
@group(0) @binding(3) var<storage, read> mean: array<f32>;                   // [CHANNELS]
@group(0) @binding(4) var<storage, read> variance: array<f32>;               // [CHANNELS]
@group(0) @binding(5) var<storage, read> y: array<Y>;                        // [BATCH, CHANNELS, AREA]; any other without RELU
@group(0) @binding(6) var<storage, read> dgamma: array<f32>;                 // [CHANNELS]
@group(0) @binding(7) var<storage, read> dbeta: array<f32>;                  // [CHANNELS]
@group(0) @binding(8) var<storage, read_write> dx: array<Dx>;                // [BATCH, CHANNELS, AREA]
@group(0) @binding(9) var<storage, read_write> dresidual: array<Dresidual>;  // [BATCH, CHANNELS, AREA]

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
    let count = f32(BATCH * AREA);
    let inverse = inverseSqrt(variance[channel] + EPS);
    var g = f32(dy[index]);
    if RELU {
        g = select(0.0, g, f32(y[index]) > 0.0);
    }
    if RESIDUAL {
        dresidual[index] = Dresidual(g);
    }
    let slope = dgamma[channel] * inverse / count;
    let offset = dbeta[channel] / count;
    dx[index] = Dx((g - offset - (f32(x[index]) - mean[channel]) * slope) * (gamma[channel] * inverse));
}
