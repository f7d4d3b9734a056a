// y = [relu] (bias + A^T product A [+ residual]) for every tile of 4x4 outputs
//
// The output's transform of a convolution by Winograd F(4x4, 3x3); winograd_input.wgsl has the formula and its source.
// With r = sqrt(2), h = sqrt(1/2):
//
//           1   1   1    1    1   0
//     A^T = 0   r  -r    h   -h   0
//           0   2   2   1/2  1/2  0
//           0  2r -2r   h/2 -h/2  1
//
//     point 0   r  -r    h   -h   infinity
//
// A column holds the powers 0 to 3 of its point.
//
// Computes: the 16 outputs of four tiles of one channel per invocation.
// Grid: ceil(batch * channels * blocks_y * blocks_x / 64) workgroups of 64, folded into y past 65,535.
// Memory: tiles and frequencies lie as in winograd_input.wgsl; y and residual are vec4, width is a multiple of 4.
// Why: four tiles per invocation, so that every load is a vec4.
// Measured: with the others, in winograd_product.wgsl.

override HAS_BIAS: bool;
override RESIDUAL: bool;
override RELU: bool;
override INPUT_GRADIENT: bool;

struct TileExtents {
    batch: u32,
    channels: u32,  // of y
    height: u32,
    width: u32,
    blocks_y: u32,
    blocks_x: u32,
}

// Elements as they are stored; f16 in half precision.
alias Residual = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> product: array<vec4f>;            // [36, channels, batch, blocks_y, blocks_x] as vec4
@group(0) @binding(1) var<storage, read> bias: array<f32>;                 // [channels]; anything where HAS_BIAS is false
@group(0) @binding(2) var<storage, read> residual: array<vec4<Residual>>;  // [batch, channels, height, width] as vec4; anything where RESIDUAL is false
@group(0) @binding(3) var<storage, read> extents: TileExtents;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<Y>>;          // [batch, channels, height, width] as vec4

const ROOT = 1.4142135623730951;
const HALF_ROOT = 0.7071067811865476;

struct Four { a: vec4f, b: vec4f, c: vec4f, d: vec4f }

// A', whose columns are the powers 0 to 3 of the points; the last is (0, 0, 0, 1).
fn transform(a: vec4f, b: vec4f, c: vec4f, d: vec4f, e: vec4f, f: vec4f) -> Four {
    let even_0 = b + c;
    let odd_0 = (b - c) * ROOT;
    let even_1 = d + e;
    let odd_1 = (d - e) * HALF_ROOT;
    return Four(
        a + even_0 + even_1, odd_0 + odd_1, fma(even_0, vec4f(2.0), 0.5 * even_1), f + fma(odd_0, vec4f(2.0), 0.5 * odd_1),
    );
}

fn add(s: Four, start: vec4f) -> Four {
    return Four(s.a + start, s.b + start, s.c + start, s.d + start);
}

// A column of A' x product.
fn load_column(at: u32, stride: u32) -> Four {
    return transform(
        product[at], product[at + stride * 6u], product[at + stride * 12u],
        product[at + stride * 18u], product[at + stride * 24u], product[at + stride * 30u],
    );
}

// What follows the convolution.
fn finish_vec4(value: vec4f, at: u32) -> vec4f {
    var result = value;
    if RESIDUAL {
        result += vec4f(residual[at]);
    }
    if RELU {
        result = max(result, vec4f(0.0));
    }
    return result;
}

// For the input gradient the residual is added to the rounded sum, to the bit as by a kernel of its own: compilers that would
// otherwise add it to a term of the transform first do not know that the factor is 1.
fn finish_tile(e: TileExtents, value: vec4f, at: u32) -> vec4f {
    if INPUT_GRADIENT && RESIDUAL {
        return fma(value, vec4f(f32(min(e.batch, 1u))), vec4f(residual[at]));
    }
    return finish_vec4(value, at);
}

fn store_row(e: TileExtents, near: vec4f, far: vec4f, plane: u32, row: u32, column: u32) {
    if row < e.height {
        let at = (plane + row * e.width + column) / 4u;
        y[at] = vec4<Y>(finish_tile(e, near, at));
        if column + 4u < e.width {
            y[at + 1u] = vec4<Y>(finish_tile(e, far, at + 1u));
        }
    }
}

// A row of the upper two tiles and of the lower two.
fn store(e: TileExtents, s: Four, plane: u32, row: u32, column: u32) {
    store_row(e, vec4f(s.a.x, s.b.x, s.c.x, s.d.x), vec4f(s.a.y, s.b.y, s.c.y, s.d.y), plane, row, column);
    store_row(e, vec4f(s.a.z, s.b.z, s.c.z, s.d.z), vec4f(s.a.w, s.b.w, s.c.w, s.d.w), plane, row + 4u, column);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let e = extents;
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + local;
    let area = e.blocks_y * e.blocks_x;
    let blocks = e.batch * area;
    if index >= blocks * e.channels {
        return;
    }
    let block = index % blocks;
    let channel = index / blocks;
    let stride = e.channels * blocks;
    let c0 = load_column(index, stride);
    let c1 = load_column(index + stride, stride);
    let c2 = load_column(index + stride * 2u, stride);
    let c3 = load_column(index + stride * 3u, stride);
    let c4 = load_column(index + stride * 4u, stride);
    let c5 = load_column(index + stride * 5u, stride);
    let start = vec4f(select(0.0, bias[select(0u, channel, HAS_BIAS)], HAS_BIAS));
    let plane = (block / area * e.channels + channel) * e.height * e.width;
    let row = block / e.blocks_x % e.blocks_y * 8u;
    let column = block % e.blocks_x * 8u;
    store(e, add(transform(c0.a, c1.a, c2.a, c3.a, c4.a, c5.a), start), plane, row, column);
    store(e, add(transform(c0.b, c1.b, c2.b, c3.b, c4.b, c5.b), start), plane, row + 1u, column);
    store(e, add(transform(c0.c, c1.c, c2.c, c3.c, c4.c, c5.c), start), plane, row + 2u, column);
    store(e, add(transform(c0.d, c1.d, c2.d, c3.d, c4.d, c5.d), start), plane, row + 3u, column);
}
