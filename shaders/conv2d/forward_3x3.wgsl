// y[n, o, i, j] = [relu] (bias[o] + sum over c, u, v of weight[o, c, u, v] * x[n, c, i + u - PY, j + v - PX]
//     [+ residual[n, o, i, j]]), u, v in 0..3
//
// 3x3 kernels with stride 1, one group. With INPUT_GRADIENT x is dy, y is dx, and tap [c, o, 2 - u, 2 - v] of the
// forward weight is used: the gradient for the input.
//
// Computes: 4 tiles of 4x3 outputs (columns x rows), 48 pixels, of OUTPUTS_A_LANE channels per invocation; a workgroup,
//   at most one subgroup, computes the same 4 tiles of WORKGROUP * OUTPUTS_A_LANE channels. With STATISTICS an
//   invocation also writes the moments of its pixels of each channel.
// Grid: ceil(tiles / 4) * ceil(out_channels / (WORKGROUP * OUTPUTS_A_LANE)) workgroups of WORKGROUP, channels first,
//   folded into y past 65,535. Subgroups have 8 lanes or more; WORKGROUP is a multiple of 8 and at most a subgroup.
// Memory: lanes stand for output channels and share their pixels. The 6x5 inputs of a tile, numbers 0 to 29 row by row,
//   are loaded once: number s by lane s mod 8, as component x, y, z or w (s / 8) of its one vec4. subgroupBroadcast
//   hands each to all lanes:
//
//     column     0   1   2   3   4   5
//     row 0     0x  1x  2x  3x  4x  5x       0x: lane 0, component x
//     row 1     6x  7x  0y  1y  2y  3y
//     row 2     4y  5y  6y  7y  0z  1z
//     row 3     2z  3z  4z  5z  6z  7z
//     row 4     0w  1w  2w  3w  4w  5w       6w and 7w are not used
//
//   Of a row, outputs 0 to 3 meet columns 0 to 3 (v = 0), 1 to 4 (v = 1) and 2 to 5 (v = 2).
//
//   The nine taps of an output and channel are 36 bytes, so that they begin at any of four places in a vec4. A lane
//   reads the three vec4 that hold them and shifts by one element where the place is odd, then by two where it is 2 or
//   3:
//
//     place 0    0 1 2 3 | 4 5 6 7 | 8 . . .
//     place 1    . 0 1 2 | 3 4 5 6 | 7 8 . .
//     place 2    . . 0 1 | 2 3 4 5 | 6 7 8 .
//     place 3    . . . 0 | 1 2 3 4 | 5 6 7 8
//
// Why: for CPU adapters, where loads cost most: per channel c and output channel a lane loads 16 elements of x and 3
//   vec4 of taps for 432 multiply-adds. The nine products of an output join the others as one sum, which keeps the
//   rounding error of long sums small. From the moments batch_norm/statistics_of_splits.wgsl computes mean and variance
//   of y without reading it. Every invocation runs to the end, for the broadcasts. The extents come from a buffer: one
//   pipeline serves all shapes.
// Measured: lavapipe, 2 cores, subgroups of 8; GFLOP/s by CPU time, forward.wgsl in brackets: 64->64 64x64 batch 4 32
//   to 36 (0.7 to 1.0), 16->16 24x24 batch 8 32 (0.5 to 1.0), 64->64 3x3 batch 8 26 (1.2). x loaded as vec4: 1.5 times
//   as fast at 8 output channels, the same or slower elsewhere, and not kept.

override HAS_BIAS: bool;
override RESIDUAL: bool;
override RELU: bool;
override INPUT_GRADIENT: bool;
override STATISTICS: bool;     // not with RESIDUAL, RELU or INPUT_GRADIENT
override OUTPUTS_A_LANE: u32;  // 1 or 2
override WORKGROUP: u32;

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

@group(0) @binding(0) var<storage, read> x: array<X>;                    // [batch, channels, height, width]
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;           // [out_channels, channels, 3, 3] as vec4; with INPUT_GRADIENT [channels, out_channels, 3, 3]
@group(0) @binding(2) var<storage, read> bias: array<f32>;               // [out_channels]; anything where HAS_BIAS is false
@group(0) @binding(3) var<storage, read> residual: array<Residual>;      // [batch, out_channels, out_height, out_width]; anything where RESIDUAL is false
@group(0) @binding(4) var<storage, read> extents: Extents;
@group(0) @binding(5) var<storage, read_write> y: array<Y>;              // [batch, out_channels, out_height, out_width]
@group(0) @binding(6) var<storage, read_write> moments: array<Moments>;  // [out_channels, ceil(tiles / 4)]; any other where STATISTICS is false

