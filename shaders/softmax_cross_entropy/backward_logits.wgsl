// dx[n, c] = dloss SCALE (softmax(x[n])[c] - [c = label[n]]), or 0 where label[n] >= C
//
// softmax(x[n])[c] = exp(x[n, c] - m) / sum over c' of exp(x[n, c'] - m), with m the row's maximum.
//
// Computes: one row per workgroup; a lane takes every 64th class in order.
// Grid: ROWS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes touch neighbouring elements; the row is read three times. Workgroup memory: maxima, then
//   sums, of the 64 lanes, which are taken together as a tree, always in the same order.
// Why: the plain kernel; computing the sums again costs less than keeping them from the forward pass.
// Measured: not measured.

override ROWS: u32;     // N
override CLASSES: u32;  // C
override SCALE: f32;    // 1 / N

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Dx = f32;

@group(0) @binding(0) var<storage, read> dloss: array<f32>;    // [1]
@group(0) @binding(1) var<storage, read> x: array<X>;          // [N, C]
@group(0) @binding(2) var<storage, read> labels: array<u32>;   // [N]
@group(0) @binding(3) var<storage, read_write> dx: array<Dx>;  // [N, C]

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
    let label = labels[row];
    let scale = select(0.0, dloss[0] * SCALE, label < CLASSES);
    for (var class_ = lane; class_ < CLASSES; class_ += 64u) {
        let share = exp(f32(x[start + class_]) - largest) / partial[0];
        dx[start + class_] = Dx(scale * (share - select(0.0, 1.0, class_ == label)));
    }
}
