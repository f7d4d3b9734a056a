// splits[p, o, k] = sum over the samples n of split p, over i, j of
//     dy[n, o, i, j] * x[n, c, i SY + u - PY, j SX + v - PX]
//
// k = (c, u, v) counts the elements of an output's weight. Any kernel and stride, one group: a product of matrices, dy
// with the patches of x.
//
// Computes: TAPS_A_LANE elements k of OUTPUTS outputs, of one split, per invocation; a workgroup, at most one subgroup,
//   computes WORKGROUP * TAPS_A_LANE elements. A split is ceil(batch / splits) samples.
// Grid: splits * ceil(out_channels / OUTPUTS) * ceil(elements / (WORKGROUP * TAPS_A_LANE)) workgroups of WORKGROUP,
//   elements first, folded into y past 65,535. Subgroups have 8 lanes or more; WORKGROUP is a multiple of 8 and at most
//   a subgroup.
// Memory: lanes stand for k and share their outputs: lane l of 0 to 7 loads four pixels of dy of output l, where
//   OUTPUTS is 16 of output l + 8 too, and subgroupBroadcast hands them to all. A lane loads the four pixels of x that
//   meet them at each of its taps. With DY_VEC4 and X_VEC4 those are vec4 loads.
// Why: for CPU adapters, where loads cost most. Each row is summed on its own first, which keeps the rounding error of
//   long sums small. sum_splits.wgsl adds the splits; a single one is the gradient. Every invocation runs to the end,
//   for the broadcasts. The extents come from a buffer: one pipeline serves all shapes.
// Measured: lavapipe, 2 cores, subgroups of 8; GFLOP/s by CPU time, backward_weight.wgsl in brackets: 1x1 64->16 24x24
//   batch 8 21 to 26 (1.1), 3x3 stride 2 64->16 24x24 batch 8 17 (1.1).

override OUTPUTS: u32;      // 8 or 16
override TAPS_A_LANE: u32;  // 1, 2 or 4
override WORKGROUP: u32;
override DY_VEC4: bool;     // out_width is a multiple of 4: load dy as vec4
override X_VEC4: bool;      // as well 1x1 kernels with stride 1, no padding: load x as vec4

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
@group(0) @binding(5) var<storage, read_write> splits: array<f32>;  // [splits, out_channels, channels, kernel_height, kernel_width]

// Four pixels of four outputs; the vectors run over the outputs.
struct Four { first: vec4f, second: vec4f, third: vec4f, fourth: vec4f }

// 16 outputs of one element k.
alias Sums = array<vec4f, 4>;

// Where element k of the weight looks: the pixel of x above output pixel (0, 0), and its channel's first element.
struct Look { row: i32, column: i32, plane: u32 }

fn low(v: f32) -> vec4f {
    return vec4f(subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u));
}

fn high(v: f32) -> vec4f {
    return vec4f(subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u));
}

fn multiply(sum: vec4f, d: Four, pixels: vec4f) -> vec4f {
    let left = fma(d.second, vec4f(pixels.y), fma(d.first, vec4f(pixels.x), sum));
    return fma(d.fourth, vec4f(pixels.w), fma(d.third, vec4f(pixels.z), left));
}

fn load_gradient(plane: u32, i: u32, j: u32, width: u32) -> vec4f {
    let index = plane + i * width + j;
    if DY_VEC4 {
        return vec4f(dy_vec4[index / 4u]);
    }
    let last = plane + i * width + width - 1u;
    let value = vec4f(f32(dy[index]), f32(dy[min(index + 1u, last)]), f32(dy[min(index + 2u, last)]), f32(dy[min(index + 3u, last)]));
    return select(vec4f(0.0), value, vec4u(j) + vec4u(0u, 1u, 2u, 3u) < vec4u(width));
}

fn load_pixels(e: Extents, sample: u32, look: Look, i: u32, j: u32) -> vec4f {
    let plane = sample * e.channels * e.height * e.width + look.plane;
    if X_VEC4 {
        return vec4f(x_vec4[(plane + i * e.width + j) / 4u]);
    }
    let row = look.row + i32(i * e.stride_y);
    let column = vec4i(look.column) + vec4i((vec4u(j) + vec4u(0u, 1u, 2u, 3u)) * e.stride_x);
    let inside = (column >= vec4i(0)) & (column < vec4i(i32(e.width))) & vec4<bool>(row >= 0 && row < i32(e.height));
    let at = select(vec4u(0u), plane + vec4u(row * i32(e.width) + column), inside);
    return select(vec4f(0.0), vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w])), inside);
}

fn look(e: Extents, k: u32) -> Look {
    let area = e.kernel_height * e.kernel_width;
    // A lane past the last element repeats it.
    let element = min(k, e.channels * area - 1u);
    let row = i32(element % area / e.kernel_width) - i32(e.padding_y);
    let column = i32(element % e.kernel_width) - i32(e.padding_x);
    return Look(row, column, element / area * e.height * e.width);
}

