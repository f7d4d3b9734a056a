// splits[p, c, u, v] = sum over the samples n of split p, over i, j of
//     dy[n, c, i, j] * x[n, c, i + u - PY, j + v - PX], u, v in 0..9
//
// Depthwise 9x9 kernels with stride 1.
//
// Computes: the 81 weights of one channel, of one split, per invocation; a workgroup computes WORKGROUP channels. A
//   split is ceil(batch / splits) samples.
// Grid: splits * ceil(channels / WORKGROUP) workgroups of WORKGROUP, channels first, folded into y past 65,535.
// Memory: an invocation goes down a column of eight outputs with nine rows of 16 inputs in registers, of which each
//   step drops one and loads one. In step i the taps of row u take register r[u], which then holds row i + u - PY of x;
//   with PY = 4:
//
//     taps of row    0    1    2    3    4    5    6    7    8
//     step i = 0    -4   -3   -2   -1    0    1    2    3    4      with dy of row 0; row 4 is loaded
//     step i = 1    -3   -2   -1    0    1    2    3    4    5      with dy of row 1; row 5 is loaded
//     step i = 2    -2   -1    0    1    2    3    4    5    6      with dy of row 2; row 6 is loaded
//
//   With VEC4 a row is four vec4 loads and dy two.
// Why: for CPU adapters, where loads cost most: a row of x is loaded once per column of outputs for the nine rows of
//   taps. sum_splits.wgsl adds the splits; a single one is the gradient. The extents come from a buffer: one pipeline
//   serves all shapes.
// Measured: lavapipe, 2 cores; GFLOP/s by CPU time, backward_weight.wgsl in brackets: 16 channels, 24x24 batch 8: 22
//   (1.1).

override WORKGROUP: u32;
override VEC4: bool;  // width is a multiple of 4, padding_x is 4: load as vec4

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

@group(0) @binding(0) var<storage, read> dy: array<Dy>;             // [batch, channels, out_height, out_width]
@group(0) @binding(1) var<storage, read> dy_vec4: array<vec4<Dy>>;  // dy again, as vec4
@group(0) @binding(2) var<storage, read> x: array<X>;               // [batch, channels, height, width]
@group(0) @binding(3) var<storage, read> x_vec4: array<vec4<X>>;    // x again, as vec4
@group(0) @binding(4) var<storage, read> extents: Extents;
@group(0) @binding(5) var<storage, read_write> splits: array<f32>;  // [splits, channels, 1, 9, 9]

// 16 inputs in a row.
struct Row { a: vec4f, b: vec4f, c: vec4f, d: vec4f }

// Nine weights in a row.
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

fn load_gradient(e: Extents, plane: u32, i: u32, j: u32) -> vec4f {
    let start = plane + i * e.out_width;
    if VEC4 {
        return select(vec4f(0.0), vec4f(dy_vec4[(start + min(j, e.out_width - 4u)) / 4u]), j < e.out_width);
    }
    let columns = vec4u(j) + vec4u(0u, 1u, 2u, 3u);
    let at = start + min(columns, vec4u(e.out_width - 1u));
    return select(vec4f(0.0), vec4f(f32(dy[at.x]), f32(dy[at.y]), f32(dy[at.z]), f32(dy[at.w])), columns < vec4u(e.out_width));
}

