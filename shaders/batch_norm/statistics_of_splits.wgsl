// mean[c], variance[c] of channel c from the moments of its splits, joined as in statistics_merge.wgsl
//
// Computes: 64 / LANES channels per workgroup. LANES lanes share a channel: each joins every LANES-th split in order,
//   then the lanes' are joined pairwise.
// Grid: ceil(channels * LANES / 64) workgroups of 64, folded into y past 65,535.
// Memory: splits holds 12 bytes per split. Workgroup memory: the moments of the 64 lanes.
// Why: a convolution that holds a split of its result writes the split's moments, so that its result need not be read
//   again. The extents come from a buffer and not from `override` constants: few pipelines serve all shapes.
// Measured: lavapipe, 2 cores, forward convolutions of a training step of DITN-W32, 256x256, batch 2: this takes 34 to
//   73 ms where reading y again takes 181 to 226; writing the moments makes most convolutions up to 2 % slower, thin
//   1x1 ones 10 %; together 4 to 5 % less time, with Mesa 26.1 8 %. With 64 lanes per channel however few the splits,
//   convolutions of 128 to 256 channels of 16x16 and less took 10 to 50 % longer than reading y again.

override LANES: u32;  // a power of two up to 64

// Number, mean and sum of squared deviations from that mean.
struct Moments { count: f32, mean: f32, squares: f32 }

struct MomentsExtents { channels: u32, splits: u32 }

@group(0) @binding(0) var<storage, read> splits: array<Moments>;      // [channels, splits]
@group(0) @binding(1) var<storage, read> extents: MomentsExtents;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;      // [channels]
@group(0) @binding(3) var<storage, read_write> variance: array<f32>;  // [channels] biased

var<workgroup> of_lanes: array<Moments, 64>;

fn join(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    let share = b.count / max(count, 1.0);
    let delta = b.mean - a.mean;
    return Moments(count, a.mean + delta * share, a.squares + b.squares + delta * delta * a.count * share);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = extents;
    let index = ((workgroup.y * workgroups.x + workgroup.x) * 64u + lane) / LANES;
    let channel = min(index, e.channels - 1u);
    let first = lane % LANES;
    var moments = Moments(0.0, 0.0, 0.0);
    for (var split = first; split < e.splits; split += LANES) {
        moments = join(moments, splits[channel * e.splits + split]);
    }
    of_lanes[lane] = moments;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if first < half {
            of_lanes[lane] = join(of_lanes[lane], of_lanes[lane + half]);
        }
    }
    if first == 0u && index < e.channels {
        mean[channel] = of_lanes[lane].mean;
        variance[channel] = of_lanes[lane].squares / of_lanes[lane].count;
    }
}
