// dweight = G^T (sum over the splits of product) G for every output and channel
//
// The last step of the weight's gradient; winograd_gradient.wgsl has its formula, winograd_weight.wgsl G.
//
// Computes: the kernels from four channels to one output per invocation.
// Grid: ceil(out_channels * ceil(channels / 4) / 64) workgroups of 64, folded into y past 65,535.
// Memory: one channel per component of every vec4; past the last channel product holds anything, and nothing is stored.
// Why: the splits are added here, in ascending order, and need no kernel of their own.
// Measured: with the others, in winograd_product.wgsl.

struct WeightExtents {
    channels: u32,
    out_channels: u32,
    splits: u32,
}

@group(0) @binding(0) var<storage, read> product: array<vec4f>;      // [splits, 36, out_channels, channels] as vec4, padded with anything
@group(0) @binding(1) var<storage, read> extents: WeightExtents;
@group(0) @binding(2) var<storage, read_write> dweight: array<f32>;  // [out_channels, channels, 3, 3]

const ROOT = 1.4142135623730951;
const HALF_ROOT = 0.7071067811865476;

struct Three { a: vec4f, b: vec4f, c: vec4f }

fn transform(a: vec4f, b: vec4f, c: vec4f, d: vec4f, e: vec4f, f: vec4f) -> Three {
    let even_0 = (b + c) / 6.0;
    let odd_0 = (b - c) * (ROOT / 6.0);
    let even_1 = (d + e) / -1.5;
    let odd_1 = (d - e) * (HALF_ROOT / -1.5);
    return Three(a + even_0 + even_1, odd_0 + odd_1, f + fma(even_0, vec4f(2.0), 0.5 * even_1));
}

fn load(e: WeightExtents, at: u32, stride: u32) -> vec4f {
    var sum = product[at];
    for (var split = 1u; split < e.splits; split++) {
        sum += product[at + split * stride * 36u];
    }
    return sum;
}

// A column of G' x product.
fn load_column(e: WeightExtents, at: u32, stride: u32) -> Three {
    return transform(
        load(e, at, stride), load(e, at + stride * 6u, stride), load(e, at + stride * 12u, stride),
        load(e, at + stride * 18u, stride), load(e, at + stride * 24u, stride), load(e, at + stride * 30u, stride),
    );
}

// Stores a row of the taps of a weight.
fn store_row(a: f32, b: f32, c: f32, at: u32) {
    dweight[at] = a;
    dweight[at + 1u] = b;
    dweight[at + 2u] = c;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let e = extents;
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + local;
    let vectors = (e.channels + 3u) / 4u;
    let stride = e.out_channels * vectors;
    if index >= stride {
        return;
    }
    let c0 = load_column(e, index, stride);
    let c1 = load_column(e, index + stride, stride);
    let c2 = load_column(e, index + stride * 2u, stride);
    let c3 = load_column(e, index + stride * 3u, stride);
    let c4 = load_column(e, index + stride * 4u, stride);
    let c5 = load_column(e, index + stride * 5u, stride);
    let top = transform(c0.a, c1.a, c2.a, c3.a, c4.a, c5.a);
    let middle = transform(c0.b, c1.b, c2.b, c3.b, c4.b, c5.b);
    let bottom = transform(c0.c, c1.c, c2.c, c3.c, c4.c, c5.c);
    let channel = index % vectors * 4u;
    let at = 9u * (index / vectors * e.channels + channel);
    store_row(top.a.x, top.b.x, top.c.x, at);
    store_row(middle.a.x, middle.b.x, middle.c.x, at + 3u);
    store_row(bottom.a.x, bottom.b.x, bottom.c.x, at + 6u);
    if channel + 1u < e.channels {
        store_row(top.a.y, top.b.y, top.c.y, at + 9u);
        store_row(middle.a.y, middle.b.y, middle.c.y, at + 12u);
        store_row(bottom.a.y, bottom.b.y, bottom.c.y, at + 15u);
    }
    if channel + 2u < e.channels {
        store_row(top.a.z, top.b.z, top.c.z, at + 18u);
        store_row(middle.a.z, middle.b.z, middle.c.z, at + 21u);
        store_row(bottom.a.z, bottom.b.z, bottom.c.z, at + 24u);
    }
    if channel + 3u < e.channels {
        store_row(top.a.w, top.b.w, top.c.w, at + 27u);
        store_row(middle.a.w, middle.b.w, middle.c.w, at + 30u);
        store_row(bottom.a.w, bottom.b.w, bottom.c.w, at + 33u);
    }
}
