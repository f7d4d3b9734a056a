// y[c, i, j] = sum over u, v of theta[c, u, v] x[c, i + u - TOP, j + v - LEFT], with x = 0 outside the map
//
// c counts the channels of all samples. With ROTATED theta is rotated by 180 degrees: with TOP and LEFT mirrored too,
// this is the transpose, which computes dx from dy. Kernels are 9x9 at most.
//
// Computes: a tile of 1024 outputs of one channel per workgroup: STRIPS strips of four columns and 256 / STRIPS rows;
//   two rows of a strip per invocation. STRIPS = 8 makes tiles of 32 rows and 32 columns.
// Grid: CHANNELS * tiles workgroups of 128, tiles first, folded into y past 65,535.
// Memory: the tile's inputs lie in workgroup memory, with four columns more on each side and the rows that its taps
//   meet, as rows of STRIPS + 2 vec4, zero outside of x; so does the kernel, as three vec4 a row, in which tap v is in
//   place 4 - LEFT + v. With LEFT = 3, KERNEL_WIDTH = 7:
//
//     place            0   1   2   3   4   5   6   7   8
//     tap v            .   0   1   2   3   4   5   6   .
//     meets column   j-4 j-3 j-2 j-1   j j+1 j+2 j+3 j+4      for output j
//
//   An invocation goes down the rows of taps as that of conv2d/depthwise_9x9_shared.wgsl does.
// Why: for GPUs: each input is loaded from global memory about once, four loads in flight a lane. Places without a tap
//   cost nothing, as they are known when the pipeline is made.
// Measured: not measured on a GPU. Compilers (tools/isa) for gfx1100 / navi31 / ga102, 7x7: 84 / 72 / 72 registers and
//   no spills, 88 / 82 / 83 % of the unrolled steps multiply-adds; the loop of forward.wgsl has 35 / 32 / 21 %.

override CHANNELS: u32;  // N C
override HEIGHT: u32;
override WIDTH: u32;
override KERNEL_HEIGHT: u32;  // at most 9
override KERNEL_WIDTH: u32;   // at most 9
override TOP: u32;            // at most 4
override LEFT: u32;           // at most 4
override ROTATED: bool;
override VEC4: bool;          // WIDTH is a multiple of 4: load x as vec4
override STRIPS: u32;         // strips of four columns across a tile: 4, 8 or 16

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Theta = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;             // [N, C, H, W]
@group(0) @binding(1) var<storage, read> x_vec4: array<vec4<X>>;  // x again, as vec4
@group(0) @binding(2) var<storage, read> theta: array<Theta>;     // [N, C, KERNEL_HEIGHT, KERNEL_WIDTH]
@group(0) @binding(3) var<storage, read_write> y: array<Y>;       // [N, C, H, W]

// The inputs, STRIPS + 2 a row.
var<workgroup> tile: array<vec4f, 432>;
// The kernel, three a row.
var<workgroup> taps: array<vec4f, 27>;

// 12 inputs in a row.
struct Row { a: vec4f, b: vec4f, c: vec4f }

// Nine places of a row of taps.
struct Taps { first: vec4f, second: vec4f, last: f32 }

// Two rows of inputs and the sums of the outputs that they meet.
struct Window { upper: Row, lower: Row, upper_sum: vec4f, lower_sum: vec4f }

// Rows and columns above and left of the map have wrapped round to large numbers.
fn load_vec4(plane: u32, row: u32, column: u32) -> vec4f {
    let row_inside = row < HEIGHT;
    if VEC4 {
        let inside = row_inside & (column < WIDTH);
        let at = select(0u, plane + row * WIDTH + column, inside);
        return select(vec4f(0.0), vec4f(x_vec4[at / 4u]), inside);
    }
    let columns = column + vec4u(0u, 1u, 2u, 3u);
    let inside = (columns < vec4u(WIDTH)) & vec4<bool>(row_inside);
    let at = select(vec4u(0u), plane + row * WIDTH + columns, inside);
    return select(vec4f(0.0), vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w])), inside);
}

// Element `at` of the tile whose first output is at this row and column.
fn load(plane: u32, first_row: u32, first_column: u32, at: u32) -> vec4f {
    let row = first_row + at / (STRIPS + 2u) - TOP;
    let column = first_column + 4u * (at % (STRIPS + 2u)) - 4u;
    return load_vec4(plane, row, column);
}

// Whether there is a tap in place s.
fn counts(s: u32) -> bool {
    return s + LEFT >= 4u && s + LEFT < 4u + KERNEL_WIDTH;
}

// The tap in place s of row u, 0 where there is none.
fn load_tap(channel: u32, u: u32, s: u32) -> f32 {
    let inside = u < KERNEL_HEIGHT && counts(s);
    let number = select(0u, u * KERNEL_WIDTH + s + LEFT - 4u, inside);
    let of_kernel = KERNEL_HEIGHT * KERNEL_WIDTH;
    let value = f32(theta[channel * of_kernel + select(number, of_kernel - 1u - number, ROTATED)]);
    return select(0.0, value, inside);
}

fn row_at(at: u32) -> Row {
    return Row(tile[at], tile[at + 1u], tile[at + 2u]);
}

fn taps_at(u: u32) -> Taps {
    return Taps(taps[3u * u], taps[3u * u + 1u], taps[3u * u + 2u].x);
}

