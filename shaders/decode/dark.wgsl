// points[n, j] = p - Hessian^-1 gradient of log(G * maps[n, j]) at p, the place of the largest value of map j
//
// G * map is the map smoothed with an 11x11 Gaussian of deviation 2 and sum 1, zeros around it, and at least 1e-10.
// Derivatives are central differences; p stays where it is within two pixels of the edge or where the determinant is 0.
//
// Computes: one map per workgroup: 25 lanes smooth the 5x5 pixels around p, lane 0 takes the step.
// Grid: MAPS workgroups of 32, folded into y past 65,535.
// Memory: points are read and written in place; they come from decode/forward.wgsl, at most a quarter pixel from p.
//   Workgroup memory: the 25 logarithms, row by row.
// Why: only 25 smoothed pixels matter, so that the whole map is never smoothed.
// Measured: not measured.

override MAPS: u32;    // N J
override HEIGHT: u32;  // H
override WIDTH: u32;   // W

const REACH = 5;
const SIGMA = 2.0;

@group(0) @binding(0) var<storage, read> maps: array<f32>;          // [N, J, H, W]
@group(0) @binding(1) var<storage, read_write> points: array<f32>;  // [N, J, 3]

var<workgroup> logs: array<f32, 25>;

fn weight(distance: i32) -> f32 {
    return exp(-f32(distance * distance) / (2.0 * SIGMA * SIGMA));
}

// log(G * map) at (x, y).
fn log_smoothed(map: u32, x: i32, y: i32) -> f32 {
    var sum = 0.0;
    var total = 0.0;
    for (var dy = -REACH; dy <= REACH; dy += 1) {
        total += weight(dy);
        let row = y + dy;
        if row < 0 || row >= i32(HEIGHT) {
            continue;
        }
        var in_row = 0.0;
        for (var dx = max(-REACH, -x); dx <= min(REACH, i32(WIDTH) - 1 - x); dx += 1) {
            in_row += weight(dx) * maps[(map * HEIGHT + u32(row)) * WIDTH + u32(x + dx)];
        }
        sum += weight(dy) * in_row;
    }
    return log(max(sum / (total * total), 1e-10));
}

// The log dx columns and dy rows from p.
fn at(dx: i32, dy: i32) -> f32 {
    return logs[(dy + 2) * 5 + dx + 2];
}

@compute @workgroup_size(32)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let map = workgroup.y * workgroups.x + workgroup.x;
    if map >= MAPS {
        return;
    }
    let x = i32(points[3u * map] + 0.5);
    let y = i32(points[3u * map + 1u] + 0.5);
    let inside = 1 < x && x + 2 < i32(WIDTH) && 1 < y && y + 2 < i32(HEIGHT);
    if inside && lane < 25u {
        logs[lane] = log_smoothed(map, x + i32(lane % 5u) - 2, y + i32(lane / 5u) - 2);
    }
    workgroupBarrier();
    if lane > 0u {
        return;
    }
    var step = vec2f(0.0);
    if inside {
        let gradient = 0.5 * vec2f(at(1, 0) - at(-1, 0), at(0, 1) - at(0, -1));
        let xx = 0.25 * (at(2, 0) - 2.0 * at(0, 0) + at(-2, 0));
        let yy = 0.25 * (at(0, 2) - 2.0 * at(0, 0) + at(0, -2));
        let xy = 0.25 * (at(1, 1) - at(-1, 1) - at(1, -1) + at(-1, -1));
        let determinant = xx * yy - xy * xy;
        if determinant != 0.0 {
            step = vec2f(xy * gradient.y - yy * gradient.x, xy * gradient.x - xx * gradient.y) / determinant;
        }
    }
    points[3u * map] = f32(x) + step.x;
    points[3u * map + 1u] = f32(y) + step.y;
}
