// total = SCALE * sum of losses
//
// Computes: the sum, by one workgroup; a lane sums every 64th element in order.
// Grid: one workgroup of 64.
// Memory: neighbouring lanes read neighbouring elements. Workgroup memory: the sums of the 64 lanes, which are added as
//   a tree, always in the same order.
// Why: the plain kernel; there are few losses.
// Measured: not measured.

override ELEMENTS: u32;  // N M
override SCALE: f32;

@group(0) @binding(0) var<storage, read> losses: array<f32>;       // [N, M]
@group(0) @binding(1) var<storage, read_write> total: array<f32>;  // [1]

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var index = lane; index < ELEMENTS; index += 64u) {
        sum += losses[index];
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var stride = 32u; stride > 0u; stride /= 2u) {
        if lane < stride {
            partial[lane] += partial[lane + stride];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        total[0] = SCALE * partial[0];
    }
}
