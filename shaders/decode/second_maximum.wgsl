// points[n, j] = (x + 1/2, y + 1/2, maps[n, j] at the pixel (x, y) is nearest to / PEAK + 1/2)
//
// where (x, y) is the place of the largest value of the blurred map, moved a quarter pixel towards that of the second
// (the largest after the first is set to 0) and clamped to the map. Of equal values the first, row by row, is taken;
// where both are one place, nothing is moved. The blurred map has BORDER pixels around the map on all sides.
//
// Computes: one map per workgroup; a lane finds the largest of every 64th pixel, twice.
// Grid: MAPS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read neighbouring pixels. Workgroup memory: the lanes' values and places, which are
//   compared as a tree.
// Why: the plain kernel; the host reads three numbers per map and not the map.
// Measured: not measured.

override MAPS: u32;    // N J
override HEIGHT: u32;  // H
override WIDTH: u32;   // W
override BORDER: u32;
override PEAK: f32;

@group(0) @binding(0) var<storage, read> blurred: array<f32>;       // [N, J, H + 2 BORDER, W + 2 BORDER]
@group(0) @binding(1) var<storage, read> maps: array<f32>;          // [N, J, H, W]
@group(0) @binding(2) var<storage, read_write> points: array<f32>;  // [N, J, 3]

const LOWEST = -3.4028234e38;
const NOWHERE = 0xffffffffu;

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
    let columns = WIDTH + 2u * BORDER;
    let pixels = (HEIGHT + 2u * BORDER) * columns;
    // The places of the largest and of the second.
    var found = vec2u(NOWHERE);
    for (var round = 0u; round < 2u; round += 1u) {
        var value = LOWEST;
        var place = NOWHERE;
        for (var pixel = lane; pixel < pixels; pixel += 64u) {
            let here = blurred[map * pixels + pixel];
            let other = select(here, 0.0, pixel == found.x);
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
        if round == 0u {
            found.x = places[0];
        } else {
            found.y = places[0];
        }
        workgroupBarrier();
    }
    if lane > 0u {
        return;
    }
    // NOWHERE, of a map of NaN, is clamped to a pixel too.
    let first = vec2f(vec2u(found.x % columns, found.x / columns)) - f32(BORDER);
    let second = vec2f(vec2u(found.y % columns, found.y / columns)) - f32(BORDER);
    let way = second - first;
    let distance = length(way);
    let step = select(vec2f(), 0.25 * way / max(distance, 1e-3), distance > 1e-3);
    let place = clamp(first + step, vec2f(), vec2f(f32(WIDTH), f32(HEIGHT)) - 1.0);
    let pixel = vec2u(place + 0.5);
    points[3u * map] = place.x + 0.5;
    points[3u * map + 1u] = place.y + 0.5;
    points[3u * map + 2u] = maps[(map * HEIGHT + pixel.y) * WIDTH + pixel.x] / PEAK + 0.5;
}
