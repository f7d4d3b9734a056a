// transformed = G g G^T for the 3x3 kernel g of every output and channel
//
// The weight's transform of a convolution by Winograd F(4x4, 3x3); winograd_input.wgsl has the formula and its source.
// With r = sqrt(2), h = sqrt(1/2):
//
//            1      0      0       point  0
//           1/6    r/6    1/3             r
//     G =   1/6   -r/6    1/3            -r
//          -2/3  -2h/3   -1/3             h
//          -2/3   2h/3   -1/3            -h
//            0      0      1              infinity
//
// A row holds the powers 0, 1, 2 of its point p over the product of (p - q) over all other points q: 1, 6, 6, -3/2,
// -3/2. With INPUT_GRADIENT tap [c, o, 2 - u, 2 - v] of the forward weight is used.
//
// Computes: the 36 frequencies of the kernels from one channel to four outputs per invocation.
// Grid: ceil(channels * ceil(out_channels / 4) / 64) workgroups of 64, folded into y past 65,535.
// Memory: one output per component of every vec4. Frequency (a, b), a down the columns of g and b along its rows, is
//   number 6 a + b. Past the last output the last is repeated.
// Why: at inference this runs once and not per picture, because the weight stays the same.
// Measured: with the others, in winograd_product.wgsl.

override INPUT_GRADIENT: bool;

struct WeightExtents {
    channels: u32,
    out_channels: u32,
    splits: u32,  // 1
}

@group(0) @binding(0) var<storage, read> weight: array<f32>;               // [out_channels, channels, 3, 3]; with INPUT_GRADIENT [channels, out_channels, 3, 3]
@group(0) @binding(1) var<storage, read> extents: WeightExtents;
@group(0) @binding(2) var<storage, read_write> transformed: array<vec4f>;  // [36, channels, out_channels] as vec4, padded with anything

const ROOT = 1.4142135623730951;
const HALF_ROOT = 0.7071067811865476;

struct Six { a: vec4f, b: vec4f, c: vec4f, d: vec4f, e: vec4f, f: vec4f }

// G, whose rows are the powers 0 to 2 of the points p over the product of (p - q) over all other points q: 1, 6, 6, -3/2,
// -3/2; the last is (0, 0, 1).
fn transform(a: vec4f, b: vec4f, c: vec4f) -> Six {
    let even_0 = fma(c, vec4f(2.0), a) / 6.0;
    let odd_0 = b * (ROOT / 6.0);
    let even_1 = fma(c, vec4f(0.5), a) / -1.5;
    let odd_1 = b * (HALF_ROOT / -1.5);
    return Six(a, even_0 + odd_0, even_0 - odd_0, even_1 + odd_1, even_1 - odd_1, c);
}

// Stores a row of frequencies.
fn store(s: Six, at: u32, stride: u32) {
    transformed[at] = s.a;
    transformed[at + stride] = s.b;
    transformed[at + stride * 2u] = s.c;
    transformed[at + stride * 3u] = s.d;
    transformed[at + stride * 4u] = s.e;
    transformed[at + stride * 5u] = s.f;
}

// A tap of four weights.
fn tap(start: vec4u, number: u32) -> vec4f {
    let at = start + select(number, 8u - number, INPUT_GRADIENT);
    return vec4f(weight[at.x], weight[at.y], weight[at.z], weight[at.w]);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let e = extents;
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + local;
    let vectors = (e.out_channels + 3u) / 4u;
    if index >= e.channels * vectors {
        return;
    }
    let channel = index / vectors;
    let output = min(vec4u(index % vectors * 4u) + vec4u(0u, 1u, 2u, 3u), vec4u(e.out_channels - 1u));
    let start = 9u * select(output * e.channels + channel, channel * e.out_channels + output, INPUT_GRADIENT);
    let left = transform(tap(start, 0u), tap(start, 3u), tap(start, 6u));
    let middle = transform(tap(start, 1u), tap(start, 4u), tap(start, 7u));
    let right = transform(tap(start, 2u), tap(start, 5u), tap(start, 8u));
    let stride = e.channels * vectors;
    store(transform(left.a, middle.a, right.a), index, stride);
    store(transform(left.b, middle.b, right.b), index + stride * 6u, stride);
    store(transform(left.c, middle.c, right.c), index + stride * 12u, stride);
    store(transform(left.d, middle.d, right.d), index + stride * 18u, stride);
    store(transform(left.e, middle.e, right.e), index + stride * 24u, stride);
    store(transform(left.f, middle.f, right.f), index + stride * 30u, stride);
}
