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
override CHUNK: u32;   // elements of every piece but the last
override CHUNKS: u32;  // pieces a channel
override COUNT: u32;   // elements a channel

@group(0) @binding(0) var<storage, read> piece_mean: array<f32>;       // [CHANNELS, CHUNKS]
@group(0) @binding(1) var<storage, read> piece_variance: array<f32>;   // [CHANNELS, CHUNKS] biased
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
    for (var chunk = 0u; chunk < CHUNKS; chunk += 1u) {
        let piece = channel * CHUNKS + chunk;
        let added = f32(min(CHUNK, COUNT - chunk * CHUNK));
        let delta = piece_mean[piece] - average;
        let share = added / (count + added);
        deviations += piece_variance[piece] * added + delta * delta * count * share;
        average += delta * share;
        count += added;
    }
    mean[channel] = average;
    variance[channel] = deviations / count;
}
