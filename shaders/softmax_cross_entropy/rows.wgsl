// losses[n] = log(sum over c of exp(x[n, c])) - x[n, label[n]], or 0 where label[n] >= C
//
// The row's maximum m is taken out, so that no exponential overflows: m + log(sum over c of exp(x[n, c] - m)) - x[n, label].
//
// Computes: one row per workgroup; a lane takes every 64th class in order.
// Grid: ROWS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read neighbouring elements; the row is read twice. Workgroup memory: maxima, then sums, of
//   the 64 lanes, which are taken together as a tree, always in the same order.
// Why: the plain kernel.
// Measured: not measured.

override ROWS: u32;     // N
override CLASSES: u32;  // C

// Elements as they are stored; f16 in half precision.
alias X = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;               // [N, C]
@group(0) @binding(1) var<storage, read> labels: array<u32>;        // [N]
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;  // [N]

const LOWEST = -3.4028234e38;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = workgroup.y * workgroups.x + workgroup.x;
    if row >= ROWS {
        return;
    }
    let start = row * CLASSES;
    var largest = LOWEST;
    for (var class_ = lane; class_ < CLASSES; class_ += 64u) {
        largest = max(largest, f32(x[start + class_]));
    }
    partial[lane] = largest;
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        if lane < reach {
            partial[lane] = max(partial[lane], partial[lane + reach]);
        }
        workgroupBarrier();
    }
    largest = partial[0];
    workgroupBarrier();
    var sum = 0.0;
    for (var class_ = lane; class_ < CLASSES; class_ += 64u) {
        sum += exp(f32(x[start + class_]) - largest);
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
        let label = labels[row];
        let counts = label < CLASSES;
        let own = f32(x[start + select(0u, label, counts)]);
        losses[row] = select(0.0, log(partial[0]) + (largest - own), counts);
    }
}
