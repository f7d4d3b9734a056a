// points[n, j] = (x, y, largest value of map j)
//
// where (x, y) is the place of the largest value, moved a quarter pixel on each axis towards the larger neighbour where
// 1 < x < WIDTH - 1 and 1 < y < HEIGHT - 1, plus OFFSET; (0, 0) where the largest is not above 0. Of equal values the first, row by
// row, is taken.
//
// Computes: one map per workgroup; a lane finds the largest of every 64th pixel.
// Grid: MAPS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read neighbouring pixels. Workgroup memory: the lanes' values and places, which are
//   compared as a tree.
// Why: the host reads three numbers per map and not the map.
// Measured: not measured.

override MAPS: u32;    // N J
override HEIGHT: u32;  // H
override WIDTH: u32;   // W
override OFFSET: f32;

@group(0) @binding(0) var<storage, read> maps: array<f32>;          // [N, J, H, W]
@group(0) @binding(1) var<storage, read_write> points: array<f32>;  // [N, J, 3]

var<workgroup> values: array<f32, 64>;
var<workgroup> places: array<u32, 64>;

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
    // Lanes past the end of a small map repeat its last pixel, which changes nothing.
    var place = min(lane, HEIGHT * WIDTH - 1u);
    var value = maps[first + place];
    for (var pixel = lane + 64u; pixel < HEIGHT * WIDTH; pixel += 64u) {
        let other = maps[first + pixel];
        if other > value {
            value = other;
            place = pixel;
        }
    }
    values[lane] = value;
    places[lane] = place;
    workgroupBarrier();
    for (var stride = 32u; stride > 0u; stride /= 2u) {
        if lane < stride {
            let other = values[lane + stride];
            let before = places[lane + stride] < places[lane];
            if other > values[lane] || (other == values[lane] && before) {
                values[lane] = other;
                places[lane] = places[lane + stride];
            }
        }
        workgroupBarrier();
    }
    if lane > 0u {
        return;
    }
    var point = vec2f(0.0);
    if values[0] > 0.0 {
        let x = places[0] % WIDTH;
        let y = places[0] / WIDTH;
        point = vec2f(f32(x), f32(y));
        if 1u < x && x + 1u < WIDTH && 1u < y && y + 1u < HEIGHT {
            let here = first + places[0];
            point += 0.25 * sign(vec2f(maps[here + 1u] - maps[here - 1u], maps[here + WIDTH] - maps[here - WIDTH]));
        }
        point += OFFSET;
    }
    points[3u * map] = point.x;
    points[3u * map + 1u] = point.y;
    points[3u * map + 2u] = values[0];
}
