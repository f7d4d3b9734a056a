// loss = SCALE sum over n, j of weight[n, j] (|px - tx| + |py - ty|)
//
// with (px, py) = prediction[n, j] and (tx, ty) = targets[n, j].
//
// Computes: the sum, by one workgroup; a lane sums every 64th joint in order.
// Grid: one workgroup of 64.
// Memory: neighbouring lanes read neighbouring joints, x and y together. Workgroup memory: the sums of the 64 lanes,
//   which are added as a tree, always in the same order.
// Why: the plain kernel, and the only one: a batch has a few hundred joints, five numbers each.
// Measured: not measured.

override JOINTS: u32;  // N J
override SCALE: f32;   // 1 / N

@group(0) @binding(0) var<storage, read> prediction: array<vec2f>;  // [N, J]
@group(0) @binding(1) var<storage, read> targets: array<vec2f>;     // [N, J]
@group(0) @binding(2) var<storage, read> weight: array<f32>;        // [N, J]
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;    // [1]

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var joint = lane; joint < JOINTS; joint += 64u) {
        let distance = abs(prediction[joint] - targets[joint]);
        sum += weight[joint] * (distance.x + distance.y);
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
        loss[0] = SCALE * partial[0];
    }
}
