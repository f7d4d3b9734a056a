// dx[p, t, l] = sum over i and j of w(i, t) w(j, l) dy[p, i, j]
//   w(i, t) = 1 - |i's place - t| where that is positive, else 0; places as in forward.wgsl, of columns likewise
//
// p counts the maps of all samples and channels.
//
// Computes: one element of dx per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: one load for each element of dy that has read x[p, t, l], of an enlarged map 4 H W / (h w) of them.
// Why: the plain kernel; the transpose of forward.wgsl without atomics: each element gathers what belongs to it, always in
//   the same order. Sums are weighted by whole numbers, ROW_DIVISOR w(i, t), which have no error, and divided once.
// Measured: see backward_rows.wgsl.

override ELEMENTS: u32;     // of dx
override HEIGHT: u32;       // of dy: H
override WIDTH: u32;        // of dy: W
override FROM_HEIGHT: u32;  // of dx: h
override FROM_WIDTH: u32;   // of dx: w
override ROW_SCALE: i32;
override ROW_SHIFT: i32;
override ROW_DIVISOR: u32;
override COLUMN_SCALE: i32;
override COLUMN_SHIFT: i32;
override COLUMN_DIVISOR: u32;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias Dx = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;        // [N, C, H, W]
@group(0) @binding(1) var<storage, read_write> dx: array<Dx>;  // [N, C, h, w]

// The place of element i of an axis, in units of 1 / divisor; end is that of the last one.
fn position(i: u32, scale: i32, shift: i32, end: u32) -> u32 {
    return u32(clamp(i32(i) * scale + shift, 0, i32(end)));
}

// How many of the count elements of an axis have a place up to target, before places are kept within the axis.
fn places_up_to(target_place: i32, scale: i32, shift: i32, count: u32) -> u32 {
    let found = u32(max(target_place - shift, 0)) / u32(max(scale, 1)) + 1u;
    return select(0u, min(found, count), target_place >= shift);
}

// The elements whose place is less than 1 away from t, of which the axis has from 0 to last: the first, and the one behind.
fn readers(t: u32, last: u32, scale: i32, shift: i32, divisor: u32, count: u32) -> vec2u {
    let first = places_up_to((i32(t) - 1) * i32(divisor), scale, shift, count);
    let end = places_up_to((i32(t) + 1) * i32(divisor) - 1, scale, shift, count);
    return vec2u(select(first, 0u, t == 0u), select(end, count, t == last));
}

// 1 - |place / divisor - t|, times divisor: a whole number.
fn nearness(place: u32, t: u32, divisor: u32) -> f32 {
    return f32(i32(divisor) - abs(i32(place) - i32(t * divisor)));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= ELEMENTS {
        return;
    }
    let l = index % FROM_WIDTH;
    let t = index / FROM_WIDTH % FROM_HEIGHT;
    let p = index / (FROM_WIDTH * FROM_HEIGHT);
    let last_row = FROM_HEIGHT - 1u;
    let last_column = FROM_WIDTH - 1u;
    let rows = readers(t, last_row, ROW_SCALE, ROW_SHIFT, ROW_DIVISOR, HEIGHT);
    let columns = readers(l, last_column, COLUMN_SCALE, COLUMN_SHIFT, COLUMN_DIVISOR, WIDTH);
    var sum = 0.0;
    for (var i = rows.x; i < rows.y; i++) {
        var of_row = 0.0;
        for (var j = columns.x; j < columns.y; j++) {
            let column = position(j, COLUMN_SCALE, COLUMN_SHIFT, last_column * COLUMN_DIVISOR);
            of_row += nearness(column, l, COLUMN_DIVISOR) * f32(dy[(p * HEIGHT + i) * WIDTH + j]);
        }
        let row = position(i, ROW_SCALE, ROW_SHIFT, last_row * ROW_DIVISOR);
        sum += nearness(row, t, ROW_DIVISOR) * (of_row / f32(COLUMN_DIVISOR));
    }
    dx[index] = Dx(sum / f32(ROW_DIVISOR));
}
