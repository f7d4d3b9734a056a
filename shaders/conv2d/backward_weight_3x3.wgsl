// splits[p, o, c, u, v] = sum over the samples n of split p, over i, j of
//     dy[n, o, i, j] * x[n, c, i + u - PY, j + v - PX], u, v in 0..3
//
// 3x3 kernels with stride 1, one group.
//
// Computes: the nine taps from one channel c to 8 outputs, of one split, per invocation; a workgroup, at most one
//   subgroup, computes WORKGROUP channels. A split is ceil(batch / splits) samples.
// Grid: splits * ceil(out_channels / 8) * ceil(channels / WORKGROUP) workgroups of WORKGROUP, channels first, folded
//   into y past 65,535. Subgroups have 8 lanes or more; WORKGROUP is a multiple of 8 and at most a subgroup.
// Memory: lanes stand for channels c and share 8 outputs o: lane l of 0 to 7 loads four pixels of dy of output l, and
//   subgroupBroadcast hands them to all. Each lane multiplies them with the 3x6 pixels of its own channel that they
//   meet, and goes down the rows i, keeping two of the three rows:
//
//     step i      top = row i - PY,  middle = row i + 1 - PY,  bottom = row i + 2 - PY (loaded)
//     step i + 1  top = middle,      middle = bottom,          bottom = row i + 3 - PY (loaded)
//
//   Four pixels d of dy and a row p0 .. p5 of x add to the three taps of a row:
//
//     d.x *    p0  p1  p2
//     d.y *        p1  p2  p3
//     d.z *            p2  p3  p4
//     d.w *                p3  p4  p5      each line adds to taps v = 0, 1, 2
//
//   With VEC4 dy and p1 .. p4 are one vec4 load each.
// Why: for CPU adapters, where loads cost most. A column of four outputs is summed on its own first, which keeps the
//   rounding error of long sums small. sum_splits.wgsl adds the splits; a single one is the gradient. Every invocation
//   runs to the end, for the broadcasts. The extents come from a buffer: one pipeline serves all shapes.
// Measured: lavapipe, 2 cores, subgroups of 8; GFLOP/s by CPU time, backward_weight.wgsl in brackets: 64->64 64x64
//   batch 4 39 (0.7), 16->16 24x24 batch 8 24 to 36 (0.5), 64->64 3x3 batch 8 10 (1.1). VEC4 gains a tenth to a third.

override WORKGROUP: u32;
override VEC4: bool;  // width is a multiple of 4 and padding_x is 1: load as vec4, which gains a tenth to a third

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
@group(0) @binding(5) var<storage, read_write> splits: array<f32>;  // [splits, out_channels, channels, 3, 3]

// Six pixels of a row of x: the four above a vec4 of dy and one on each side.
struct Row { first: vec4f, last: vec2f }

struct Taps { top: vec3f, middle: vec3f, bottom: vec3f }

fn value(e: Extents, plane: u32, row: i32, column: i32) -> f32 {
    let inside = row >= 0 && row < i32(e.height) && column >= 0 && column < i32(e.width);
    return select(0.0, f32(x[select(0u, plane + u32(row * i32(e.width) + column), inside)]), inside);
}

fn load_row(e: Extents, plane: u32, row: i32, column: i32) -> Row {
    if VEC4 {
        let inside = row >= 0 && row < i32(e.height);
        let index = select(0u, (plane + u32(row * i32(e.width) + column + 1)) / 4u, inside);
        let vector = select(vec4f(0.0), vec4f(x_vec4[index]), inside);
        return Row(vec4f(value(e, plane, row, column), vector.xyz), vec2f(vector.w, value(e, plane, row, column + 5)));
    }
    return Row(
        vec4f(value(e, plane, row, column), value(e, plane, row, column + 1), value(e, plane, row, column + 2), value(e, plane, row, column + 3)),
        vec2f(value(e, plane, row, column + 4), value(e, plane, row, column + 5)),
    );
}

fn load_gradient(e: Extents, plane: u32, i: u32, j: u32) -> vec4f {
    let index = plane + i * e.out_width + j;
    if VEC4 {
        return vec4f(dy_vec4[index / 4u]);
    }
    let column = vec4u(j) + vec4u(0u, 1u, 2u, 3u);
    let inside = column < vec4u(e.out_width);
    let last = plane + i * e.out_width + e.out_width - 1u;
    let value = vec4f(f32(dy[index]), f32(dy[min(index + 1u, last)]), f32(dy[min(index + 2u, last)]), f32(dy[min(index + 3u, last)]));
    return select(vec4f(0.0), value, inside);
}

