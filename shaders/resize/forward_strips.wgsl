// y[p, i, j] = (1 - a) ((1 - b) x[p, t, l] + b x[p, t, l + 1]) + a ((1 - b) x[p, t + 1, l] + b x[p, t + 1, l + 1])
//   t + a = i's place among the rows of x, l + b = j's among the columns, as in forward.wgsl
//
// 4 divides the width of y.
//
// Computes: a strip of STRIP rows of four neighbouring columns of y per invocation, from the top down. It holds the two rows
//   of x that are mixed, brought to the four columns; where the place moves on by a row of x, the lower one becomes the upper.
// Grid: ceil(INVOCATIONS / 64) workgroups of 64, folded into y past 65,535.
// Memory: x by single elements, eight for each row of x that a strip passes; y as vec4.
// Why: beside forward.wgsl a quarter of the stores. The columns' places are computed once for all rows of a strip, and of an
//   enlarged map each row of x is loaded and mixed horizontally once for several rows of y.
// Measured: by CPU time, for 256 maps of 64x64, 2.1 times as fast as forward.wgsl from maps of 8x8, 2.2 from 16x16 and 1.9 from
//   32x32 (lavapipe, 2 cores). Strips of 8 rows were up to 12% slower, those of 32 within 5%.

override INVOCATIONS: u32;
override STRIP: u32;        // rows of y
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

@group(0) @binding(0) var<storage, read> x: array<X>;              // [N, C, h, w]
@group(0) @binding(1) var<storage, read_write> y: array<vec4<Y>>;  // [N, C, H, W / 4]

// The place of element i of an axis, in units of 1 / divisor; end is that of the last one.
fn position(i: u32, scale: i32, shift: i32, end: u32) -> u32 {
    return u32(clamp(i32(i) * scale + shift, 0, i32(end)));
}

// Four elements of x.
fn four_of_x(at: vec4u) -> vec4f {
    return vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w]));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= INVOCATIONS {
        return;
    }
    let vectors = WIDTH / 4u;
    let strips = (HEIGHT + STRIP - 1u) / STRIP;
    let vector = index % vectors;
    let first = index / vectors % strips * STRIP;
    let p = index / (vectors * strips);

    var column = vec4u();
    for (var part = 0u; part < 4u; part++) {
        let end = (FROM_WIDTH - 1u) * COLUMN_DIVISOR;
        column[part] = position(4u * vector + part, COLUMN_SCALE, COLUMN_SHIFT, end);
    }
    let b = column % vec4u(COLUMN_DIVISOR);
    let left = column / vec4u(COLUMN_DIVISOR);
    let right = min(left + 1u, vec4u(FROM_WIDTH - 1u));
    let to_right = vec4f(b) / f32(COLUMN_DIVISOR);
    let to_left = vec4f(vec4u(COLUMN_DIVISOR) - b) / f32(COLUMN_DIVISOR);

    var upper = vec4f();
    var lower = vec4f();
    // The row of x that upper holds: none yet.
    var held = FROM_HEIGHT;
    for (var i = first; i < min(first + STRIP, HEIGHT); i++) {
        let row = position(i, ROW_SCALE, ROW_SHIFT, (FROM_HEIGHT - 1u) * ROW_DIVISOR);
        let a = row % ROW_DIVISOR;
        let above = row / ROW_DIVISOR;
        if above != held {
            if above == held + 1u {
                upper = lower;
            } else {
                let start = vec4u((p * FROM_HEIGHT + above) * FROM_WIDTH);
                upper = to_left * four_of_x(start + left) + to_right * four_of_x(start + right);
            }
            let start = vec4u((p * FROM_HEIGHT + min(above + 1u, FROM_HEIGHT - 1u)) * FROM_WIDTH);
            lower = to_left * four_of_x(start + left) + to_right * four_of_x(start + right);
            held = above;
        }
        let down = f32(a) / f32(ROW_DIVISOR);
        let up = f32(ROW_DIVISOR - a) / f32(ROW_DIVISOR);
        y[(p * HEIGHT + i) * vectors + vector] = vec4<Y>(up * upper + down * lower);
    }
}
