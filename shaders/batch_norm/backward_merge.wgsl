// dgamma[c] = sum over k of split_dgamma[c, k],  dbeta[c] = sum over k of split_dbeta[c, k]
//
// Computes: one channel per invocation.
// Grid: ceil(CHANNELS / 64) workgroups of 64.
// Memory: an invocation reads a row of each array, first to last.
// Why: the second stage of backward_sums.wgsl where a channel has several splits; in ascending order, so that a run
//   repeats to the bit.
// Measured: not measured.

override CHANNELS: u32;
override SPLITS: u32;      // splits a channel

@group(0) @binding(0) var<storage, read> split_dgamma: array<f32>;  // [CHANNELS, SPLITS]
@group(0) @binding(1) var<storage, read> split_dbeta: array<f32>;   // [CHANNELS, SPLITS]
@group(0) @binding(2) var<storage, read_write> dgamma: array<f32>;  // [CHANNELS]
@group(0) @binding(3) var<storage, read_write> dbeta: array<f32>;   // [CHANNELS]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
    let channel = invocation.x;
    if channel >= CHANNELS {
        return;
    }
    var sums = vec2f(0.0);
    for (var split = channel * SPLITS; split < (channel + 1u) * SPLITS; split += 1u) {
        sums += vec2f(split_dgamma[split], split_dbeta[split]);
    }
    dgamma[channel] = sums.x;
    dbeta[channel] = sums.y;
}
