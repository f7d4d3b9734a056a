// splits[p, o, c, u, v] = sum over the samples n of split p, over i, j of
//     dy[n, o, i, j] * x[n, g C/G + c, i + u - PY, j + v - PX], u, v in 0..3
//
// 3x3 kernels with stride 1 and any number of groups.
//
// Computes: the nine taps from one channel c to one output o, of one split, per invocation. A split is ceil(batch /
//   splits) samples.
// Grid: ceil(splits * out_channels * (channels / groups) / 8) workgroups of 8, folded into y past 65,535.
// Memory: an invocation goes down a column of four outputs with three rows of six inputs in registers, of which each
//   step drops one and loads one; backward_weight_3x3.wgsl draws what a row adds to the taps. With VEC4 dy and the
//   middle four of the six are one vec4 load each.
// Why: for CPU adapters: a row of x is loaded once for the three rows of taps that it meets. sum_splits.wgsl adds the
//   splits; a single one is the gradient. The extents come from a buffer: one pipeline serves all shapes.
// Measured: lavapipe, 2 cores; GFLOP/s by CPU time, backward_weight.wgsl in brackets: 15 groups of 2->2 channels, 24x24
//   batch 8: 9 (1.1).

override VEC4: bool;  // width is a multiple of 4 and padding_x is 1: load as vec4 where it is

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
alias Dy = f32;
alias X = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;             // [batch, out_channels, out_height, out_width]
@group(0) @binding(1) var<storage, read> dy_vec4: array<vec4<Dy>>;  // dy again, as vec4
@group(0) @binding(2) var<storage, read> x: array<X>;               // [batch, channels, height, width]
@group(0) @binding(3) var<storage, read> x_vec4: array<vec4<X>>;    // x again, as vec4
@group(0) @binding(4) var<storage, read> extents: Extents;
@group(0) @binding(5) var<storage, read_write> splits: array<f32>;  // [splits, out_channels, channels / groups, 3, 3]

// Six pixels of a row of x: the four above a vec4 of dy and one on each side.
struct Row { first: vec4f, last: vec2f }

struct Taps { top: vec3f, middle: vec3f, bottom: vec3f }

fn load(e: Extents, plane: u32, row: i32, column: i32) -> f32 {
    let inside = row >= 0 && row < i32(e.height) && column >= 0 && column < i32(e.width);
    return select(0.0, f32(x[select(0u, plane + u32(row * i32(e.width) + column), inside)]), inside);
}

fn load_row(e: Extents, plane: u32, row: i32, column: i32) -> Row {
    let before = load(e, plane, row, column);
    let after = load(e, plane, row, column + 5);
    if VEC4 {
        let inside = row >= 0 && row < i32(e.height);
        let at = select(0u, plane + u32(row * i32(e.width) + column + 1), inside);
        let vector = select(vec4f(0.0), vec4f(x_vec4[at / 4u]), inside);
        return Row(vec4f(before, vector.xyz), vec2f(vector.w, after));
    }
    let first = vec3f(load(e, plane, row, column + 1), load(e, plane, row, column + 2), load(e, plane, row, column + 3));
    return Row(vec4f(before, first), vec2f(load(e, plane, row, column + 4), after));
}

fn load_gradient(e: Extents, plane: u32, i: u32, j: u32) -> vec4f {
    let start = plane + i * e.out_width;
    if VEC4 {
        return vec4f(dy_vec4[(start + j) / 4u]);
    }
    let columns = vec4u(j) + vec4u(0u, 1u, 2u, 3u);
    let at = start + min(columns, vec4u(e.out_width - 1u));
    return select(vec4f(0.0), vec4f(f32(dy[at.x]), f32(dy[at.y]), f32(dy[at.z]), f32(dy[at.w])), columns < vec4u(e.out_width));
}

fn slide(sum: vec3f, d: vec4f, r: Row) -> vec3f {
    let left = fma(vec3f(d.y), r.first.yzw, fma(vec3f(d.x), r.first.xyz, sum));
    return fma(vec3f(d.w), vec3f(r.first.w, r.last), fma(vec3f(d.z), vec3f(r.first.zw, r.last.x), left));
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = extents;
    let index = (workgroup.y * workgroups.x + workgroup.x) * 8u + lane;
    let channels = e.channels / e.groups;
    if index >= e.splits * e.out_channels * channels {
        return;
    }
    let output = index / channels % e.out_channels;
    let channel = output / (e.out_channels / e.groups) * channels + index % channels;
    let split = index / (channels * e.out_channels);
    let samples = (e.batch + e.splits - 1u) / e.splits;

    var t = Taps(vec3f(0.0), vec3f(0.0), vec3f(0.0));
    for (var sample = split * samples; sample < min((split + 1u) * samples, e.batch); sample++) {
        let x_plane = (sample * e.channels + channel) * e.height * e.width;
        let dy_plane = (sample * e.out_channels + output) * e.out_height * e.out_width;
        for (var j = 0u; j < e.out_width; j += 4u) {
            let column = i32(j) - i32(e.padding_x);
            let first = -i32(e.padding_y);
            var top = load_row(e, x_plane, first, column);
            var middle = load_row(e, x_plane, first + 1, column);
            for (var i = 0u; i < e.out_height; i++) {
                let bottom = load_row(e, x_plane, first + 2 + i32(i), column);
                let d = load_gradient(e, dy_plane, i, j);
                t = Taps(slide(t.top, d, top), slide(t.middle, d, middle), slide(t.bottom, d, bottom));
                top = middle;
                middle = bottom;
            }
        }
    }

    let at = index * 9u;
    splits[at] = t.top.x;
    splits[at + 1u] = t.top.y;
    splits[at + 2u] = t.top.z;
    splits[at + 3u] = t.middle.x;
    splits[at + 4u] = t.middle.y;
    splits[at + 5u] = t.middle.z;
    splits[at + 6u] = t.bottom.x;
    splits[at + 7u] = t.bottom.y;
    splits[at + 8u] = t.bottom.z;
}
