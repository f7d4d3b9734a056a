// splits[p, c, u, v] = sum over the tiles of split p, over i, j in a tile of dy[n, c, i, j] *
//     x[n, c, i + u - PY, j + v - PX], u, v in 0..9
//
// Depthwise 9x9 kernels with stride 1. Tiles are those of all samples.
//
// Computes: the 81 weights of one channel, of one split, per workgroup. A tile has STRIPS strips of four columns and
//   256 / STRIPS rows of dy. Each 64 lanes take three rows of taps, a lane of them four rows of one strip:
//
//     lanes 0 .. 63 take u = 0, 1, 2     64 .. 127 take u = 3, 4, 5     128 .. 191 take u = 6, 7, 8
//
// Grid: splits * channels workgroups of 192, channels first, folded into y past 65,535.
// Memory: the tile of dy lies in workgroup memory, and that of x with the columns and rows that its taps meet, both
//   zero outside of their maps. A lane holds its 27 sums, and loads a vec4 of dy and a row of 12 of x, three vec4, for
//   each row of its strip; a row of x meets three rows of dy. Neighbouring lanes load neighbouring vec4. At the end the
//   sums of 64 lanes are added four at a time in workgroup memory, always in the same order.
// Why: for GPUs: 432 multiply-adds a lane for 22 loads of 128 bits from workgroup memory and five from global memory,
//   which are in flight at once. Three groups of 64 lanes and not a power of two, for nine rows of taps: a subgroup of
//   64 lanes or less has the same rows. sum_splits.wgsl adds the splits; a single one is the gradient. The extents come
//   from a buffer: one pipeline serves all shapes with such tiles.
// Measured: not measured on a GPU. Compilers (tools/isa) for gfx1100 / navi31 / ga102: 84 / 84 / 88 registers and no
//   spills, 66 / 64 / 55 % of the main loop multiply-adds; backward_weight_depthwise_9x9.wgsl has 132 registers and
//   283 spills / 240 / 255 registers and 3 spills, and 50 % on gfx1100.

override VEC4: bool;   // width is a multiple of 4 and padding_x is 4: load as vec4
override STRIPS: u32;  // strips of four columns across a tile: 4, 8 or 16

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

// Where dy begins in `memory`.
const DY = 432u;
// The tile of x, STRIPS + 2 a row, and that of dy, STRIPS a row; at the end the lanes' sums.
var<workgroup> memory: array<vec4f, DY + 256u>;

// 12 inputs in a row.
struct Row { a: vec4f, b: vec4f, c: vec4f }

// Nine weights in a row.
struct Taps { first: vec4f, second: vec4f, last: f32 }

// Rows and columns above and left of the map have wrapped round to large numbers.
fn load_input(e: Extents, plane: u32, row: u32, column: u32) -> vec4f {
    let row_inside = row < e.height;
    if VEC4 {
        let inside = row_inside & (column < e.width);
        let at = select(0u, plane + row * e.width + column, inside);
        return select(vec4f(0.0), vec4f(x_vec4[at / 4u]), inside);
    }
    let columns = column + vec4u(0u, 1u, 2u, 3u);
    let inside = (columns < vec4u(e.width)) & vec4<bool>(row_inside);
    let at = select(vec4u(0u), plane + row * e.width + columns, inside);
    return select(vec4f(0.0), vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w])), inside);
}

fn load_gradient(e: Extents, plane: u32, row: u32, column: u32) -> vec4f {
    let row_inside = row < e.out_height;
    if VEC4 {
        let inside = row_inside & (column < e.out_width);
        let at = select(0u, plane + row * e.out_width + column, inside);
        return select(vec4f(0.0), vec4f(dy_vec4[at / 4u]), inside);
    }
    let columns = column + vec4u(0u, 1u, 2u, 3u);
    let inside = (columns < vec4u(e.out_width)) & vec4<bool>(row_inside);
    let at = select(vec4u(0u), plane + row * e.out_width + columns, inside);
    return select(vec4f(0.0), vec4f(f32(dy[at.x]), f32(dy[at.y]), f32(dy[at.z]), f32(dy[at.w])), inside);
}

// Element `at` of the tile of x whose first output is at this row and column.
fn load_of_x(e: Extents, plane: u32, first_row: u32, first_column: u32, at: u32) -> vec4f {
    let row = first_row + at / (STRIPS + 2u) - e.padding_y;
    let column = first_column + 4u * (at % (STRIPS + 2u)) - e.padding_x;
    return load_input(e, plane, row, column);
}

// The same of the tile of dy.
fn load_of_dy(e: Extents, plane: u32, first_row: u32, first_column: u32, at: u32) -> vec4f {
    return load_gradient(e, plane, first_row + at / STRIPS, first_column + 4u * (at % STRIPS));
}

fn row_at(at: u32) -> Row {
    return Row(memory[at], memory[at + 1u], memory[at + 2u]);
}

// The products of one row of inputs with four outputs' gradients.
fn add(t: Taps, d: vec4f, r: Row) -> Taps {
    var first = fma(vec4f(d.x), r.a, t.first);
    first = fma(vec4f(d.y), vec4f(r.a.yzw, r.b.x), first);
    first = fma(vec4f(d.z), vec4f(r.a.zw, r.b.xy), first);
    first = fma(vec4f(d.w), vec4f(r.a.w, r.b.xyz), first);
    var second = fma(vec4f(d.x), r.b, t.second);
    second = fma(vec4f(d.y), vec4f(r.b.yzw, r.c.x), second);
    second = fma(vec4f(d.z), vec4f(r.b.zw, r.c.xy), second);
    second = fma(vec4f(d.w), vec4f(r.b.w, r.c.xyz), second);
    return Taps(first, second, fma(d.w, r.c.w, fma(d.z, r.c.z, fma(d.y, r.c.y, fma(d.x, r.c.x, t.last)))));
}

