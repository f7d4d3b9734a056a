// dscale[c] = sum over n, i, j of dy[n, c, i, j] x[n, c, i, j]
//
// Computes: one channel per workgroup, of whose products a lane sums every 64th.
// Grid: CHANNELS workgroups of 64, folded into y past 65,535.
// Memory: workgroup memory holds the sums of the 64 lanes, which are added pair by pair.

override BATCH: u32;
override CHANNELS: u32;
override AREA: u32;  // height * width

@group(0) @binding(0) var<storage, read> dy: array<f32>;            // [BATCH, CHANNELS, height, width]
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [BATCH, CHANNELS, height, width]
@group(0) @binding(2) var<storage, read_write> dscale: array<f32>;  // [CHANNELS]

var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = workgroup.y * workgroups.x + workgroup.x;
    var sum = 0.0;
    if channel < CHANNELS {
        for (var element = lane; element < BATCH * AREA; element += 64u) {
            let index = (element / AREA * CHANNELS + channel) * AREA + element % AREA;
            sum += dy[index] * x[index];
        }
    }
    sums[lane] = sum;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            sums[lane] += sums[lane + half];
        }
    }
    if lane == 0u && channel < CHANNELS {
        dscale[channel] = sums[0];
    }
}