// The products of one row of inputs with eight outputs' gradients.
fn add(t: Taps, left: vec4f, right: vec4f, r: Row) -> Taps {
    var first = fma(vec4f(left.x), r.a, t.first);
    first = fma(vec4f(left.y), vec4f(r.a.yzw, r.b.x), first);
    first = fma(vec4f(left.z), vec4f(r.a.zw, r.b.xy), first);
    first = fma(vec4f(left.w), vec4f(r.a.w, r.b.xyz), first);
    first = fma(vec4f(right.x), r.b, first);
    first = fma(vec4f(right.y), vec4f(r.b.yzw, r.c.x), first);
    first = fma(vec4f(right.z), vec4f(r.b.zw, r.c.xy), first);
    first = fma(vec4f(right.w), vec4f(r.b.w, r.c.xyz), first);
    var second = fma(vec4f(left.x), r.b, t.second);
    second = fma(vec4f(left.y), vec4f(r.b.yzw, r.c.x), second);
    second = fma(vec4f(left.z), vec4f(r.b.zw, r.c.xy), second);
    second = fma(vec4f(left.w), vec4f(r.b.w, r.c.xyz), second);
    second = fma(vec4f(right.x), r.c, second);
    second = fma(vec4f(right.y), vec4f(r.c.yzw, r.d.x), second);
    second = fma(vec4f(right.z), vec4f(r.c.zw, r.d.xy), second);
    second = fma(vec4f(right.w), vec4f(r.c.w, r.d.xyz), second);
    let last_left = fma(left.w, r.c.w, fma(left.z, r.c.z, fma(left.y, r.c.y, fma(left.x, r.c.x, t.last))));
    let last = fma(right.w, r.d.w, fma(right.z, r.d.z, fma(right.y, r.d.y, fma(right.x, r.d.x, last_left))));
    return Taps(first, second, last);
}

fn store(t: Taps, at: u32) {
    splits[at] = t.first.x;
    splits[at + 1u] = t.first.y;
    splits[at + 2u] = t.first.z;
    splits[at + 3u] = t.first.w;
    splits[at + 4u] = t.second.x;
    splits[at + 5u] = t.second.y;
    splits[at + 6u] = t.second.z;
    splits[at + 7u] = t.second.w;
    splits[at + 8u] = t.last;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let e = extents;
    let index = workgroup.y * workgroups.x + workgroup.x;
    let blocks = (e.channels + WORKGROUP - 1u) / WORKGROUP;
    let channel = index % blocks * WORKGROUP + local;
    let split = index / blocks;
    if channel >= e.channels || split >= e.splits {
        return;
    }
    let samples = (e.batch + e.splits - 1u) / e.splits;
    var t0 = Taps(vec4f(0.0), vec4f(0.0), 0.0);
    var t1 = t0;
    var t2 = t0;
    var t3 = t0;
    var t4 = t0;
    var t5 = t0;
    var t6 = t0;
    var t7 = t0;
    var t8 = t0;
    for (var sample = split * samples; sample < min((split + 1u) * samples, e.batch); sample++) {
        let plane = (sample * e.channels + channel) * e.height * e.width;
        let dy_plane = (sample * e.channels + channel) * e.out_height * e.out_width;
        for (var j = 0u; j < e.out_width; j += 8u) {
            let top = -i32(e.padding_y);
            let left = i32(j) - i32(e.padding_x);
            var r0 = load_row(e, plane, top, left);
            var r1 = load_row(e, plane, top + 1, left);
            var r2 = load_row(e, plane, top + 2, left);
            var r3 = load_row(e, plane, top + 3, left);
            var r4 = load_row(e, plane, top + 4, left);
            var r5 = load_row(e, plane, top + 5, left);
            var r6 = load_row(e, plane, top + 6, left);
            var r7 = load_row(e, plane, top + 7, left);
            for (var i = 0u; i < e.out_height; i++) {
                let r8 = load_row(e, plane, top + 8 + i32(i), left);
                let near = load_gradient(e, dy_plane, i, j);
                let far = load_gradient(e, dy_plane, i, j + 4u);
                t0 = add(t0, near, far, r0);
                t1 = add(t1, near, far, r1);
                t2 = add(t2, near, far, r2);
                t3 = add(t3, near, far, r3);
                t4 = add(t4, near, far, r4);
                t5 = add(t5, near, far, r5);
                t6 = add(t6, near, far, r6);
                t7 = add(t7, near, far, r7);
                t8 = add(t8, near, far, r8);
                r0 = r1;
                r1 = r2;
                r2 = r3;
                r3 = r4;
                r4 = r5;
                r5 = r6;
                r6 = r7;
                r7 = r8;
            }
        }
    }

    let at = (split * e.channels + channel) * 81u;
    store(t0, at);
    store(t1, at + 9u);
    store(t2, at + 18u);
    store(t3, at + 27u);
    store(t4, at + 36u);
    store(t5, at + 45u);
    store(t6, at + 54u);
    store(t7, at + 63u);
    store(t8, at + 72u);
}