// Number, mean and sum of squared deviations from that mean of the pixels of 4 tiles.
struct Moments { count: f32, mean: f32, squares: f32 }

const TILE_WIDTH = 4u;
const TILE_HEIGHT = 3u;

struct Taps { top: vec3f, middle: vec3f, bottom: vec3f }

// Outputs of one tile and channel.
struct Tile { top: vec4f, middle: vec4f, bottom: vec4f }

// Where a lane finds its four inputs of a tile in channel 0: numbers lane, lane + 8, ... of 30, row by row.
struct Source { offset: vec4u, inside: vec4<bool> }

// Six inputs in a row as the three vec4 that the taps of a row multiply.
struct Row { left: vec4f, centre: vec4f, right: vec4f }

fn load_taps(e: Extents, output: u32, channel: u32) -> Taps {
    let start = 9u * select(output * e.channels + channel, channel * e.out_channels + output, INPUT_GRADIENT);
    let first = weight[start / 4u];
    let second = weight[start / 4u + 1u];
    let third = weight[start / 4u + 2u];
    let odd = (start & 1u) != 0u;
    let a = select(first, vec4f(first.yzw, second.x), odd);
    let b = select(second, vec4f(second.yzw, third.x), odd);
    let c = select(third.xyz, third.yzw, odd);
    let two = (start & 2u) != 0u;
    let taps_0_to_3 = select(a, vec4f(a.zw, b.xy), two);
    let taps_4_to_7 = select(b, vec4f(b.zw, c.xy), two);
    let tap_8 = select(c.x, c.z, two);
    if INPUT_GRADIENT {
        return Taps(vec3f(tap_8, taps_4_to_7.wz), vec3f(taps_4_to_7.yx, taps_0_to_3.w), taps_0_to_3.zyx);
    }
    return Taps(taps_0_to_3.xyz, vec3f(taps_0_to_3.w, taps_4_to_7.xy), vec3f(taps_4_to_7.zw, tap_8));
}

fn source(e: Extents, tile: u32, lane: u32) -> Source {
    let tiles_x = (e.out_width + TILE_WIDTH - 1u) / TILE_WIDTH;
    let tiles_y = (e.out_height + TILE_HEIGHT - 1u) / TILE_HEIGHT;
    let sample = tile / (tiles_x * tiles_y);
    let slot = vec4u(lane) + vec4u(0u, 8u, 16u, 24u);
    let row = vec4i(tile / tiles_x % tiles_y * TILE_HEIGHT + slot / 6u) - i32(e.padding_y);
    let column = vec4i(tile % tiles_x * TILE_WIDTH + slot % 6u) - i32(e.padding_x);
    let inside = (row >= vec4i(0)) & (row < vec4i(i32(e.height))) & (column >= vec4i(0)) & (column < vec4i(i32(e.width)))
        & (slot < vec4u(30u)) & vec4<bool>(sample < e.batch);
    let offset = vec4u(row * i32(e.width) + column) + sample * (e.channels * e.height * e.width);
    return Source(select(vec4u(0u), offset, inside), inside);
}

fn load(at: Source, plane: u32) -> vec4f {
    let offset = at.offset + plane;
    return select(vec4f(0.0), vec4f(f32(x[offset.x]), f32(x[offset.y]), f32(x[offset.z]), f32(x[offset.w])), at.inside);
}

fn make_row(a: f32, b: f32, c: f32, d: f32, e: f32, f: f32) -> Row {
    return Row(vec4f(a, b, c, d), vec4f(b, c, d, e), vec4f(c, d, e, f));
}

fn from_lanes_0_to_5(v: f32) -> Row {
    return make_row(
        subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u),
        subgroupBroadcast(v, 3u), subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u),
    );
}

fn from_lanes_6_to_3(v: f32, next: f32) -> Row {
    return make_row(
        subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u), subgroupBroadcast(next, 0u),
        subgroupBroadcast(next, 1u), subgroupBroadcast(next, 2u), subgroupBroadcast(next, 3u),
    );
}

