// t[p, t, j] = sum over i of w(i, t) dy[p, i, j]
//   w(i, t) = 1 - |i's place - t| where that is positive, else 0; places as in forward.wgsl
//
// p counts the maps of all samples and channels. 4 divides the width of dy.
//
// Computes: four neighbours of a row of sums per invocation.
// Grid: ceil(INVOCATIONS / 64) workgroups of 64, folded into y past 65,535.
// Memory: dy and sums as vec4; each row of dy is read for the two rows of x that it was mixed from.
// Why: the weights of rows and of columns are factors: backward_input.wgsl reads each element of dy for four elements of dx;
//   this kernel and backward_columns.wgsl, which makes dx of the sums, read it twice, four at a time, and the sums twice.
// Measured: by CPU time, both together, for 256 maps of 64x64, 3.1 times as fast as backward_input.wgsl to maps of 8x8, 2.6 to
//   16x16 and 1.9 to 32x32 (lavapipe, 2 cores).

override INVOCATIONS: u32;
override HEIGHT: u32;       // of dy: H
override WIDTH: u32;        // of dy: W
override FROM_HEIGHT: u32;  // of dx: h
override ROW_SCALE: i32;
override ROW_SHIFT: i32;
override ROW_DIVISOR: u32;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;

@group(0) @binding(0) var<storage, read> dy: array<vec4<Dy>>;           // [N, C, H, W / 4]
@group(0) @binding(1) var<storage, read_write> sums: array<vec4<f32>>;  // [N, C, h, W / 4]

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
    if index >= INVOCATIONS {
        return;
    }
    let vectors = WIDTH / 4u;
    let vector = index % vectors;
    let t = index / vectors % FROM_HEIGHT;
    let p = index / (vectors * FROM_HEIGHT);
    let last = FROM_HEIGHT - 1u;
    let rows = readers(t, last, ROW_SCALE, ROW_SHIFT, ROW_DIVISOR, HEIGHT);
    var sum = vec4f();
    for (var i = rows.x; i < rows.y; i++) {
        let row = position(i, ROW_SCALE, ROW_SHIFT, last * ROW_DIVISOR);
        sum += nearness(row, t, ROW_DIVISOR) * vec4f(dy[(p * HEIGHT + i) * vectors + vector]);
    }
    sums[index] = sum / f32(ROW_DIVISOR);
}
