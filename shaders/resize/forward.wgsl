// y[p, i, j] = (1 - a) ((1 - b) x[p, t, l] + b x[p, t, l + 1]) + a ((1 - b) x[p, t + 1, l] + b x[p, t + 1, l + 1])
//   t + a = i's place among the rows of x, l + b = j's among the columns: whole numbers t, l and shares 0 <= a, b < 1
//
// p counts the maps of all samples and channels. The place of i is (ROW_SCALE i + ROW_SHIFT) / ROW_DIVISOR, not below 0 and
// not beyond the last row: i (h - 1) / (H - 1) where corners are aligned, else (i + 1/2) h / H - 1/2. In units of
// 1 / ROW_DIVISOR it is a whole number, so that t, a and 1 - a have no error but that of one division.
//
// Computes: one element of y per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: four loads of x; neighbouring invocations write neighbouring elements.
// Why: the plain kernel.
// Measured: see forward_strips.wgsl.

override ELEMENTS: u32;     // of y
override HEIGHT: u32;       // of y: H
override WIDTH: u32;        // of y
override FROM_HEIGHT: u32;  // of x: h
override FROM_WIDTH: u32;   // of x
override ROW_SCALE: i32;
override ROW_SHIFT: i32;
override ROW_DIVISOR: u32;
override COLUMN_SCALE: i32;
override COLUMN_SHIFT: i32;
override COLUMN_DIVISOR: u32;

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;        // [N, C, h, w]
@group(0) @binding(1) var<storage, read_write> y: array<Y>;  // [N, C, H, W]

// The place of element i of an axis, in units of 1 / divisor; end is that of the last one.
fn position(i: u32, scale: i32, shift: i32, end: u32) -> u32 {
    return u32(clamp(i32(i) * scale + shift, 0, i32(end)));
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
    let j = index % WIDTH;
    let i = index / WIDTH % HEIGHT;
    let p = index / (WIDTH * HEIGHT);

    let row = position(i, ROW_SCALE, ROW_SHIFT, (FROM_HEIGHT - 1u) * ROW_DIVISOR);
    let a = row % ROW_DIVISOR;
    let above = row / ROW_DIVISOR;
    // On the last row a = 0.
    let below = min(above + 1u, FROM_HEIGHT - 1u);
    let column = position(j, COLUMN_SCALE, COLUMN_SHIFT, (FROM_WIDTH - 1u) * COLUMN_DIVISOR);
    let b = column % COLUMN_DIVISOR;
    let left = column / COLUMN_DIVISOR;
    let right = min(left + 1u, FROM_WIDTH - 1u);

    let upper_row = (p * FROM_HEIGHT + above) * FROM_WIDTH;
    let lower_row = (p * FROM_HEIGHT + below) * FROM_WIDTH;
    let to_right = f32(b) / f32(COLUMN_DIVISOR);
    let to_left = f32(COLUMN_DIVISOR - b) / f32(COLUMN_DIVISOR);
    let upper = to_left * f32(x[upper_row + left]) + to_right * f32(x[upper_row + right]);
    let lower = to_left * f32(x[lower_row + left]) + to_right * f32(x[lower_row + right]);
    let down = f32(a) / f32(ROW_DIVISOR);
    let up = f32(ROW_DIVISOR - a) / f32(ROW_DIVISOR);
    y[index] = Y(up * upper + down * lower);
}
