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
// Computes: one element of dx per invocation, with RESIDUAL of dresidual too.
// Grid: ceil(BATCH * CHANNELS * AREA / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements. Without RESIDUAL nothing is written to
//   dresidual, which may then be any buffer.
// Why: the plain kernel. The sums dbeta and dgamma come from backward_sums.wgsl.
// Measured: not measured.

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