fn slide(sum: vec3f, d: vec4f, r: Row) -> vec3f {
    let left = fma(vec3f(d.y), r.first.yzw, fma(vec3f(d.x), r.first.xyz, sum));
    return fma(vec3f(d.w), vec3f(r.first.w, r.last), fma(vec3f(d.z), vec3f(r.first.zw, r.last.x), left));
}

fn add(t: Taps, d: vec4f, top: Row, middle: Row, bottom: Row) -> Taps {
    return Taps(slide(t.top, d, top), slide(t.middle, d, middle), slide(t.bottom, d, bottom));
}

fn join(a: Taps, b: Taps) -> Taps {
    return Taps(a.top + b.top, a.middle + b.middle, a.bottom + b.bottom);
}

fn store(e: Extents, t: Taps, split: u32, output: u32, channel: u32) {
    if output < e.out_channels && channel < e.channels {
        let at = ((split * e.out_channels + output) * e.channels + channel) * 9u;
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
    let channel_blocks = (e.channels + WORKGROUP - 1u) / WORKGROUP;
    let output_blocks = (e.out_channels + 7u) / 8u;
    let channel = index % channel_blocks * WORKGROUP + local;
    let output = index / channel_blocks % output_blocks * 8u;
    let split = index / (channel_blocks * output_blocks);
    let samples = (e.batch + e.splits - 1u) / e.splits;

    let zero = Taps(vec3f(0.0), vec3f(0.0), vec3f(0.0));
    var s0 = zero; var s1 = zero; var s2 = zero; var s3 = zero;
    var s4 = zero; var s5 = zero; var s6 = zero; var s7 = zero;

    for (var sample = split * samples; sample < min((split + 1u) * samples, e.batch); sample++) {
        let x_plane = (sample * e.channels + min(channel, e.channels - 1u)) * e.height * e.width;
        let dy_plane = (sample * e.out_channels + min(output + lane, e.out_channels - 1u)) * e.out_height * e.out_width;
        for (var j = 0u; j < e.out_width; j += 4u) {
            // Four columns are summed on their own first, which keeps the rounding error of long sums small.
            var t0 = zero; var t1 = zero; var t2 = zero; var t3 = zero;
            var t4 = zero; var t5 = zero; var t6 = zero; var t7 = zero;
            let column = i32(j) - i32(e.padding_x);
            let first = -i32(e.padding_y);
            var top = load_row(e, x_plane, first, column);
            var middle = load_row(e, x_plane, first + 1, column);
            for (var i = 0u; i < e.out_height; i++) {
                let bottom = load_row(e, x_plane, first + 2 + i32(i), column);
                let d = load_gradient(e, dy_plane, i, j);
                t0 = add(t0, subgroupBroadcast(d, 0u), top, middle, bottom);
                t1 = add(t1, subgroupBroadcast(d, 1u), top, middle, bottom);
                t2 = add(t2, subgroupBroadcast(d, 2u), top, middle, bottom);
                t3 = add(t3, subgroupBroadcast(d, 3u), top, middle, bottom);
                t4 = add(t4, subgroupBroadcast(d, 4u), top, middle, bottom);
                t5 = add(t5, subgroupBroadcast(d, 5u), top, middle, bottom);
                t6 = add(t6, subgroupBroadcast(d, 6u), top, middle, bottom);
                t7 = add(t7, subgroupBroadcast(d, 7u), top, middle, bottom);
                top = middle;
                middle = bottom;
            }
            s0 = join(s0, t0); s1 = join(s1, t1); s2 = join(s2, t2); s3 = join(s3, t3);
            s4 = join(s4, t4); s5 = join(s5, t5); s6 = join(s6, t6); s7 = join(s7, t7);
        }
    }

    if split < e.splits {
        store(e, s0, split, output, channel);
        store(e, s1, split, output + 1u, channel);
        store(e, s2, split, output + 2u, channel);
        store(e, s3, split, output + 3u, channel);
        store(e, s4, split, output + 4u, channel);
        store(e, s5, split, output + 5u, channel);
        store(e, s6, split, output + 6u, channel);
        store(e, s7, split, output + 7u, channel);
    }
}
