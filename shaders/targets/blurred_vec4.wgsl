// maps[n, j, y, x] = PEAK b(x, cx, WIDTH) b(y, cy, HEIGHT) / the largest of these products in the map
//
// b(i, c, E) = g(|i - c|) + [c > 0] g(i + c) + [c < E - 1] g(2 (E - 1) - c - i): a row of E pixels that is 1 at c and 0
// elsewhere, blurred with the weights g(0) .. g(REACH), 0 beyond, and mirrored at both ends, so that the mirror images
// of c count too. (cx, cy) is the joint rounded down. Map and weights[n, j] are 0 where the joint's last number is 0 or
// (cx, cy) is not in the map, else the weight is 1; with VISIBLE_ONLY the map is 0 unless that number is more than 1,
// and all weights are 1. 4 divides WIDTH.
//
// Computes: one map per workgroup; every 64th four neighbours of a row per lane.
// Grid: MAPS workgroups of 64, folded into y past 65,535.
// Memory: maps as vec4. Workgroup memory: the largest b along both axes that each of the 64 lanes has seen, which are
//   compared as a tree.
// Why: beside blurred.wgsl a quarter of the stores, one b(y, cy, HEIGHT) for four pixels, and no b(x, cx, WIDTH) where
//   that is 0, as in most rows of a map.
// Measured: on lavapipe (Mesa 22.3), [2, 17, 64, 48] and a blur of 15: 0.41 ms, blurred.wgsl 0.57; medians of 7 in
//   turn.

override MAPS: u32;    // N J
override HEIGHT: u32;  // H
override WIDTH: u32;   // W
override REACH: u32;   // half the side of the blur, rounded down
override PEAK: f32;
override VISIBLE_ONLY: bool;

@group(0) @binding(0) var<storage, read> joints: array<f32>;         // [N, J, 3] x, y in heat-map pixels, kind
@group(0) @binding(1) var<storage, read> taps: array<f32>;           // [REACH + 1] g
@group(0) @binding(2) var<storage, read_write> maps: array<vec4f>;   // [N, J, H, W / 4]
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;  // [N, J]

var<workgroup> partial: array<vec2f, 64>;

fn tap_within(distance: i32) -> f32 {
    let steps = u32(abs(distance));
    if steps > REACH {
        return 0.0;
    }
    return taps[steps];
}

// b(at, centre, extent).
fn blurred_pixel(at: i32, centre: i32, extent: u32) -> f32 {
    let last = i32(extent) - 1;
    var sum = tap_within(at - centre);
    if centre > 0 {
        sum += tap_within(at + centre);
    }
    if centre < last {
        sum += tap_within(2 * last - centre - at);
    }
    return sum;
}

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
    let place = floor(vec2f(joints[3u * map], joints[3u * map + 1u]));
    let kind = joints[3u * map + 2u];
    let inside = all(place >= vec2f()) && all(place < vec2f(f32(WIDTH), f32(HEIGHT)));
    let counts = inside && kind > select(0.0, 1.0, VISIBLE_ONLY);
    let centre = vec2i(select(vec2f(), place, inside));
    var largest = vec2f();
    for (var at = lane; at < max(WIDTH, HEIGHT); at += 64u) {
        if at < WIDTH {
            largest.x = max(largest.x, blurred_pixel(i32(at), centre.x, WIDTH));
        }
        if at < HEIGHT {
            largest.y = max(largest.y, blurred_pixel(i32(at), centre.y, HEIGHT));
        }
    }
    partial[lane] = largest;
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        if lane < reach {
            partial[lane] = max(partial[lane], partial[lane + reach]);
        }
        workgroupBarrier();
    }
    let scale = select(0.0, PEAK / (partial[0].x * partial[0].y), counts);
    for (var four = lane; four < HEIGHT * WIDTH / 4u; four += 64u) {
        let row = scale * blurred_pixel(i32(four / (WIDTH / 4u)), centre.y, HEIGHT);
        var values = vec4f();
        if row > 0.0 {
            let column = i32(four % (WIDTH / 4u) * 4u);
            values = row * vec4f(
                blurred_pixel(column, centre.x, WIDTH),
                blurred_pixel(column + 1, centre.x, WIDTH),
                blurred_pixel(column + 2, centre.x, WIDTH),
                blurred_pixel(column + 3, centre.x, WIDTH),
            );
        }
        maps[map * (HEIGHT * WIDTH / 4u) + four] = values;
    }
    if lane == 0u {
        weights[map] = select(0.0, 1.0, VISIBLE_ONLY || counts);
    }
}
