// points[n, j] = (SCALE_X sum over p of s[p] x + OFFSET, SCALE_Y sum over p of s[p] y + OFFSET, 1), p = y WIDTH + x
//
// s is the softmax of map j of sample n, exp(m[p] - largest) / sum over p of exp(m[p] - largest). A point has NUMBERS
// numbers: 3, or 2 without the 1.
//
// Computes: one map per workgroup; a lane takes every 64th pixel in order.
// Grid: MAPS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read neighbouring pixels; the map is read twice. Workgroup memory: the 64 lanes' maxima,
//   then their sums of e, e x and e y with e = exp(m[p] - largest), which are taken together as a tree, always in the
//   same order.
// Why: the plain kernel; softmax and expectation in one, so that no softmax is stored.
// Measured: not measured.

override MAPS: u32;     // N J
override HEIGHT: u32;   // H
override WIDTH: u32;    // W
override SCALE_X: f32;
override SCALE_Y: f32;
override OFFSET: f32;
override NUMBERS: u32;  // 2 or 3

// Elements as they are stored; f16 in half precision.
alias X = f32;

@group(0) @binding(0) var<storage, read> maps: array<X>;            // [N, J, H, W]
@group(0) @binding(1) var<storage, read_write> points: array<f32>;  // [N, J, NUMBERS]

const LOWEST = -3.4028234e38;

var<workgroup> maxima: array<f32, 64>;
var<workgroup> partial: array<vec3f, 64>;

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
    let first = map * HEIGHT * WIDTH;
    var largest = LOWEST;
    for (var pixel = lane; pixel < HEIGHT * WIDTH; pixel += 64u) {
        largest = max(largest, f32(maps[first + pixel]));
    }
    maxima[lane] = largest;
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        if lane < reach {
            maxima[lane] = max(maxima[lane], maxima[lane + reach]);
        }
        workgroupBarrier();
    }
    largest = maxima[0];
    var sums = vec3f();
    for (var pixel = lane; pixel < HEIGHT * WIDTH; pixel += 64u) {
        let place = vec2f(f32(pixel % WIDTH), f32(pixel / WIDTH));
        sums += exp(f32(maps[first + pixel]) - largest) * vec3f(1.0, place);
    }
    partial[lane] = sums;
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        if lane < reach {
            partial[lane] += partial[lane + reach];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        points[NUMBERS * map] = SCALE_X * (partial[0].y / partial[0].x) + OFFSET;
        points[NUMBERS * map + 1u] = SCALE_Y * (partial[0].z / partial[0].x) + OFFSET;
        if NUMBERS == 3u {
            points[NUMBERS * map + 2u] = 1.0;
        }
    }
}