fn add(sums: Sums, d0: Four, d1: Four, d2: Four, d3: Four, pixels: vec4f) -> Sums {
    var next = sums;
    next[0] = multiply(sums[0], d0, pixels);
    next[1] = multiply(sums[1], d1, pixels);
    if OUTPUTS > 8u {
        next[2] = multiply(sums[2], d2, pixels);
        next[3] = multiply(sums[3], d3, pixels);
    }
    return next;
}

fn join(a: Sums, b: Sums) -> Sums {
    return Sums(a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]);
}

fn store_four(e: Extents, value: vec4f, split: u32, output: u32, k: u32) {
    let elements = e.channels * e.kernel_height * e.kernel_width;
    let at = (split * e.out_channels + output) * elements + k;
    if k >= elements || split >= e.splits {
        return;
    }
    if output < e.out_channels {
        splits[at] = value.x;
    }
    if output + 1u < e.out_channels {
        splits[at + elements] = value.y;
    }
    if output + 2u < e.out_channels {
        splits[at + elements * 2u] = value.z;
    }
    if output + 3u < e.out_channels {
        splits[at + elements * 3u] = value.w;
    }
}

fn store(e: Extents, sums: Sums, split: u32, output: u32, k: u32) {
    store_four(e, sums[0], split, output, k);
    store_four(e, sums[1], split, output + 4u, k);
    if OUTPUTS > 8u {
        store_four(e, sums[2], split, output + 8u, k);
        store_four(e, sums[3], split, output + 12u, k);
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
    let elements = e.channels * e.kernel_height * e.kernel_width;
    let element_blocks = (elements + WORKGROUP * TAPS_A_LANE - 1u) / (WORKGROUP * TAPS_A_LANE);
    let output_blocks = (e.out_channels + OUTPUTS - 1u) / OUTPUTS;
    let k = index % element_blocks * WORKGROUP * TAPS_A_LANE + local;
    let output = index / element_blocks % output_blocks * OUTPUTS;
    let split = index / (element_blocks * output_blocks);
    let samples = (e.batch + e.splits - 1u) / e.splits;

    let look_a = look(e, k);
    let look_b = look(e, k + WORKGROUP);
    let look_c = look(e, k + WORKGROUP * 2u);
    let look_d = look(e, k + WORKGROUP * 3u);
    let zero = Sums(vec4f(0.0), vec4f(0.0), vec4f(0.0), vec4f(0.0));
    var sum_a = zero;
    var sum_b = zero;
    var sum_c = zero;
    var sum_d = zero;
    for (var sample = split * samples; sample < min((split + 1u) * samples, e.batch); sample++) {
        let area = e.out_height * e.out_width;
        let near_plane = (sample * e.out_channels + min(output + lane, e.out_channels - 1u)) * area;
        let far_plane = (sample * e.out_channels + min(output + lane + 8u, e.out_channels - 1u)) * area;
        for (var i = 0u; i < e.out_height; i++) {
            // Each row is summed on its own first, which keeps the rounding error of long sums small.
            var a = zero;
            var b = zero;
            var c = zero;
            var d = zero;
            for (var j = 0u; j < e.out_width; j += 4u) {
                let near = load_gradient(near_plane, i, j, e.out_width);
                let d0 = Four(low(near.x), low(near.y), low(near.z), low(near.w));
                let d1 = Four(high(near.x), high(near.y), high(near.z), high(near.w));
                var d2 = d0;
                var d3 = d1;
                if OUTPUTS > 8u {
                    let far = load_gradient(far_plane, i, j, e.out_width);
                    d2 = Four(low(far.x), low(far.y), low(far.z), low(far.w));
                    d3 = Four(high(far.x), high(far.y), high(far.z), high(far.w));
                }
                a = add(a, d0, d1, d2, d3, load_pixels(e, sample, look_a, i, j));
                if TAPS_A_LANE > 1u {
                    b = add(b, d0, d1, d2, d3, load_pixels(e, sample, look_b, i, j));
                }
                if TAPS_A_LANE > 2u {
                    c = add(c, d0, d1, d2, d3, load_pixels(e, sample, look_c, i, j));
                    d = add(d, d0, d1, d2, d3, load_pixels(e, sample, look_d, i, j));
                }
            }
            sum_a = join(sum_a, a);
            sum_b = join(sum_b, b);
            sum_c = join(sum_c, c);
            sum_d = join(sum_d, d);
        }
    }

    store(e, sum_a, split, output, k);
    if TAPS_A_LANE > 1u {
        store(e, sum_b, split, output, k + WORKGROUP);
    }
    if TAPS_A_LANE > 2u {
        store(e, sum_c, split, output, k + WORKGROUP * 2u);
        store(e, sum_d, split, output, k + WORKGROUP * 3u);
    }
}
