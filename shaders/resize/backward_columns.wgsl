// dx[p, t, l] = sum over j of w(j, l) sums[p, t, j]
//   w(j, l) = 1 - |j's place - l| where that is positive, else 0; places of columns as those of rows in forward.wgsl
//
// p counts the maps of all samples and channels; its rows t are those of dx.
//
// Computes: one element of dx per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read overlapping runs of a row.
// Why: the second half of the transpose of forward.wgsl: backward_rows.wgsl makes the sums.
// Measured: see backward_rows.wgsl.

override ELEMENTS: u32;     // of dx
override WIDTH: u32;        // of the sums, as of dy
override FROM_WIDTH: u32;   // of dx
override COLUMN_SCALE: i32;
override COLUMN_SHIFT: i32;
override COLUMN_DIVISOR: u32;

// Elements as they are stored; f16 in half precision.
alias Dx = f32;

@group(0) @binding(0) var<storage, read> sums: array<f32>;     // [N, C, h, W]
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
    let start = index / FROM_WIDTH * WIDTH;
    let last = FROM_WIDTH - 1u;
    let columns = readers(l, last, COLUMN_SCALE, COLUMN_SHIFT, COLUMN_DIVISOR, WIDTH);
    var sum = 0.0;
    for (var j = columns.x; j < columns.y; j++) {
        let column = position(j, COLUMN_SCALE, COLUMN_SHIFT, last * COLUMN_DIVISOR);
        sum += nearness(column, l, COLUMN_DIVISOR) * sums[start + j];
    }
    dx[index] = Dx(sum / f32(COLUMN_DIVISOR));
}
