// y[c] = sum over p of x[c, p] / AREA
//
// c counts the channels of all samples, p the AREA = H W pixels of one.
//
// Computes: one channel per workgroup, every 64th pixel per lane.
// Grid: CHANNELS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read neighbouring pixels. Workgroup memory: the sums of the 64 lanes, which are added as a
//   tree, always in the same order.
// Why: the plain kernel.
// Measured: not measured.

override CHANNELS: u32;  // N C
override AREA: u32;

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;        // [N, C, H, W]
@group(0) @binding(1) var<storage, read_write> y: array<Y>;  // [N, C, 1, 1]

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = workgroup.y * workgroups.x + workgroup.x;
    if channel >= CHANNELS {
        return;
    }
    var sum = 0.0;
    for (var pixel = lane; pixel < AREA; pixel += 64u) {
        sum += f32(x[channel * AREA + pixel]);
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        if lane < reach {
            partial[lane] += partial[lane + reach];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        y[channel] = Y(partial[0] / f32(AREA));
    }
}
