// mean[c], variance[c] of channel c from those of its splits, joined by Chan's formula:
//
//     d = mean_b - mean_a
//     mean = mean_a + d count_b / count,  squares = squares_a + squares_b + d^2 count_a count_b / count
//
// Computes: one channel per invocation.
// Grid: ceil(CHANNELS / 64) workgroups of 64.
// Memory: an invocation reads a row of each array, first to last.
// Why: the second stage of statistics.wgsl where a channel has several splits; in ascending order, so that a run
//   repeats to the bit.
// Measured: not measured.

override CHANNELS: u32;
override SPLIT_SIZE: u32;  // elements of every split but the last
override SPLITS: u32;      // splits a channel
override COUNT: u32;   // elements a channel

@group(0) @binding(0) var<storage, read> split_mean: array<f32>;       // [CHANNELS, SPLITS]
@group(0) @binding(1) var<storage, read> split_variance: array<f32>;   // [CHANNELS, SPLITS] biased
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;       // [CHANNELS]
@group(0) @binding(3) var<storage, read_write> variance: array<f32>;   // [CHANNELS] biased

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
    let channel = invocation.x;
    if channel >= CHANNELS {
        return;
    }
    var count = 0.0;
    var average = 0.0;
    var deviations = 0.0;
    for (var split = 0u; split < SPLITS; split += 1u) {
        let index = channel * SPLITS + split;
        let added = f32(min(SPLIT_SIZE, COUNT - split * SPLIT_SIZE));
        let delta = split_mean[index] - average;
        let share = added / (count + added);
        deviations += split_variance[index] * added + delta * delta * count * share;
        average += delta * share;
        count += added;
    }
    mean[channel] = average;
    variance[channel] = deviations / count;
}
