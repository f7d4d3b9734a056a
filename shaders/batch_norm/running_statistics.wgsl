// running_mean = (1 - MOMENTUM) running_mean + MOMENTUM mean
// running_var  = (1 - MOMENTUM) running_var  + MOMENTUM variance COUNT / (COUNT - 1)
//
// Computes: one channel per invocation, in place.
// Grid: ceil(CHANNELS / 64) workgroups of 64.
// Memory: neighbouring invocations read and write neighbouring elements.
// Why: as PyTorch does, the running variance is unbiased and the batch's is not.
// Measured: not measured.

override CHANNELS: u32;
override COUNT: u32;  // elements a channel, at least 2
override MOMENTUM: f32;

@group(0) @binding(0) var<storage, read_write> running_mean: array<f32>;  // [CHANNELS]
@group(0) @binding(1) var<storage, read_write> running_var: array<f32>;   // [CHANNELS] unbiased
@group(0) @binding(2) var<storage, read> mean: array<f32>;                // [CHANNELS]
@group(0) @binding(3) var<storage, read> variance: array<f32>;            // [CHANNELS] biased

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
    let channel = invocation.x;
    if channel >= CHANNELS {
        return;
    }
    let unbiased = variance[channel] * (f32(COUNT) / f32(COUNT - 1u));
    running_mean[channel] = (1.0 - MOMENTUM) * running_mean[channel] + MOMENTUM * mean[channel];
    running_var[channel] = (1.0 - MOMENTUM) * running_var[channel] + MOMENTUM * unbiased;
}
