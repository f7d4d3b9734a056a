// points[n, j] = (SCALE_X sum over p of s[p] x + OFFSET, SCALE_Y sum over p of s[p] y + OFFSET, 1), p = y WIDTH + x
//
// s is the softmax of map j of sample n, exp(m[p] - largest) / sum over p of exp(m[p] - largest). A point has NUMBERS
// numbers: 3, or 2 without the 1. 4 divides WIDTH.
//
// Computes: one map per workgroup; a lane takes every 64th four neighbours of a row in order.
// Grid: MAPS workgroups of 64, folded into y past 65,535.
// Memory: maps as vec4, read twice. Workgroup memory: the 64 lanes' maxima, then their sums of e, e x and e y with
//   e = exp(m[p] - largest), which are taken together as a tree, always in the same order.
// Why: beside forward.wgsl a quarter of the loads, of the divisions that find a pixel's place and of the rounds.
// Measured: on lavapipe (Mesa 22.3), [2, 17, 64, 48]: 0.31 ms, forward.wgsl 0.43; medians of 7 in turn.

override MAPS: u32;     // N J
override HEIGHT: u32;   // H
override WIDTH: u32;    // W
override SCALE_X: f32;
override SCALE_Y: f32;
override OFFSET: f32;
override NUMBERS: u32;  // 2 or 3

// Elements as they are stored; f16 in half precision.
alias X = f32;

@group(0) @binding(0) var<storage, read> maps: array<vec4<X>>;      // [N, J, H, W / 4]
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
    let first = map * HEIGHT * WIDTH / 4u;
    var largest = LOWEST;
    for (var four = lane; four < HEIGHT * WIDTH / 4u; four += 64u) {
        let m = vec4f(maps[first + four]);
        largest = max(largest, max(max(m.x, m.y), max(m.z, m.w)));
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
    for (var four = lane; four < HEIGHT * WIDTH / 4u; four += 64u) {
        let e = exp(vec4f(maps[first + four]) - largest);
        let sum = (e.x + e.y) + (e.z + e.w);
        let place = vec2f(f32(four % (WIDTH / 4u) * 4u), f32(four / (WIDTH / 4u)));
        // Of the four the first is at x = place.x, the others 1, 2 and 3 to the right.
        sums += sum * vec3f(1.0, place) + vec3f(0.0, dot(e, vec4f(0.0, 1.0, 2.0, 3.0)), 0.0);
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