fn from_lanes_4_to_1(v: f32, next: f32) -> Row {
    return make_row(
        subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u),
        subgroupBroadcast(v, 7u), subgroupBroadcast(next, 0u), subgroupBroadcast(next, 1u),
    );
}

fn from_lanes_2_to_7(v: f32) -> Row {
    return make_row(
        subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u), subgroupBroadcast(v, 4u),
        subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u),
    );
}

fn first_row(r: Row, w: vec3f) -> vec4f {
    return fma(r.right, vec4f(w.z), fma(r.centre, vec4f(w.y), r.left * w.x));
}

fn add_row(sum: vec4f, r: Row, w: vec3f) -> vec4f {
    return fma(r.right, vec4f(w.z), fma(r.centre, vec4f(w.y), fma(r.left, vec4f(w.x), sum)));
}

// All nine products of an output before the next output, so that their sum stays in a register meanwhile. They join the
// others as one, which keeps the rounding error of long sums small.
fn add(t: Tile, r0: Row, r1: Row, r2: Row, r3: Row, r4: Row, w: Taps) -> Tile {
    return Tile(
        t.top + add_row(add_row(first_row(r0, w.top), r1, w.middle), r2, w.bottom),
        t.middle + add_row(add_row(first_row(r1, w.top), r2, w.middle), r3, w.bottom),
        t.bottom + add_row(add_row(first_row(r2, w.top), r3, w.middle), r4, w.bottom),
    );
}

fn accumulate(a: ptr<function, Tile>, b: ptr<function, Tile>, v: vec4f, wa: Taps, wb: Taps) {
    let r0 = from_lanes_0_to_5(v.x);
    let r1 = from_lanes_6_to_3(v.x, v.y);
    let r2 = from_lanes_4_to_1(v.y, v.z);
    let r3 = from_lanes_2_to_7(v.z);
    let r4 = from_lanes_0_to_5(v.w);
    *a = add(*a, r0, r1, r2, r3, r4, wa);
    if OUTPUTS_A_LANE > 1u {
        *b = add(*b, r0, r1, r2, r3, r4, wb);
    }
}

