// dmaps[n, j, p] = s[p] (dx (x / WIDTH - 1/2 - ex) + dy (y / HEIGHT - 1/2 - ey)), p = y WIDTH + x
//
// (dx, dy) = dcoordinates[n, j], (ex, ey) = coordinates[n, j], the expectation, and s the softmax of map j of sample n,
// exp(m[p] - largest) / sum over p of exp(m[p] - largest).
//
// Computes: one map per workgroup; a lane takes every 64th pixel in order.
// Grid: MAPS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes touch neighbouring pixels; the map is read three times. Workgroup memory: maxima, then
//   sums, of the 64 lanes, which are taken together as a tree, always in the same order.
// Why: the plain kernel; computing the sum again costs less than keeping the softmax from the forward pass.
// Measured: not measured.

override MAPS: u32;    // N J
override HEIGHT: u32;  // H
override WIDTH: u32;   // W

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Dx = f32;

@group(0) @binding(0) var<storage, read> dcoordinates: array<vec2f>;  // [N, J]
@group(0) @binding(1) var<storage, read> maps: array<X>;              // [N, J, H, W]
@group(0) @binding(2) var<storage, read> coordinates: array<vec2f>;   // [N, J]
@group(0) @binding(3) var<storage, read_write> dmaps: array<Dx>;      // [N, J, H, W]

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
    let first = map * HEIGHT * WIDTH;
    var largest = LOWEST;
    for (var pixel = lane; pixel < HEIGHT * WIDTH; pixel += 64u) {
        largest = max(largest, f32(maps[first + pixel]));
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
    for (var pixel = lane; pixel < HEIGHT * WIDTH; pixel += 64u) {
        sum += exp(f32(maps[first + pixel]) - largest);
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
    for (var pixel = lane; pixel < HEIGHT * WIDTH; pixel += 64u) {
        let place = vec2f(f32(pixel % WIDTH) / f32(WIDTH), f32(pixel / WIDTH) / f32(HEIGHT));
        let share = exp(f32(maps[first + pixel]) - largest) / partial[0];
        dmaps[first + pixel] = Dx(share * dot(slope, place - middle));
    }
}
