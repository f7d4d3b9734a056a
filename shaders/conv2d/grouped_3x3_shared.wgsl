// y[n, o, i, j] = [relu] (bias[o] + sum over c, u, v of weight[o, c, u, v] * x[n, g C/G + c, i + u - PY, j + v - PX]
//     [+ residual[n, o, i, j]]), u, v in 0..3
//
// 3x3 kernels with stride 1 and any number of groups; c counts the few channels of o's group g. With INPUT_GRADIENT x
// is dy, y is dx, and tap [g O/G + c, o - g C/G, 2 - u, 2 - v] of the forward weight is used: the gradient for the
// input.
//
// Computes: a tile of OUTPUTS channels of one group per workgroup: STRIPS strips of four columns and 256 / STRIPS rows;
//   two rows of a strip per invocation. STRIPS = 8 makes tiles of 32 rows and 32 columns.
// Grid: batch * out_channels / OUTPUTS * tiles workgroups of 128, tiles first, folded into y past 65,535.
// Memory: the tiles of CHANNELS channels of x at a time lie in workgroup memory, with a row more above and below where
//   the padding is 1 and a vec4 more on each side, as rows of STRIPS + 2 vec4, zero outside of x:
//
//     vec4 s     | vec4 s + 1            | vec4 s + 2
//     . . . j-1  | j    j+1  j+2  j+3    | j+4 . . .        what the outputs j .. j+3 of strip s meet
//
//   So do the taps, a vec4 a row. Neighbouring lanes load neighbouring vec4.
// Why: for GPUs: x is loaded once for all taps and OUTPUTS outputs. The extents come from a buffer: one pipeline
//   serves all shapes with such tiles.
// Measured: not measured on a GPU. Compilers (tools/isa) for gfx1100 / navi31 / ga102, 2->2 channels: 60 / 72 / 64
//   registers and no spills, 52 / 51 / 36 % of the main loop multiply-adds; grouped_3x3.wgsl has 132 registers and 24
//   spills / 144 / 152 registers, and 30 / 37 / 35 %.

override HAS_BIAS: bool;
override RESIDUAL: bool;
override RELU: bool;
override INPUT_GRADIENT: bool;
override OUTPUTS: u32;   // 1, or 2 where out_channels / groups is even
override CHANNELS: u32;  // channels at a time: 1, or 2 where channels / groups is even
override VEC4: bool;     // width is a multiple of 4 and padding_x is 1: load x as vec4
override STRIPS: u32;    // strips of four columns across a tile: 4, 8 or 16

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
@group(0) @binding(2) var<storage, read> weight: array<f32>;         // [out_channels, channels / groups, 3, 3]; with INPUT_GRADIENT [channels, out_channels / groups, 3, 3]
@group(0) @binding(3) var<storage, read> bias: array<f32>;           // [out_channels]; anything where HAS_BIAS is false
@group(0) @binding(4) var<storage, read> residual: array<Residual>;  // [batch, out_channels, out_height, out_width]; anything where RESIDUAL is false
@group(0) @binding(5) var<storage, read> extents: Extents;
@group(0) @binding(6) var<storage, read_write> y: array<Y>;          // [batch, out_channels, out_height, out_width]

// The inputs of CHANNELS channels, STRIPS + 2 a row.
var<workgroup> tile: array<vec4f, 792>;
// The taps by channel, output and row.
var<workgroup> taps: array<vec4f, 12>;

// Six inputs in a row.
struct Row { before: f32, middle: vec4f, after: f32 }

// Two rows of four outputs of a channel.
struct Sums { upper: vec4f, lower: vec4f }

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
    let column = first_column + 4u * (at % (STRIPS + 2u)) - e.padding_x - 3u;
    return load_vec4(e, plane, row, column);
}

// Loads and stores the tile of the channel that begins at `plane`, at `to`.
fn load_tile(e: Extents, plane: u32, first_row: u32, first_column: u32, lane: u32, to: u32) {
    // Three loads at a time. The tile has more than 256 elements, and with STRIPS = 4 more than 384.
    let elements = (STRIPS + 2u) * (256u / STRIPS + 2u);
    let x0 = load(e, plane, first_row, first_column, lane);
    let x1 = load(e, plane, first_row, first_column, lane + 128u);
    let x2 = load(e, plane, first_row, first_column, min(lane + 256u, elements - 1u));
    tile[to + lane] = x0;
    tile[to + lane + 128u] = x1;
    if lane + 256u < elements {
        tile[to + lane + 256u] = x2;
    }
    if lane + 384u < elements {
        tile[to + lane + 384u] = load(e, plane, first_row, first_column, lane + 384u);
    }
}

