// db[o] = sum over n, i, j of dy[n, o, i, j]
//
// Computes: one channel per workgroup; a lane sums every 64th pixel, sample by sample.
// Grid: OUT_CHANNELS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read neighbouring pixels. Workgroup memory: the sums of the 64 lanes, which are added as a
//   tree, always in the same order.
// Why: the plain kernel.
// Measured: not measured.

override BATCH: u32;
override OUT_CHANNELS: u32;
override PIXELS: u32;  // OUT_HEIGHT * OUT_WIDTH

// Elements as they are stored; f16 in half precision.
alias Dy = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;         // [BATCH, OUT_CHANNELS, PIXELS]
@group(0) @binding(1) var<storage, read_write> db: array<f32>;  // [OUT_CHANNELS]

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let output = workgroup.y * workgroups.x + workgroup.x;
    var sum = 0.0;
    // Past the last channel there is nothing to sum, but the barriers below need every invocation.
    for (var sample = 0u; sample < BATCH && output < OUT_CHANNELS; sample++) {
        let plane = (sample * OUT_CHANNELS + output) * PIXELS;
        var sample_sum = 0.0;
        for (var pixel = lane; pixel < PIXELS; pixel += 64u) {
            sample_sum += f32(dy[plane + pixel]);
        }
        sum += sample_sum;
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half {
            sums[lane] += sums[lane + half];
        }
        workgroupBarrier();
    }
    if lane == 0u && output < OUT_CHANNELS {
        db[output] = sums[0];
    }
}