// The products of 12 inputs in a row with the taps, for four outputs.
fn add(sum: vec4f, r: Row, w: Taps) -> vec4f {
    var next = sum;
    if counts(0u) {
        next = fma(r.a, vec4f(w.first.x), next);
    }
    if counts(1u) {
        next = fma(vec4f(r.a.yzw, r.b.x), vec4f(w.first.y), next);
    }
    if counts(2u) {
        next = fma(vec4f(r.a.zw, r.b.xy), vec4f(w.first.z), next);
    }
    if counts(3u) {
        next = fma(vec4f(r.a.w, r.b.xyz), vec4f(w.first.w), next);
    }
    if counts(4u) {
        next = fma(r.b, vec4f(w.second.x), next);
    }
    if counts(5u) {
        next = fma(vec4f(r.b.yzw, r.c.x), vec4f(w.second.y), next);
    }
    if counts(6u) {
        next = fma(vec4f(r.b.zw, r.c.xy), vec4f(w.second.z), next);
    }
    if counts(7u) {
        next = fma(vec4f(r.b.w, r.c.xyz), vec4f(w.second.w), next);
    }
    if counts(8u) {
        next = fma(r.c, vec4f(w.last), next);
    }
    return next;
}

// Rows u and u + 1 of the taps. `next` is the place of the row of inputs behind those of the window.
fn two_rows_of_taps(window: Window, next: u32, u: u32) -> Window {
    let w0 = taps_at(u);
    let w1 = taps_at(u + 1u);
    let r2 = row_at(next);
    let r3 = row_at(next + STRIPS + 2u);
    return Window(
        r2,
        r3,
        add(add(window.upper_sum, window.upper, w0), window.lower, w1),
        add(add(window.lower_sum, window.lower, w0), r2, w1),
    );
}

fn store(value: vec4f, plane: u32, row: u32, column: u32) {
    if row >= HEIGHT || column >= WIDTH {
        return;
    }
    let at = plane + row * WIDTH + column;
    y[at] = Y(value.x);
    if VEC4 || column + 1u < WIDTH {
        y[at + 1u] = Y(value.y);
    }
    if VEC4 || column + 2u < WIDTH {
        y[at + 2u] = Y(value.z);
    }
    if VEC4 || column + 3u < WIDTH {
        y[at + 3u] = Y(value.w);
    }
}

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let vectors = STRIPS + 2u;
    let rows = 256u / STRIPS;
    let elements = vectors * (rows + KERNEL_HEIGHT - 1u);
    let tiles_x = (WIDTH + 4u * STRIPS - 1u) / (4u * STRIPS);
    let tiles_y = (HEIGHT + rows - 1u) / rows;
    let index = workgroup.y * workgroups.x + workgroup.x;
    let channel = min(index / (tiles_x * tiles_y), CHANNELS - 1u);
    let first_row = index / tiles_x % tiles_y * rows;
    let first_column = index % tiles_x * 4u * STRIPS;
    let plane = channel * HEIGHT * WIDTH;

    // Four loads at a time; the tile has more than 256 elements.
    let x0 = load(plane, first_row, first_column, lane);
    let x1 = load(plane, first_row, first_column, lane + 128u);
    let x2 = load(plane, first_row, first_column, min(lane + 256u, elements - 1u));
    let x3 = load(plane, first_row, first_column, min(lane + 384u, elements - 1u));
    tile[lane] = x0;
    tile[lane + 128u] = x1;
    if lane + 256u < elements {
        tile[lane + 256u] = x2;
    }
    if lane + 384u < elements {
        tile[lane + 384u] = x3;
    }
    if lane < 27u {
        let u = lane / 3u;
        let s = lane % 3u * 4u;
        taps[lane] = vec4f(
            load_tap(channel, u, s),
            load_tap(channel, u, s + 1u),
            load_tap(channel, u, s + 2u),
            load_tap(channel, u, s + 3u),
        );
    }
    workgroupBarrier();

    let row = lane / STRIPS * 2u;
    let strip = lane % STRIPS;
    let at = row * vectors + strip;
    var window = Window(row_at(at), row_at(at + vectors), vec4f(0.0), vec4f(0.0));
    if KERNEL_HEIGHT > 1u {
        window = two_rows_of_taps(window, at + 2u * vectors, 0u);
    }
    if KERNEL_HEIGHT > 3u {
        window = two_rows_of_taps(window, at + 4u * vectors, 2u);
    }
    if KERNEL_HEIGHT > 5u {
        window = two_rows_of_taps(window, at + 6u * vectors, 4u);
    }
    if KERNEL_HEIGHT > 7u {
        window = two_rows_of_taps(window, at + 8u * vectors, 6u);
    }
    var upper = window.upper_sum;
    var lower = window.lower_sum;
    if KERNEL_HEIGHT % 2u == 1u {
        let w = taps_at(KERNEL_HEIGHT - 1u);
        upper = add(upper, window.upper, w);
        lower = add(lower, window.lower, w);
    }

    if index >= CHANNELS * tiles_y * tiles_x {
        return;
    }
    let out_row = first_row + row;
    let out_column = first_column + 4u * strip;
    store(upper, plane, out_row, out_column);
    store(lower, plane, out_row + 1u, out_column);
}
