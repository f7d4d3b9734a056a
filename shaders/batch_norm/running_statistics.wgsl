// running_mean = (1 - momentum) running_mean + momentum mean
// running_var  = (1 - momentum) running_var  + momentum n / (n - 1) variance
//
// Computes: one channel per invocation, in place.
// Grid: one workgroup of 64 for each 64 channels, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements. The number of channels is the bound length.
// Why: as PyTorch does, the running variance is unbiased and the batch's is not. What differs from layer to layer is in a
//   table, so that one dispatch serves all layers of a network, each of which starts at a multiple of 64.
// Measured: not measured.

@group(0) @binding(0) var<storage, read_write> running_mean: array<f32>;      // [channels]
@group(0) @binding(1) var<storage, read_write> running_var: array<f32>;       // [channels] unbiased
@group(0) @binding(2) var<storage, read> mean: array<f32>;                    // [channels]
@group(0) @binding(3) var<storage, read> variance: array<f32>;                // [channels] biased
@group(0) @binding(4) var<storage, read> blocks: array<RunningStatisticsBlock>;  // one for each 64 channels

struct RunningStatisticsBlock {
    kept: f32,      // 1 - momentum
    mean: f32,      // momentum
    variance: f32,  // momentum n / (n - 1), n elements a channel
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup.y * workgroups.x + workgroup.x;
    let channel = number * 64u + lane;
    if channel >= arrayLength(&mean) {
        return;
    }
    let block = blocks[number];
    running_mean[channel] = block.kept * running_mean[channel] + block.mean * mean[channel];
    running_var[channel] = block.kept * running_var[channel] + block.variance * variance[channel];
}
