// dmaps[n, j, p] = s[p] (dx (x / WIDTH - 1/2 - ex) + dy (y / HEIGHT - 1/2 - ey)), p = y WIDTH + x
//
// (dx, dy) = dcoordinates[n, j], (ex, ey) = coordinates[n, j], the expectation, and s the softmax of map j of sample n,
// exp(m[p] - largest) / sum over p of exp(m[p] - largest). 4 divides WIDTH.
//
// Computes: one map per workgroup; a lane takes every 64th four neighbours of a row in order.
// Grid: MAPS workgroups of 64, folded into y past 65,535.
// Memory: maps and dmaps as vec4; the map is read three times. Workgroup memory: maxima, then sums, of the 64
//   lanes, which are taken together as a tree, always in the same order.
// Why: beside backward.wgsl a quarter of the loads, of the stores and of the divisions that find a place.
// Measured: on lavapipe (Mesa 22.3), [2, 17, 64, 48]: 0.40 ms, backward.wgsl 0.67; medians of 7 in turn.

override MAPS: u32;    // N J
override HEIGHT: u32;  // H
override WIDTH: u32;   // W

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Dx = f32;

@group(0) @binding(0) var<storage, read> dcoordinates: array<vec2f>;    // [N, J]
@group(0) @binding(1) var<storage, read> maps: array<vec4<X>>;          // [N, J, H, W / 4]
@group(0) @binding(2) var<storage, read> coordinates: array<vec2f>;     // [N, J]
@group(0) @binding(3) var<storage, read_write> dmaps: array<vec4<Dx>>;  // [N, J, H, W / 4]

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
    let first = map * HEIGHT * WIDTH / 4u;
    var largest = LOWEST;
    for (var four = lane; four < HEIGHT * WIDTH / 4u; four += 64u) {
        let m = vec4f(maps[first + four]);
        largest = max(largest, max(max(m.x, m.y), max(m.z, m.w)));
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
    for (var four = lane; four < HEIGHT * WIDTH / 4u; four += 64u) {
        let e = exp(vec4f(maps[first + four]) - largest);
        sum += (e.x + e.y) + (e.z + e.w);
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        if lane < reach {
            partial[lane] += partial[lane + reach];
        }
        workgroupBarrier();
    }
    let slope = dcoordinates[map];
    let middle = coordinates[map] + 0.5;
    for (var four = lane; four < HEIGHT * WIDTH / 4u; four += 64u) {
        let columns = f32(four % (WIDTH / 4u) * 4u) + vec4f(0.0, 1.0, 2.0, 3.0);
        let row = f32(four / (WIDTH / 4u));
        let along = slope.x * (columns / f32(WIDTH) - middle.x) + slope.y * (row / f32(HEIGHT) - middle.y);
        let shares = exp(vec4f(maps[first + four]) - largest) / partial[0];
        dmaps[first + four] = vec4<Dx>(shares * along);
    }
}
