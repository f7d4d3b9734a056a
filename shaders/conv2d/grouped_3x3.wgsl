// y[n, o, i, j] = [relu] (bias[o] + sum over c, u, v of weight[o, c, u, v] * x[n, g C/G + c, i + u - PY, j + v - PX]
//     [+ residual[n, o, i, j]]), u, v in 0..3
//
// 3x3 kernels with stride 1 and any number of groups; c counts the few channels of o's group g. With INPUT_GRADIENT x
// is dy, y is dx, and tap [g O/G + c, o - g C/G, 2 - u, 2 - v] of the forward weight is used: the gradient for the
// input.
//
// Computes: a tile of 8x4 outputs (columns x rows) of OUTPUTS channels of one group per invocation; a workgroup
//   computes WORKGROUP tiles of the same channels.
// Grid: out_channels / OUTPUTS * ceil(tiles / WORKGROUP) workgroups of WORKGROUP, channels first, folded into y past
//   65,535. Subgroups have 8 lanes or more; WORKGROUP is a multiple of 8 and at most a subgroup.
// Memory: a tile needs 6 rows of 10 inputs, which stay in registers for all OUTPUTS. A row of inputs meets the three
//   taps of a row like this, c the column of x for the tile's first output at v = 0:
//
//     before | left               | right              | after
//     c      | c+1  c+2  c+3  c+4 | c+5  c+6  c+7  c+8 | c+9
//
//     outputs 0 .. 3  read  c .. c+3 (v = 0),  c+1 .. c+4 = left  (v = 1),  c+2 .. c+5 (v = 2)
//     outputs 4 .. 7  read  c+4 .. c+7,        c+5 .. c+8 = right,          c+6 .. c+9
//
//   With VEC4 left and right are one vec4 load each. Lanes 0 to 7 of a subgroup load eight of the nine taps, and
//   subgroupBroadcast hands them to all; the ninth every lane loads.
// Why: for CPU adapters, where loads cost most. Every invocation runs to the end, for the broadcasts. The extents come
//   from a buffer: one pipeline serves all shapes.
// Measured: lavapipe, 2 cores, subgroups of 8; GFLOP/s by CPU time, grouped.wgsl and forward.wgsl in brackets: 15
//   groups of 2->2 channels, 24x24 batch 8: 9 (1.6, 1.0).

override HAS_BIAS: bool;
override RESIDUAL: bool;
override RELU: bool;
override INPUT_GRADIENT: bool;
override OUTPUTS: u32;  // 1, or 2 where out_channels / groups is even
override WORKGROUP: u32;
override VEC4: bool;    // width is a multiple of 4 and padding_x is 1: load x as vec4 where it is

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

// Ten inputs in a row.
struct Row { before: f32, left: vec4f, right: vec4f, after: f32 }

struct Taps { top: vec3f, middle: vec3f, bottom: vec3f }

// 8x4 outputs of a channel.
struct Tile { left0: vec4f, right0: vec4f, left1: vec4f, right1: vec4f, left2: vec4f, right2: vec4f, left3: vec4f, right3: vec4f }

fn load(e: Extents, plane: u32, row: i32, column: i32) -> f32 {
    let inside = row >= 0 && row < i32(e.height) && column >= 0 && column < i32(e.width);
    return select(0.0, f32(x[select(0u, plane + u32(row * i32(e.width) + column), inside)]), inside);
}

fn load_four(e: Extents, plane: u32, row: i32, column: i32) -> vec4f {
    if VEC4 {
        let inside = row >= 0 && row < i32(e.height) && column < i32(e.width);
        let at = select(0u, plane + u32(row * i32(e.width) + column), inside);
        return select(vec4f(0.0), vec4f(x_vec4[at / 4u]), inside);
    }
    return vec4f(
        load(e, plane, row, column),
        load(e, plane, row, column + 1),
        load(e, plane, row, column + 2),
        load(e, plane, row, column + 3),
    );
}

fn load_row(e: Extents, plane: u32, row: i32, column: i32) -> Row {
    return Row(
        load(e, plane, row, column),
        load_four(e, plane, row, column + 1),
        load_four(e, plane, row, column + 5),
        load(e, plane, row, column + 9),
    );
}

fn load_taps(start: u32, lane: u32) -> Taps {
    let mine = weight[start + lane];
    let last = weight[start + 8u];
    let top = vec3f(subgroupBroadcast(mine, 0u), subgroupBroadcast(mine, 1u), subgroupBroadcast(mine, 2u));
    let middle = vec3f(subgroupBroadcast(mine, 3u), subgroupBroadcast(mine, 4u), subgroupBroadcast(mine, 5u));
    let bottom = vec3f(subgroupBroadcast(mine, 6u), subgroupBroadcast(mine, 7u), last);
    if INPUT_GRADIENT {
        return Taps(bottom.zyx, middle.zyx, top.zyx);
    }
    return Taps(top, middle, bottom);
}