// Taps in row u from a channel to an output of the group.
fn row_of_taps(e: Extents, channel: u32, output: u32, u: u32) -> vec4f {
    let channels = e.channels / e.groups;
    let outputs = e.out_channels / e.groups;
    if INPUT_GRADIENT {
        let group = output / outputs;
        let start = 9u * ((group * channels + channel) * outputs + output % outputs) + 8u - 3u * u;
        return vec4f(weight[start], weight[start - 1u], weight[start - 2u], 0.0);
    }
    let start = 9u * (output * channels + channel) + 3u * u;
    return vec4f(weight[start], weight[start + 1u], weight[start + 2u], 0.0);
}

fn row_at(at: u32) -> Row {
    return Row(tile[at].w, tile[at + 1u], tile[at + 2u].x);
}

// The products of six inputs in a row with three taps, for four outputs.
fn add(sum: vec4f, r: Row, w: vec4f) -> vec4f {
    let shifted = fma(vec4f(r.before, r.middle.xyz), vec4f(w.x), sum);
    return fma(vec4f(r.middle.yzw, r.after), vec4f(w.z), fma(r.middle, vec4f(w.y), shifted));
}

// The products of four rows of inputs with the taps at `at`.
fn add_channel(s: Sums, r0: Row, r1: Row, r2: Row, r3: Row, at: u32) -> Sums {
    let top = taps[at];
    let middle = taps[at + 1u];
    let bottom = taps[at + 2u];
    return Sums(
        add(add(add(s.upper, r0, top), r1, middle), r2, bottom),
        add(add(add(s.lower, r1, top), r2, middle), r3, bottom),
    );
}

fn start(output: u32) -> Sums {
    let b = vec4f(select(0.0, bias[select(0u, output, HAS_BIAS)], HAS_BIAS));
    return Sums(b, b);
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
    let elements = vectors * (rows + 2u);
    let tiles_x = (e.out_width + 4u * STRIPS - 1u) / (4u * STRIPS);
    let tiles_y = (e.out_height + rows - 1u) / rows;
    let blocks = e.out_channels / OUTPUTS;
    let channels = e.channels / e.groups;
    let index = workgroup.y * workgroups.x + workgroup.x;
    let map = index / (tiles_x * tiles_y);
    let sample = map / blocks;
    let output = map % blocks * OUTPUTS;
    let first_channel = output / (e.out_channels / e.groups) * channels;
    let first_row = index / tiles_x % tiles_y * rows;
    let first_column = index % tiles_x * 4u * STRIPS;

    let row = lane / STRIPS * 2u;
    let strip = lane % STRIPS;
    var a = start(output);
    var b = start(min(output + 1u, e.out_channels - 1u));
    for (var channel = 0u; channel < channels; channel += CHANNELS) {
        let plane = (min(sample, e.batch - 1u) * e.channels + first_channel + channel) * e.height * e.width;
        workgroupBarrier();
        load_tile(e, plane, first_row, first_column, lane, 0u);
        if CHANNELS > 1u {
            load_tile(e, plane + e.height * e.width, first_row, first_column, lane, elements);
        }
        if lane < 3u * OUTPUTS * CHANNELS {
            let place = lane / 3u;
            taps[lane] = row_of_taps(e, channel + place / OUTPUTS, output + place % OUTPUTS, lane % 3u);
        }
        workgroupBarrier();

        for (var c = 0u; c < CHANNELS; c++) {
            let at = c * elements + row * vectors + strip;
            let r0 = row_at(at);
            let r1 = row_at(at + vectors);
            let r2 = row_at(at + 2u * vectors);
            let r3 = row_at(at + 3u * vectors);
            a = add_channel(a, r0, r1, r2, r3, 3u * OUTPUTS * c);
            if OUTPUTS > 1u {
                b = add_channel(b, r0, r1, r2, r3, 3u * OUTPUTS * c + 3u);
            }
        }
    }

    if sample >= e.batch {
        return;
    }
    let plane = (sample * e.out_channels + output) * e.out_height * e.out_width;
    let out_row = first_row + row;
    let out_column = first_column + 4u * strip;
    store(e, a.upper, plane, out_row, out_column);
    store(e, a.lower, plane, out_row + 1u, out_column);
    if OUTPUTS > 1u {
        let next = plane + e.out_height * e.out_width;
        store(e, b.upper, next, out_row, out_column);
        store(e, b.lower, next, out_row + 1u, out_column);
    }
}
