// y[n, c, i, j] = [relu] (bias[c] + sum over u, v of weight[c, u, v] * x[n, c, i + u - PY, j + v - PX]
//     [+ residual[n, c, i, j]]), u, v in 0..9
//
// Depthwise 9x9 kernels with stride 1. With INPUT_GRADIENT x is dy, y is dx, and tap [c, 8 - u, 8 - v] of the forward
// weight is used: the gradient for the input.
//
// Computes: a tile of 8x8 outputs of one channel per invocation; a workgroup computes WORKGROUP tiles of one channel.
// Grid: channels * ceil(tiles / WORKGROUP) workgroups of WORKGROUP, channels first, folded into y past 65,535.
//   Subgroups have 8 lanes or more; WORKGROUP is a multiple of 8 and at most a subgroup.
// Memory: an invocation goes down the nine rows of taps with eight rows of 16 inputs in registers, of which each step
//   drops one and loads one. In step u output row k takes register r[k], which then holds row k + u of the tile's 16
//   inputs:
//
//     output row     0     1     2     3     4     5     6     7
//     step u = 0    row 0   1     2     3     4     5     6     7      taps of row 0
//     step u = 1    row 1   2     3     4     5     6     7     8      taps of row 1; row 8 is loaded
//     ...
//     step u = 8    row 8   9    10    11    12    13    14    15      taps of row 8; row 15 is loaded
//
//   A row is four vec4, a b c d: outputs 0 to 3 meet a b c, outputs 4 to 7 meet b c d, shifted by v. With VEC4 each is
//   one load. Lanes 0 to 7 of a subgroup load eight taps of a row, and subgroupBroadcast hands them to all; the ninth
//   every lane loads.
// Why: for CPU adapters, where loads cost most: each input is loaded once per tile and serves up to 64 multiply-adds of
//   its tile. Every invocation runs to the end, for the broadcasts. The extents come from a buffer: one pipeline serves
//   all shapes.
// Measured: lavapipe, 2 cores, subgroups of 8; GFLOP/s by CPU time, forward.wgsl in brackets: 16 channels, 24x24 batch
//   8: 20 to 26 (0.6 to 1.0).

override HAS_BIAS: bool;
override RESIDUAL: bool;
override RELU: bool;
override INPUT_GRADIENT: bool;
override WORKGROUP: u32;
override VEC4: bool;  // width is a multiple of 4 and padding_x is 4: load x as vec4

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

// 16 inputs in a row.
struct Row { a: vec4f, b: vec4f, c: vec4f, d: vec4f }

// Eight outputs in a row.
struct Sums { left: vec4f, right: vec4f }

// Nine taps in a row.
struct Taps { first: vec4f, second: vec4f, last: f32 }

fn load_vec4(e: Extents, plane: u32, row: i32, column: i32) -> vec4f {
    let row_inside = row >= 0 && row < i32(e.height);
    if VEC4 {
        let inside = row_inside && column >= 0 && column < i32(e.width);
        let at = select(0u, plane + u32(row * i32(e.width) + column), inside);
        return select(vec4f(0.0), vec4f(x_vec4[at / 4u]), inside);
    }
    let columns = vec4i(column) + vec4i(0, 1, 2, 3);
    let inside = (columns >= vec4i(0)) & (columns < vec4i(i32(e.width))) & vec4<bool>(row_inside);
    let at = select(vec4u(0u), plane + vec4u(row * i32(e.width) + columns), inside);
    return select(vec4f(0.0), vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w])), inside);
}

fn load_row(e: Extents, plane: u32, row: i32, column: i32) -> Row {
    return Row(
        load_vec4(e, plane, row, column),
        load_vec4(e, plane, row, column + 4),
        load_vec4(e, plane, row, column + 8),
        load_vec4(e, plane, row, column + 12),
    );
}

fn load_taps(channel: u32, u: u32, lane: u32) -> Taps {
    let start = channel * 81u + select(u * 9u, 80u - u * 9u, INPUT_GRADIENT);
    let mine = weight[select(start + lane, start - lane, INPUT_GRADIENT)];
    let last = weight[select(start + 8u, start - 8u, INPUT_GRADIENT)];
    return Taps(
        vec4f(subgroupBroadcast(mine, 0u), subgroupBroadcast(mine, 1u), subgroupBroadcast(mine, 2u), subgroupBroadcast(mine, 3u)),
        vec4f(subgroupBroadcast(mine, 4u), subgroupBroadcast(mine, 5u), subgroupBroadcast(mine, 6u), subgroupBroadcast(mine, 7u)),
        last,
    );
}

