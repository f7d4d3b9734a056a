// patches = B^T d B for every tile d of 6x6 inputs, whose corner is input pixel (4 i - 1, 4 j - 1); zero outside x
//
// The input's transform of a convolution by Winograd F(4x4, 3x3) with padding 1 (Lavin and Gray, "Fast algorithms for
// convolutional neural networks", CVPR 2016): y = A^T [(G g G^T) . (B^T d B)] A for a kernel g, with "." the product
// element by element, summed over channels. winograd_weight.wgsl has G, winograd_output.wgsl A. With r = sqrt(2), h =
// sqrt(1/2):
//
//           1    0  -5/2    0    1    0      point  0
//           0   -h  -1/2    r    1    0             r
//     B^T = 0    h  -1/2   -r    1    0            -r
//           0   -r    -2    h    1    0             h
//           0    r    -2   -h    1    0            -h
//           0    1     0 -5/2    0    1             infinity
//
// A row holds the coefficients of the product of (z - q) over all points q but its own, the last of the product over
// all five.
//
// Computes: the 36 frequencies of four tiles of one channel per invocation.
// Grid: ceil(batch * channels * blocks_y * blocks_x / 64) workgroups of 64, folded into y past 65,535.
// Memory: the four tiles are those of a block of 8x8 outputs, one per component of every vec4. A row of the block's
//   10x10 inputs is two single loads and two vec4 loads; width is a multiple of 4:
//
//     +-----+-----+       column of x   -1     | 0   1   2   3 | 4   5   6   7 | 8
//     |  x  |  y  |       Row           before |     near      |      far      | after
//     +-----+-----+       tiles x, z    -1 ..................... 4
//     |  z  |  w  |       tiles y, w                         3 ................. 8
//     +-----+-----+       and the same of rows: tiles x, y -1 to 4, tiles z, w 3 to 8
//
//   Frequency (a, b), a down the columns of d and b along its rows, is number 6 a + b; each number is a matrix of its
//   own.
// Why: 36 multiplications per tile and channel do the work of 144. Of the points that were tried these amplify rounding
//   least: the rows of the transforms differ less in size.
// Measured: error relative to the largest output at 64 channels, lavapipe: points 0, +-1, +-2 7e-6; +-1, +-1/2, 2 3e-6;
//   these 1.4e-6, with short sums 0.9e-6. One tile per invocation took 1.5 to 4 times as long. Speed:
//   winograd_product.wgsl.

struct TileExtents {
    batch: u32,
    channels: u32,
    height: u32,
    width: u32,
    blocks_y: u32,  // ceil(height / 8)
    blocks_x: u32,  // ceil(width / 8)
}

// Elements as they are stored; f16 in half precision.
alias X = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;                  // [batch, channels, height, width]
@group(0) @binding(1) var<storage, read> x_vec4: array<vec4<X>>;       // x again, as vec4
@group(0) @binding(2) var<storage, read> extents: TileExtents;
@group(0) @binding(3) var<storage, read_write> patches: array<vec4f>;  // [36, channels, batch, blocks_y, blocks_x] as vec4

const ROOT = 1.4142135623730951;
const HALF_ROOT = 0.7071067811865476;

// Ten pixels of a row of x.
struct Row { before: f32, near: vec4f, far: vec4f, after: f32 }

struct Six { a: vec4f, b: vec4f, c: vec4f, d: vec4f, e: vec4f, f: vec4f }

fn load_row(e: TileExtents, plane: u32, row: i32, column: u32) -> Row {
    let inside = row >= 0 && row < i32(e.height);
    let at = plane + select(0u, u32(row), inside) * e.width + column;
    let has_far = inside && column + 4u < e.width;
    let has_before = inside && column > 0u;
    let has_after = inside && column + 8u < e.width;
    return Row(
        select(0.0, f32(x[select(0u, at - 1u, has_before)]), has_before),
        select(vec4f(0.0), vec4f(x_vec4[at / 4u]), inside),
        select(vec4f(0.0), vec4f(x_vec4[select(0u, at / 4u + 1u, has_far)]), has_far),
        select(0.0, f32(x[select(0u, at + 8u, has_after)]), has_after),
    );
}

// B, whose rows are the coefficients of the product of (x - q) over all points q but one.
fn transform(a: vec4f, b: vec4f, c: vec4f, d: vec4f, e: vec4f, f: vec4f) -> Six {
    let even_0 = fma(c, vec4f(-0.5), e);
    let odd_0 = fma(d, vec4f(ROOT), -HALF_ROOT * b);
    let even_1 = fma(c, vec4f(-2.0), e);
    let odd_1 = fma(d, vec4f(HALF_ROOT), -ROOT * b);
    return Six(
        fma(c, vec4f(-2.5), a + e), even_0 + odd_0, even_0 - odd_0, even_1 + odd_1, even_1 - odd_1, fma(d, vec4f(-2.5), b + f),
    );
}

// The columns of two tiles each of an upper and a lower row.
fn transform_rows(u: Row, l: Row) -> Six {
    return transform(
        vec4f(u.before, u.near.w, l.before, l.near.w), vec4f(u.near.x, u.far.x, l.near.x, l.far.x),
        vec4f(u.near.y, u.far.y, l.near.y, l.far.y), vec4f(u.near.z, u.far.z, l.near.z, l.far.z),
        vec4f(u.near.w, u.far.w, l.near.w, l.far.w), vec4f(u.far.x, u.after, l.far.x, l.after),
    );
}

// Stores a column of frequencies.
fn store(s: Six, at: u32, stride: u32) {
    patches[at] = s.a;
    patches[at + stride * 6u] = s.b;
    patches[at + stride * 12u] = s.c;
    patches[at + stride * 18u] = s.d;
    patches[at + stride * 24u] = s.e;
    patches[at + stride * 30u] = s.f;
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
    let plane = (block / area * e.channels + channel) * e.height * e.width;
    let row = i32(block / e.blocks_x % e.blocks_y * 8u) - 1;
    let column = block % e.blocks_x * 8u;
    let r4 = load_row(e, plane, row + 4, column);
    let r5 = load_row(e, plane, row + 5, column);
    let p0 = transform_rows(load_row(e, plane, row, column), r4);
    let p1 = transform_rows(load_row(e, plane, row + 1, column), r5);
    let p2 = transform_rows(load_row(e, plane, row + 2, column), load_row(e, plane, row + 6, column));
    let p3 = transform_rows(load_row(e, plane, row + 3, column), load_row(e, plane, row + 7, column));
    let p4 = transform_rows(r4, load_row(e, plane, row + 8, column));
    let p5 = transform_rows(r5, load_row(e, plane, row + 9, column));
    let stride = e.channels * blocks;
    store(transform(p0.a, p1.a, p2.a, p3.a, p4.a, p5.a), index, stride);
    store(transform(p0.b, p1.b, p2.b, p3.b, p4.b, p5.b), index + stride, stride);
    store(transform(p0.c, p1.c, p2.c, p3.c, p4.c, p5.c), index + stride * 2u, stride);
    store(transform(p0.d, p1.d, p2.d, p3.d, p4.d, p5.d), index + stride * 3u, stride);
    store(transform(p0.e, p1.e, p2.e, p3.e, p4.e, p5.e), index + stride * 4u, stride);
    store(transform(p0.f, p1.f, p2.f, p3.f, p4.f, p5.f), index + stride * 5u, stride);
}