fn left(sum: vec4f, r: Row, w: vec3f) -> vec4f {
    let shifted = fma(vec4f(r.before, r.left.xyz), vec4f(w.x), sum);
    return fma(vec4f(r.left.yzw, r.right.x), vec4f(w.z), fma(r.left, vec4f(w.y), shifted));
}

fn right(sum: vec4f, r: Row, w: vec3f) -> vec4f {
    let shifted = fma(vec4f(r.left.w, r.right.xyz), vec4f(w.x), sum);
    return fma(vec4f(r.right.yzw, r.after), vec4f(w.z), fma(r.right, vec4f(w.y), shifted));
}

fn add(t: Tile, r0: Row, r1: Row, r2: Row, r3: Row, r4: Row, r5: Row, w: Taps) -> Tile {
    return Tile(
        left(left(left(t.left0, r0, w.top), r1, w.middle), r2, w.bottom),
        right(right(right(t.right0, r0, w.top), r1, w.middle), r2, w.bottom),
        left(left(left(t.left1, r1, w.top), r2, w.middle), r3, w.bottom),
        right(right(right(t.right1, r1, w.top), r2, w.middle), r3, w.bottom),
        left(left(left(t.left2, r2, w.top), r3, w.middle), r4, w.bottom),
        right(right(right(t.right2, r2, w.top), r3, w.middle), r4, w.bottom),
        left(left(left(t.left3, r3, w.top), r4, w.middle), r5, w.bottom),
        right(right(right(t.right3, r3, w.top), r4, w.middle), r5, w.bottom),
    );
}

fn start(output: u32) -> Tile {
    let b = vec4f(select(0.0, bias[select(0u, output, HAS_BIAS)], HAS_BIAS));
    return Tile(b, b, b, b, b, b, b, b);
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

fn store(e: Extents, t: Tile, plane: u32, row: u32, column: u32) {
    store_four(e, t.left0, plane, row, column);
    store_four(e, t.right0, plane, row, column + 4u);
    store_four(e, t.left1, plane, row + 1u, column);
    store_four(e, t.right1, plane, row + 1u, column + 4u);
    store_four(e, t.left2, plane, row + 2u, column);
    store_four(e, t.right2, plane, row + 2u, column + 4u);
    store_four(e, t.left3, plane, row + 3u, column);
    store_four(e, t.right3, plane, row + 3u, column + 4u);
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
    let blocks = e.out_channels / OUTPUTS;
    let output = index % blocks * OUTPUTS;
    let tile = index / blocks * WORKGROUP + local;
    let tiles_x = (e.out_width + 7u) / 8u;
    let tiles_y = (e.out_height + 3u) / 4u;
    let sample = tile / (tiles_x * tiles_y);
    let row = tile / tiles_x % tiles_y * 4u;
    let column = tile % tiles_x * 8u;
    let top = i32(row) - i32(e.padding_y);
    let left = i32(column) - i32(e.padding_x);
    let channels = e.channels / e.groups;
    let outputs = e.out_channels / e.groups;
    let group = output / outputs;

    var a = start(output);
    var b = start(min(output + 1u, e.out_channels - 1u));
    for (var channel = 0u; channel < channels; channel++) {
        let plane = (min(sample, e.batch - 1u) * e.channels + group * channels + channel) * e.height * e.width;
        let r0 = load_row(e, plane, top, left);
        let r1 = load_row(e, plane, top + 1, left);
        let r2 = load_row(e, plane, top + 2, left);
        let r3 = load_row(e, plane, top + 3, left);
        let r4 = load_row(e, plane, top + 4, left);
        let r5 = load_row(e, plane, top + 5, left);
        let forward = output * channels + channel;
        let backward = (group * channels + channel) * outputs + output % outputs;
        a = add(a, r0, r1, r2, r3, r4, r5, load_taps(9u * select(forward, backward, INPUT_GRADIENT), lane));
        if OUTPUTS > 1u {
            let next = 9u * select(forward + channels, backward + 1u, INPUT_GRADIENT);
            b = add(b, r0, r1, r2, r3, r4, r5, load_taps(next, lane));
        }
    }

    if sample >= e.batch {
        return;
    }
    let plane = (sample * e.out_channels + output) * e.out_height * e.out_width;
    store(e, a, plane, row, column);
    if OUTPUTS > 1u {
        store(e, b, plane + e.out_height * e.out_width, row, column);
    }
}
