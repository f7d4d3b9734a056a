// merged[n, c, y, x] = (maps[n, c, y, x] + flipped[n, partner[c], y, min(WIDTH - 1 - x + SHIFT, WIDTH - 1)]) / 2
//
// Computes: one map per workgroup, every 64th pixel per lane.
// Grid: MAPS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read and write neighbouring pixels.
// Why: flipped holds the maps of the mirrored picture: mirrored back, the left joint's map is the right joint's, and
//   with SHIFT all are shifted one pixel to the right, where column 0 keeps its own value.
// Measured: not measured.

override MAPS: u32;      // N C
override CHANNELS: u32;  // C
override HEIGHT: u32;    // H
override WIDTH: u32;     // W
override SHIFT: u32;     // 0 or 1

@group(0) @binding(0) var<storage, read> maps: array<f32>;          // [N, C, H, W]
@group(0) @binding(1) var<storage, read> flipped: array<f32>;       // [N, C, H, W]
@group(0) @binding(2) var<storage, read> partner: array<u32>;       // [C]
@group(0) @binding(3) var<storage, read_write> merged: array<f32>;  // [N, C, H, W]

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
    let channel = map % CHANNELS;
    let first = map * HEIGHT * WIDTH;
    let first_flipped = (map - channel + partner[channel]) * HEIGHT * WIDTH;
    for (var pixel = lane; pixel < HEIGHT * WIDTH; pixel += 64u) {
        let column = pixel % WIDTH;
        let mirrored = pixel - column + min(WIDTH - 1u - column + SHIFT, WIDTH - 1u);
        merged[first + pixel] = 0.5 * (maps[first + pixel] + flipped[first_flipped + mirrored]);
    }
}
