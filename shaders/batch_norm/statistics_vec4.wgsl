// mean[c, k] = sum x / M,  variance[c, k] = sum (x - mean[c, k])^2 / M  over the M elements of split k of channel c
//
// Computes: one split of a channel per workgroup: its SPLIT_SIZE vec4, of which a lane takes every LANES-th.
// Grid: CHANNELS * SPLITS workgroups of LANES, folded into y past 65,535.
// Memory: x as vec4; neighbouring lanes read neighbouring ones. Workgroup memory: the lanes' (count, mean, sum of
//   squared deviations), which are merged pairwise by Chan's formula.
// Why: a quarter of the loads of statistics.wgsl, each of four elements. A lane sums x - k and (x - k)^2 with k its own
//   first element, so that a large common offset does not cancel. With several splits statistics_merge.wgsl joins them.
//   LANES is 64 on a CPU adapter; on a GPU it is 256, and several loads are under way at a time, since nothing but the
//   bandwidth of memory should bound it.
// Measured: not measured.

override BATCH: u32;
override CHANNELS: u32;
override AREA: u32;        // height * width, a multiple of 4
override SPLIT_SIZE: u32;  // vec4 a split
override SPLITS: u32;      // splits a channel
override LANES: u32;       // a power of two

// Elements as they are stored; f16 in half precision.
alias X = f32;

@group(0) @binding(0) var<storage, read> x: array<vec4<X>>;           // [BATCH, CHANNELS, AREA / 4]
@group(0) @binding(1) var<storage, read_write> mean: array<f32>;      // [CHANNELS, SPLITS]
@group(0) @binding(2) var<storage, read_write> variance: array<f32>;  // [CHANNELS, SPLITS] biased

// (count, mean, sum of squared deviations) of each lane.
var<workgroup> moments: array<vec3f, LANES>;

fn merge(a: vec3f, b: vec3f) -> vec3f {
    let count = a.x + b.x;
    let share = b.x / max(count, 1.0);
    let delta = b.y - a.y;
    return vec3f(count, a.y + delta * share, a.z + b.z + delta * delta * a.x * share);
}

// Where vec4 number `index` of a channel lies.
fn vec4_of_channel(channel: u32, index: u32) -> u32 {
    let area = AREA / 4u;
    return ((index / area) * CHANNELS + channel) * area + index % area;
}

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let split = workgroup.y * workgroups.x + workgroup.x;
    let channel = min(split / SPLITS, CHANNELS - 1u);
    let first = (split % SPLITS) * SPLIT_SIZE;
    let last = min(first + SPLIT_SIZE, BATCH * AREA / 4u);
    var index = first + lane;
    var shift = vec4f(0.0);
    var count = 0.0;
    var sum = vec4f(0.0);
    var squares = vec4f(0.0);
    if index < last {
        shift = vec4f(f32(x[vec4_of_channel(channel, index)].x));
    }
    for (; index + 3u * LANES < last; index += 4u * LANES) {
        let a = vec4f(x[vec4_of_channel(channel, index)]) - shift;
        let b = vec4f(x[vec4_of_channel(channel, index + LANES)]) - shift;
        let c = vec4f(x[vec4_of_channel(channel, index + 2u * LANES)]) - shift;
        let d = vec4f(x[vec4_of_channel(channel, index + 3u * LANES)]) - shift;
        sum = sum + a + b + c + d;
        squares = fma(d, d, fma(c, c, fma(b, b, fma(a, a, squares))));
        count += 16.0;
    }
    for (; index < last; index += LANES) {
        let shifted = vec4f(x[vec4_of_channel(channel, index)]) - shift;
        sum += shifted;
        squares = fma(shifted, shifted, squares);
        count += 4.0;
    }
    let total = sum.x + sum.y + sum.z + sum.w;
    let total_squares = squares.x + squares.y + squares.z + squares.w;
    let average = total / max(count, 1.0);
    moments[lane] = vec3f(count, shift.x + average, max(total_squares - total * average, 0.0));
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            moments[lane] = merge(moments[lane], moments[lane + half]);
        }
    }
    if lane == 0u && split < CHANNELS * SPLITS {
        mean[split] = moments[0].y;
        variance[split] = moments[0].z / moments[0].x;
    }
}