fn start(output: u32) -> Tile {
    let b = vec4f(select(0.0, bias[select(0u, output, HAS_BIAS)], HAS_BIAS));
    return Tile(b, b, b);
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

fn store_row(e: Extents, value: vec4f, plane: u32, row: u32, column: u32) {
    if row >= e.out_height {
        return;
    }
    let at = (plane * e.out_height + row) * e.out_width + column;
    y[at] = Y(finish(value.x, at));
    if column + 1u < e.out_width {
        y[at + 1u] = Y(finish(value.y, at + 1u));
    }
    if column + 2u < e.out_width {
        y[at + 2u] = Y(finish(value.z, at + 2u));
    }
    if column + 3u < e.out_width {
        y[at + 3u] = Y(finish(value.w, at + 3u));
    }
}

fn store(e: Extents, t: Tile, tile: u32, output: u32) {
    let tiles_x = (e.out_width + TILE_WIDTH - 1u) / TILE_WIDTH;
    let tiles_y = (e.out_height + TILE_HEIGHT - 1u) / TILE_HEIGHT;
    let sample = tile / (tiles_x * tiles_y);
    if sample >= e.batch || output >= e.out_channels {
        return;
    }
    let plane = sample * e.out_channels + output;
    let row = tile / tiles_x % tiles_y * TILE_HEIGHT;
    let column = tile % tiles_x * TILE_WIDTH;
    store_row(e, t.top, plane, row, column);
    store_row(e, t.middle, plane, row + 1u, column);
    store_row(e, t.bottom, plane, row + 2u, column);
}

// 1 for the rows and columns of a tile that y has, 0 for the others.
struct Inside { rows: vec3f, columns: vec4f }

fn inside(e: Extents, tile: u32) -> Inside {
    let tiles_x = (e.out_width + TILE_WIDTH - 1u) / TILE_WIDTH;
    let tiles_y = (e.out_height + TILE_HEIGHT - 1u) / TILE_HEIGHT;
    let row = tile / tiles_x % tiles_y * TILE_HEIGHT + vec3u(0u, 1u, 2u);
    let column = tile % tiles_x * TILE_WIDTH + vec4u(0u, 1u, 2u, 3u);
    let exists = tile / (tiles_x * tiles_y) < e.batch;
    let rows = (row < vec3u(e.out_height)) & vec3<bool>(exists);
    return Inside(select(vec3f(0.0), vec3f(1.0), rows), select(vec4f(0.0), vec4f(1.0), column < vec4u(e.out_width)));
}

fn count(at: Inside) -> f32 {
    return dot(at.rows, vec3f(1.0)) * dot(at.columns, vec4f(1.0));
}

fn sum(t: Tile, at: Inside) -> f32 {
    return dot(t.top * at.rows.x + t.middle * at.rows.y + t.bottom * at.rows.z, at.columns);
}

fn squares(t: Tile, at: Inside, mean: f32) -> f32 {
    let top = t.top - mean;
    let middle = t.middle - mean;
    let bottom = t.bottom - mean;
    return dot(top * top * at.rows.x + middle * middle * at.rows.y + bottom * bottom * at.rows.z, at.columns);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
    let e = extents;
    let lane = subgroup_lane % 8u;
    let index = workgroup.y * workgroups.x + workgroup.x;
    let blocks = (e.out_channels + WORKGROUP * OUTPUTS_A_LANE - 1u) / (WORKGROUP * OUTPUTS_A_LANE);
    let output = index % blocks * WORKGROUP * OUTPUTS_A_LANE + local;
    let output_a = min(output, e.out_channels - 1u);
    let output_b = min(output + WORKGROUP, e.out_channels - 1u);
    let tile = index / blocks * 4u;

    var a0 = start(output_a);
    var a1 = a0;
    var a2 = a0;
    var a3 = a0;
    var b0 = start(output_b);
    var b1 = b0;
    var b2 = b0;
    var b3 = b0;
    let source0 = source(e, tile, lane);
    let source1 = source(e, tile + 1u, lane);
    let source2 = source(e, tile + 2u, lane);
    let source3 = source(e, tile + 3u, lane);

    for (var channel = 0u; channel < e.channels; channel++) {
        let wa = load_taps(e, output_a, channel);
        var wb = wa;
        if OUTPUTS_A_LANE > 1u {
            wb = load_taps(e, output_b, channel);
        }
        let plane = channel * e.height * e.width;
        accumulate(&a0, &b0, load(source0, plane), wa, wb);
        accumulate(&a1, &b1, load(source1, plane), wa, wb);
        accumulate(&a2, &b2, load(source2, plane), wa, wb);
        accumulate(&a3, &b3, load(source3, plane), wa, wb);
    }

    store(e, a0, tile, output);
    store(e, a1, tile + 1u, output);
    store(e, a2, tile + 2u, output);
    store(e, a3, tile + 3u, output);
    if OUTPUTS_A_LANE > 1u {
        store(e, b0, tile, output + WORKGROUP);
        store(e, b1, tile + 1u, output + WORKGROUP);
        store(e, b2, tile + 2u, output + WORKGROUP);
        store(e, b3, tile + 3u, output + WORKGROUP);
    }
    if STATISTICS {
        let tiles_x = (e.out_width + TILE_WIDTH - 1u) / TILE_WIDTH;
        let tiles_y = (e.out_height + TILE_HEIGHT - 1u) / TILE_HEIGHT;
        let split = tile / 4u;
        let splits_a_channel = (e.batch * tiles_x * tiles_y + 3u) / 4u;
        if split >= splits_a_channel {
            return;
        }
        let at0 = inside(e, tile);
        let at1 = inside(e, tile + 1u);
        let at2 = inside(e, tile + 2u);
        let at3 = inside(e, tile + 3u);
        let pixels = count(at0) + count(at1) + count(at2) + count(at3);
        if output < e.out_channels {
            let mean = (sum(a0, at0) + sum(a1, at1) + sum(a2, at2) + sum(a3, at3)) / pixels;
            let deviations = squares(a0, at0, mean) + squares(a1, at1, mean) + squares(a2, at2, mean) + squares(a3, at3, mean);
            moments[output * splits_a_channel + split] = Moments(pixels, mean, deviations);
        }
        if OUTPUTS_A_LANE > 1u && output + WORKGROUP < e.out_channels {
            let mean = (sum(b0, at0) + sum(b1, at1) + sum(b2, at2) + sum(b3, at3)) / pixels;
            let deviations = squares(b0, at0, mean) + squares(b1, at1, mean) + squares(b2, at2, mean) + squares(b3, at3, mean);
            moments[(output + WORKGROUP) * splits_a_channel + split] = Moments(pixels, mean, deviations);
        }
    }
}