// The products of 12 inputs in a row with the taps, for four outputs.
fn nine(sum: vec4f, a: vec4f, b: vec4f, c: vec4f, w: Taps) -> vec4f {
    var next = fma(a, vec4f(w.first.x), sum);
    next = fma(vec4f(a.yzw, b.x), vec4f(w.first.y), next);
    next = fma(vec4f(a.zw, b.xy), vec4f(w.first.z), next);
    next = fma(vec4f(a.w, b.xyz), vec4f(w.first.w), next);
    next = fma(b, vec4f(w.second.x), next);
    next = fma(vec4f(b.yzw, c.x), vec4f(w.second.y), next);
    next = fma(vec4f(b.zw, c.xy), vec4f(w.second.z), next);
    next = fma(vec4f(b.w, c.xyz), vec4f(w.second.w), next);
    return fma(c, vec4f(w.last), next);
}

fn add(sums: Sums, r: Row, w: Taps) -> Sums {
    return Sums(nine(sums.left, r.a, r.b, r.c, w), nine(sums.right, r.b, r.c, r.d, w));
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

fn store_four(e: Extents, value: vec4f, plane: u32, row: u32, column: u32) {
    if row >= e.out_height {
        return;
    }
    let at = plane + row * e.out_width + column;
    if column < e.out_width {
        y[at] = Y(finish(value.x, at));
    }
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

fn store(e: Extents, sums: Sums, plane: u32, row: u32, column: u32) {
    store_four(e, sums.left, plane, row, column);
    store_four(e, sums.right, plane, row, column + 4u);
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
    let e = extents;
    let index = workgroup.y * workgroups.x + workgroup.x;
    let channel = index % e.channels;
    let tile = index / e.channels * WORKGROUP + local;
    let tiles_x = (e.out_width + 7u) / 8u;
    let tiles_y = (e.out_height + 7u) / 8u;
    let sample = tile / (tiles_x * tiles_y);
    let row = tile / tiles_x % tiles_y * 8u;
    let column = tile % tiles_x * 8u;
    let plane = (min(sample, e.batch - 1u) * e.channels + channel) * e.height * e.width;
    let top = i32(row) - i32(e.padding_y);
    let left = i32(column) - i32(e.padding_x);

    let b = vec4f(select(0.0, bias[select(0u, channel, HAS_BIAS)], HAS_BIAS));
    var s0 = Sums(b, b);
    var s1 = s0;
    var s2 = s0;
    var s3 = s0;
    var s4 = s0;
    var s5 = s0;
    var s6 = s0;
    var s7 = s0;
    var r0 = load_row(e, plane, top, left);
    var r1 = load_row(e, plane, top + 1, left);
    var r2 = load_row(e, plane, top + 2, left);
    var r3 = load_row(e, plane, top + 3, left);
    var r4 = load_row(e, plane, top + 4, left);
    var r5 = load_row(e, plane, top + 5, left);
    var r6 = load_row(e, plane, top + 6, left);
    for (var u = 0u; u < 9u; u++) {
        let r7 = load_row(e, plane, top + 7 + i32(u), left);
        let w = load_taps(channel, u, subgroup_lane % 8u);
        s0 = add(s0, r0, w);
        s1 = add(s1, r1, w);
        s2 = add(s2, r2, w);
        s3 = add(s3, r3, w);
        s4 = add(s4, r4, w);
        s5 = add(s5, r5, w);
        s6 = add(s6, r6, w);
        s7 = add(s7, r7, w);
        r0 = r1;
        r1 = r2;
        r2 = r3;
        r3 = r4;
        r4 = r5;
        r5 = r6;
        r6 = r7;
    }

    if sample >= e.batch {
        return;
    }
    let out_plane = (sample * e.channels + channel) * e.out_height * e.out_width;
    store(e, s0, out_plane, row, column);
    store(e, s1, out_plane, row + 1u, column);
    store(e, s2, out_plane, row + 2u, column);
    store(e, s3, out_plane, row + 3u, column);
    store(e, s4, out_plane, row + 4u, column);
    store(e, s5, out_plane, row + 5u, column);
    store(e, s6, out_plane, row + 6u, column);
    store(e, s7, out_plane, row + 7u, column);
}
