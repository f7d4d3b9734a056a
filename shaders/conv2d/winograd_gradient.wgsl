// transformed = A dy A^T for every tile of 4x4 outputs, with zeros past the edges of dy
//
// For the weight's gradient. y = A^T [(G g G^T) . (B^T d B)] A is linear in g, and its transpose is
//
//     dg = G^T [(A dy A^T) . (B^T d B)] G,   summed over tiles;
//
// winograd_output.wgsl has A^T, winograd_input.wgsl B^T, winograd_weight.wgsl G.
//
// Computes: the 36 frequencies of four tiles of one channel per invocation.
// Grid: ceil(batch * channels * blocks_y * blocks_x / 64) workgroups of 64, folded into y past 65,535.
// Memory: tiles and frequencies lie as in winograd_input.wgsl; dy is read as vec4, width is a multiple of 4.
// Why: four tiles per invocation, so that every load and store is a vec4.
// Measured: with the others, in winograd_product.wgsl.

struct TileExtents {
    batch: u32,
    channels: u32,  // of dy
    height: u32,
    width: u32,
    blocks_y: u32,
    blocks_x: u32,
}

// Elements as they are stored; f16 in half precision.
alias Dy = f32;

@group(0) @binding(0) var<storage, read> dy: array<vec4<Dy>>;              // [batch, channels, height, width] as vec4
@group(0) @binding(1) var<storage, read> extents: TileExtents;
@group(0) @binding(2) var<storage, read_write> transformed: array<vec4f>;  // [36, channels, batch, blocks_y, blocks_x] as vec4

const ROOT = 1.4142135623730951;
const HALF_ROOT = 0.7071067811865476;

// Eight pixels of a row of dy.
struct Row { near: vec4f, far: vec4f }

struct Six { a: vec4f, b: vec4f, c: vec4f, d: vec4f, e: vec4f, f: vec4f }

fn load_row(e: TileExtents, plane: u32, row: u32, column: u32) -> Row {
    let inside = row < e.height;
    let has_far = inside && column + 4u < e.width;
    let at = select(0u, (plane + row * e.width + column) / 4u, inside);
    return Row(select(vec4f(0.0), vec4f(dy[at]), inside), select(vec4f(0.0), vec4f(dy[select(0u, at + 1u, has_far)]), has_far));
}

fn transform(a: vec4f, b: vec4f, c: vec4f, d: vec4f) -> Six {
    let even_0 = fma(c, vec4f(2.0), a);
    let odd_0 = fma(d, vec4f(2.0), b) * ROOT;
    let even_1 = fma(c, vec4f(0.5), a);
    let odd_1 = fma(d, vec4f(0.5), b) * HALF_ROOT;
    return Six(a, even_0 + odd_0, even_0 - odd_0, even_1 + odd_1, even_1 - odd_1, d);
}

// The columns of two tiles each of an upper and a lower row.
fn transform_rows(u: Row, l: Row) -> Six {
    return transform(
        vec4f(u.near.x, u.far.x, l.near.x, l.far.x), vec4f(u.near.y, u.far.y, l.near.y, l.far.y),
        vec4f(u.near.z, u.far.z, l.near.z, l.far.z), vec4f(u.near.w, u.far.w, l.near.w, l.far.w),
    );
}

// Stores a column of frequencies.
fn store(s: Six, at: u32, stride: u32) {
    transformed[at] = s.a;
    transformed[at + stride * 6u] = s.b;
    transformed[at + stride * 12u] = s.c;
    transformed[at + stride * 18u] = s.d;
    transformed[at + stride * 24u] = s.e;
    transformed[at + stride * 30u] = s.f;
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
    let row = block / e.blocks_x % e.blocks_y * 8u;
    let column = block % e.blocks_x * 8u;
    let p0 = transform_rows(load_row(e, plane, row, column), load_row(e, plane, row + 4u, column));
    let p1 = transform_rows(load_row(e, plane, row + 1u, column), load_row(e, plane, row + 5u, column));
    let p2 = transform_rows(load_row(e, plane, row + 2u, column), load_row(e, plane, row + 6u, column));
    let p3 = transform_rows(load_row(e, plane, row + 3u, column), load_row(e, plane, row + 7u, column));
    let stride = e.channels * blocks;
    store(transform(p0.a, p1.a, p2.a, p3.a), index, stride);
    store(transform(p0.b, p1.b, p2.b, p3.b), index + stride, stride);
    store(transform(p0.c, p1.c, p2.c, p3.c), index + stride * 2u, stride);
    store(transform(p0.d, p1.d, p2.d, p3.d), index + stride * 3u, stride);
    store(transform(p0.e, p1.e, p2.e, p3.e), index + stride * 4u, stride);
    store(transform(p0.f, p1.f, p2.f, p3.f), index + stride * 5u, stride);
}
