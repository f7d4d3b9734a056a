// y[n, c, i, j] = [relu] (bias[c] + sum over u, v of weight[c, u, v] * x[n, c, i + u - PY, j + v - PX]
//     [+ residual[n, c, i, j]]), u, v in 0..9
//
// Depthwise 9x9 kernels with stride 1. With INPUT_GRADIENT x is dy, y is dx, and tap [c, 8 - u, 8 - v] of the forward
// weight is used: the gradient for the input.
//
// Computes: a tile of 1024 outputs of one map per workgroup: STRIPS strips of four columns and 256 / STRIPS rows; two
//   rows of a strip per invocation. STRIPS = 8 makes tiles of 32 rows and 32 columns.
// Grid: batch * channels * tiles workgroups of 128, tiles first, folded into y past 65,535.
// Memory: the tile's inputs lie in workgroup memory, with four columns and four rows more on each side where the
//   padding is 4, as rows of STRIPS + 2 vec4, zero outside of x; so do the nine rows of taps, as three vec4 each. An
//   invocation goes down the rows of taps with two rows of 12 inputs in registers:
//
//     step u = 0     row 0 for the upper outputs, row 1 for the lower      taps of row 0
//     step u = 1     row 1 for the upper outputs, row 2 for the lower      taps of row 1; row 2 is loaded
//     ...
//
//   A row is three vec4, a b c, which the four outputs meet shifted by v. Neighbouring lanes load neighbouring vec4.
// Why: for GPUs: an input is loaded from global memory about once, four loads in flight a lane; 648 multiply-adds of a
//   lane take 57 loads from workgroup memory, nearly all of 128 bits. The steps are written out, as a loop whose
//   registers take turns is full of moves on one compiler. The extents come from a buffer: one pipeline serves all
//   shapes with such tiles.
// Measured: not measured on a GPU. Compilers (tools/isa) for gfx1100 / navi31 / ga102: 96 / 96 / 88 registers and no
//   spills, 91 / 86 / 89 % of the unrolled steps multiply-adds; depthwise_9x9.wgsl has 132 registers and 215 spills /
//   216 / 224 registers, and 38 / 83 / 61 %.

override HAS_BIAS: bool;
override RESIDUAL: bool;
override RELU: bool;
override INPUT_GRADIENT: bool;
override VEC4: bool;   // width is a multiple of 4 and padding_x is 4: load x as vec4
override STRIPS: u32;  // strips of four columns across a tile: 4, 8 or 16

struct Extents {
    batch: u32,
    channels: u32,
    height: u32,
    width: u32,
    out_channels: u32,
    out_height: u32,
    out_width: u32,
    padding_y: u32,
    padding_x: u32,
    kernel_height: u32,
    kernel_width: u32,
    stride_y: u32,
    stride_x: u32,
    groups: u32,
    splits: u32,  // of a weight gradient, otherwise 1
}

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Residual = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;                // [batch, channels, height, width]
@group(0) @binding(1) var<storage, read> x_vec4: array<vec4<X>>;     // x again, as vec4
@group(0) @binding(2) var<storage, read> weight: array<f32>;         // [channels, 1, 9, 9]
@group(0) @binding(3) var<storage, read> bias: array<f32>;           // [channels]; anything where HAS_BIAS is false
@group(0) @binding(4) var<storage, read> residual: array<Residual>;  // [batch, channels, out_height, out_width]; anything where RESIDUAL is false
@group(0) @binding(5) var<storage, read> extents: Extents;
@group(0) @binding(6) var<storage, read_write> y: array<Y>;          // [batch, channels, out_height, out_width]

// The inputs, STRIPS + 2 a row.
var<workgroup> tile: array<vec4f, 432>;
// The taps, three a row.
var<workgroup> taps: array<vec4f, 27>;

// 12 inputs in a row.
struct Row { a: vec4f, b: vec4f, c: vec4f }

// Two rows of inputs and the sums of the outputs that they meet.
struct Window { upper: Row, lower: Row, upper_sum: vec4f, lower_sum: vec4f }

// Nine taps in a row.
struct Taps { first: vec4f, second: vec4f, last: f32 }

// Rows and columns above and left of the map have wrapped round to large numbers.
fn load_vec4(e: Extents, plane: u32, row: u32, column: u32) -> vec4f {
    let row_inside = row < e.height;
    if VEC4 {
        let inside = row_inside & (column < e.width);
        let at = select(0u, plane + row * e.width + column, inside);
        return select(vec4f(0.0), vec4f(x_vec4[at / 4u]), inside);
    }
    let columns = column + vec4u(0u, 1u, 2u, 3u);
    let inside = (columns < vec4u(e.width)) & vec4<bool>(row_inside);
    let at = select(vec4u(0u), plane + row * e.width + columns, inside);
    return select(vec4f(0.0), vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w])), inside);
}

// Element `at` of the tile whose first output is at this row and column.
fn load(e: Extents, plane: u32, first_row: u32, first_column: u32, at: u32) -> vec4f {
    let row = first_row + at / (STRIPS + 2u) - e.padding_y;
    let column = first_column + 4u * (at % (STRIPS + 2u)) - e.padding_x;
    return load_vec4(e, plane, row, column);
}