// Adds up the lanes' sums for a row of the three of each group of lanes, and stores them. `at` is the place of the
// channel's weights.
fn store_row(t: Taps, lane: u32, row: u32, at: u32) {
    let mine = lane / 64u * 192u + lane % 64u;
    workgroupBarrier();
    memory[mine] = t.first;
    memory[mine + 64u] = t.second;
    memory[mine + 128u] = vec4f(t.last, 0.0, 0.0, 0.0);
    workgroupBarrier();
    if lane < 144u {
        add_four(lane / 16u * 64u + lane % 16u, 16u);
    }
    workgroupBarrier();
    if lane < 36u {
        add_four(lane / 4u * 64u + lane % 4u, 4u);
    }
    workgroupBarrier();
    if lane < 9u {
        add_four(lane * 64u, 1u);
        let sum = memory[lane * 64u];
        let u = lane / 3u * 3u + row;
        let v = lane % 3u * 4u;
        let first = at + 9u * u + v;
        splits[first] = sum.x;
        if v < 8u {
            splits[first + 1u] = sum.y;
            splits[first + 2u] = sum.z;
            splits[first + 3u] = sum.w;
        }
    }
}

// Adds four vec4 that lie `step` apart to the first of them.
fn add_four(at: u32, step: u32) {
    let first = memory[at] + memory[at + step];
    memory[at] = first + (memory[at + 2u * step] + memory[at + 3u * step]);
}

@compute @workgroup_size(192)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = extents;
    let vectors = STRIPS + 2u;
    let rows = 256u / STRIPS;
    let elements = vectors * (rows + 8u);
    let tiles_x = (e.out_width + 4u * STRIPS - 1u) / (4u * STRIPS);
    let tiles_y = (e.out_height + rows - 1u) / rows;
    let tiles = e.batch * tiles_y * tiles_x;
    let index = min(workgroup.y * workgroups.x + workgroup.x, e.splits * e.channels - 1u);
    let channel = index % e.channels;
    let split = index / e.channels;
    let tiles_a_split = (tiles + e.splits - 1u) / e.splits;

    let group = lane / 64u;
    let strip = lane % STRIPS;
    let row = lane % 64u / STRIPS * 4u;
    let x_at = (row + 3u * group) * vectors + strip;
    let dy_at = DY + row * STRIPS + strip;
    var t0 = Taps(vec4f(0.0), vec4f(0.0), 0.0);
    var t1 = t0;
    var t2 = t0;
    for (var tile = split * tiles_a_split; tile < min((split + 1u) * tiles_a_split, tiles); tile++) {
        let map = tile / (tiles_x * tiles_y) * e.channels + channel;
        let first_row = tile / tiles_x % tiles_y * rows;
        let first_column = tile % tiles_x * 4u * STRIPS;
        let x_plane = map * e.height * e.width;
        let dy_plane = map * e.out_height * e.out_width;
        // Five loads at a time; the tile of x has more than 384 elements.
        let x0 = load_of_x(e, x_plane, first_row, first_column, lane);
        let x1 = load_of_x(e, x_plane, first_row, first_column, lane + 192u);
        let x2 = load_of_x(e, x_plane, first_row, first_column, min(lane + 384u, elements - 1u));
        let dy0 = load_of_dy(e, dy_plane, first_row, first_column, lane);
        let dy1 = load_of_dy(e, dy_plane, first_row, first_column, min(lane + 192u, 255u));
        workgroupBarrier();
        memory[lane] = x0;
        memory[lane + 192u] = x1;
        if lane + 384u < elements {
            memory[lane + 384u] = x2;
        }
        memory[DY + lane] = dy0;
        if lane < 64u {
            memory[DY + lane + 192u] = dy1;
        }
        workgroupBarrier();

        let r0 = row_at(x_at);
        let r1 = row_at(x_at + vectors);
        let r2 = row_at(x_at + 2u * vectors);
        let d0 = memory[dy_at];
        t0 = add(t0, d0, r0);
        t1 = add(t1, d0, r1);
        t2 = add(t2, d0, r2);
        let r3 = row_at(x_at + 3u * vectors);
        let d1 = memory[dy_at + STRIPS];
        t0 = add(t0, d1, r1);
        t1 = add(t1, d1, r2);
        t2 = add(t2, d1, r3);
        let r4 = row_at(x_at + 4u * vectors);
        let d2 = memory[dy_at + 2u * STRIPS];
        t0 = add(t0, d2, r2);
        t1 = add(t1, d2, r3);
        t2 = add(t2, d2, r4);
        let r5 = row_at(x_at + 5u * vectors);
        let d3 = memory[dy_at + 3u * STRIPS];
        t0 = add(t0, d3, r3);
        t1 = add(t1, d3, r4);
        t2 = add(t2, d3, r5);
    }

    let at = (split * e.channels + channel) * 81u;
    store_row(t0, lane, 0u, at);
    store_row(t1, lane, 1u, at);
    store_row(t2, lane, 2u, at);
}
