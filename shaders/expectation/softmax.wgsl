// y[n, j, p] = FACTOR exp(x[p] - largest) / sum over p of exp(x[p] - largest), x map j of sample n, p over its pixels
//
// Computes: one map per workgroup; a lane takes every 64th pixel in order.
// Grid: MAPS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes touch neighbouring pixels; the map is read three times. Workgroup memory: maxima, then
//   sums, of the 64 lanes, which are taken together as a tree, always in the same order.
// Why: the plain kernel.
// Measured: not measured.

override MAPS: u32;    // N J
override PIXELS: u32;  // H W
override FACTOR: f32;

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;        // [N, J, H, W]
@group(0) @binding(1) var<storage, read_write> y: array<Y>;  // [N, J, H, W]

const LOWEST = -3.4028234e38;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let map = workgroup.y * workgroups.x + workgroup.x;
    if map >= MAPS {
        return;
    }
    let first = map * PIXELS;
    var largest = LOWEST;
    for (var pixel = lane; pixel < PIXELS; pixel += 64u) {
        largest = max(largest, f32(x[first + pixel]));
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
    for (var pixel = lane; pixel < PIXELS; pixel += 64u) {
        sum += exp(f32(x[first + pixel]) - largest);
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        if lane < reach {
            partial[lane] += partial[lane + reach];
        }
        workgroupBarrier();
    }
    for (var pixel = lane; pixel < PIXELS; pixel += 64u) {
        let share = exp(f32(x[first + pixel]) - largest) / partial[0];
        y[first + pixel] = Y(FACTOR * share);
    }
}