// The tap in row u and column v; anything past the ninth column.
fn tap(channel: u32, u: u32, v: u32) -> f32 {
    let number = min(u * 9u + v, 80u);
    return weight[channel * 81u + select(number, 80u - number, INPUT_GRADIENT)];
}

fn row_at(at: u32) -> Row {
    return Row(tile[at], tile[at + 1u], tile[at + 2u]);
}

fn taps_at(u: u32) -> Taps {
    return Taps(taps[3u * u], taps[3u * u + 1u], taps[3u * u + 2u].x);
}

// The products of 12 inputs in a row with the taps, for four outputs.
fn add(sum: vec4f, r: Row, w: Taps) -> vec4f {
    var next = fma(r.a, vec4f(w.first.x), sum);
    next = fma(vec4f(r.a.yzw, r.b.x), vec4f(w.first.y), next);
    next = fma(vec4f(r.a.zw, r.b.xy), vec4f(w.first.z), next);
    next = fma(vec4f(r.a.w, r.b.xyz), vec4f(w.first.w), next);
    next = fma(r.b, vec4f(w.second.x), next);
    next = fma(vec4f(r.b.yzw, r.c.x), vec4f(w.second.y), next);
    next = fma(vec4f(r.b.zw, r.c.xy), vec4f(w.second.z), next);
    next = fma(vec4f(r.b.w, r.c.xyz), vec4f(w.second.w), next);
    return fma(r.c, vec4f(w.last), next);
}

// The steps u and u + 1. `next` is the place of the row of inputs behind those of the window.
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

// What follows the convolution.
fn finish(value: f32, at: u32) -> f32 {
    var result = value;
    if RESIDUAL {
        result += f32(residual[at]);
    }
    if RELU {
        result = max(result, 0.0);
    }
    return result;
}

fn store(e: Extents, value: vec4f, plane: u32, row: u32, column: u32) {
    if row >= e.out_height || column >= e.out_width {
        return;
    }
    let at = plane + row * e.out_width + column;
    y[at] = Y(finish(value.x, at));
    if VEC4 || column + 1u < e.out_width {
        y[at + 1u] = Y(finish(value.y, at + 1u));
    }
    if VEC4 || column + 2u < e.out_width {
        y[at + 2u] = Y(finish(value.z, at + 2u));
    }
    if VEC4 || column + 3u < e.out_width {
        y[at + 3u] = Y(finish(value.w, at + 3u));
    }
}

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = extents;
    let vectors = STRIPS + 2u;
    let rows = 256u / STRIPS;
    let elements = vectors * (rows + 8u);
    let tiles_x = (e.out_width + 4u * STRIPS - 1u) / (4u * STRIPS);
    let tiles_y = (e.out_height + rows - 1u) / rows;
    let index = workgroup.y * workgroups.x + workgroup.x;
    let map = index / (tiles_x * tiles_y);
    let channel = map % e.channels;
    let first_row = index / tiles_x % tiles_y * rows;
    let first_column = index % tiles_x * 4u * STRIPS;
    let plane = min(map, e.batch * e.channels - 1u) * e.height * e.width;

    // Four loads at a time; the tile has more than 384 elements.
    let x0 = load(e, plane, first_row, first_column, lane);
    let x1 = load(e, plane, first_row, first_column, lane + 128u);
    let x2 = load(e, plane, first_row, first_column, lane + 256u);
    let x3 = load(e, plane, first_row, first_column, min(lane + 384u, elements - 1u));
    tile[lane] = x0;
    tile[lane + 128u] = x1;
    tile[lane + 256u] = x2;
    if lane + 384u < elements {
        tile[lane + 384u] = x3;
    }
    if lane < 27u {
        let u = lane / 3u;
        let v = lane % 3u * 4u;
        taps[lane] = vec4f(
            tap(channel, u, v),
            tap(channel, u, v + 1u),
            tap(channel, u, v + 2u),
            tap(channel, u, v + 3u),
        );
    }
    workgroupBarrier();

    let row = lane / STRIPS * 2u;
    let strip = lane % STRIPS;
    let b = vec4f(select(0.0, bias[select(0u, channel, HAS_BIAS)], HAS_BIAS));
    let at = row * vectors + strip;
    var window = Window(row_at(at), row_at(at + vectors), b, b);
    window = two_rows_of_taps(window, at + 2u * vectors, 0u);
    window = two_rows_of_taps(window, at + 4u * vectors, 2u);
    window = two_rows_of_taps(window, at + 6u * vectors, 4u);
    window = two_rows_of_taps(window, at + 8u * vectors, 6u);
    let w = taps_at(8u);
    let upper = add(window.upper_sum, window.upper, w);
    let lower = add(window.lower_sum, window.lower, w);

    if map >= e.batch * e.channels {
        return;
    }
    let out_plane = map * e.out_height * e.out_width;
    let out_row = first_row + row;
    let out_column = first_column + 4u * strip;
    store(e, upper, out_plane, out_row, out_column);
    store(e, lower, out_plane, out_row + 1u, out_column);
}
