// dtheta[c, u, v] = sum over i, j of dy[c, i, j] x[c, i + u - TOP, j + v - LEFT], with x = 0 outside the map
//
// c counts the channels of all samples. Kernels are 9x9 at most.
//
// Computes: one channel's kernel per workgroup, tile by tile. A tile has STRIPS strips of four columns and 256 / STRIPS
//   rows of dy. Each 64 lanes take a third of the rows of taps, a lane of them four rows of one strip. KERNEL_HEIGHT =
//   7:
//
//     lanes 0 .. 63 take u = 0, 1, 2     64 .. 127 take u = 3, 4, 5     128 .. 191 take u = 6
//
// Grid: CHANNELS workgroups of 192, folded into y past 65,535.
// Memory: as that of conv2d/backward_weight_depthwise_9x9_shared.wgsl. A row of taps has nine places; tap v is in place
//   4 - LEFT + v, as forward_shared.wgsl draws it.
// Why: for GPUs: 336 multiply-adds a lane for 22 loads of 128 bits from workgroup memory at 7x7. Places without a tap
//   cost nothing, as they are known when the pipeline is made.
// Measured: not measured on a GPU. Compilers (tools/isa) for gfx1100 / navi31 / ga102, 7x7: 72 / 84 / 72 registers and
//   no spills, 69 / 71 / 52 % of the main loop multiply-adds; backward_theta.wgsl has 28 / 27 / 15 %.

override CHANNELS: u32;  // N C
override HEIGHT: u32;
override WIDTH: u32;
override KERNEL_HEIGHT: u32;  // at most 9
override KERNEL_WIDTH: u32;   // at most 9
override TOP: u32;            // at most 4
override LEFT: u32;           // at most 4
override VEC4: bool;          // WIDTH is a multiple of 4: load as vec4
override STRIPS: u32;         // strips of four columns across a tile: 4, 8 or 16

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias X = f32;
alias Dtheta = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;                // [N, C, H, W]
@group(0) @binding(1) var<storage, read> dy_vec4: array<vec4<Dy>>;     // dy again, as vec4
@group(0) @binding(2) var<storage, read> x: array<X>;                  // [N, C, H, W]
@group(0) @binding(3) var<storage, read> x_vec4: array<vec4<X>>;       // x again, as vec4
@group(0) @binding(4) var<storage, read_write> dtheta: array<Dtheta>;  // [N, C, KERNEL_HEIGHT, KERNEL_WIDTH]

// Where dy begins in `memory`.
const DY = 432u;
// The tile of x, STRIPS + 2 a row, and that of dy, STRIPS a row; at the end the lanes' sums.
var<workgroup> memory: array<vec4f, DY + 256u>;

// 12 inputs in a row.
struct Row { a: vec4f, b: vec4f, c: vec4f }

// Nine places of a row of taps.
struct Taps { first: vec4f, second: vec4f, last: f32 }

// Whether there is a tap in place s.
fn counts(s: u32) -> bool {
    return s + LEFT >= 4u && s + LEFT < 4u + KERNEL_WIDTH;
}

// Rows and columns above and left of the map have wrapped round to large numbers.
fn load_input(plane: u32, row: u32, column: u32) -> vec4f {
    let row_inside = row < HEIGHT;
    if VEC4 {
        let inside = row_inside & (column < WIDTH);
        let at = select(0u, plane + row * WIDTH + column, inside);
        return select(vec4f(0.0), vec4f(x_vec4[at / 4u]), inside);
    }
    let columns = column + vec4u(0u, 1u, 2u, 3u);
    let inside = (columns < vec4u(WIDTH)) & vec4<bool>(row_inside);
    let at = select(vec4u(0u), plane + row * WIDTH + columns, inside);
    return select(vec4f(0.0), vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w])), inside);
}

fn load_gradient(plane: u32, row: u32, column: u32) -> vec4f {
    let row_inside = row < HEIGHT;
    if VEC4 {
        let inside = row_inside & (column < WIDTH);
        let at = select(0u, plane + row * WIDTH + column, inside);
        return select(vec4f(0.0), vec4f(dy_vec4[at / 4u]), inside);
    }
    let columns = column + vec4u(0u, 1u, 2u, 3u);
    let inside = (columns < vec4u(WIDTH)) & vec4<bool>(row_inside);
    let at = select(vec4u(0u), plane + row * WIDTH + columns, inside);
    return select(vec4f(0.0), vec4f(f32(dy[at.x]), f32(dy[at.y]), f32(dy[at.z]), f32(dy[at.w])), inside);
}

// Element `at` of the tile of x whose first output is at this row and column.
fn load_of_x(plane: u32, first_row: u32, first_column: u32, at: u32) -> vec4f {
    let row = first_row + at / (STRIPS + 2u) - TOP;
    let column = first_column + 4u * (at % (STRIPS + 2u)) - 4u;
    return load_input(plane, row, column);
}

// The same of the tile of dy.
fn load_of_dy(plane: u32, first_row: u32, first_column: u32, at: u32) -> vec4f {
    return load_gradient(plane, first_row + at / STRIPS, first_column + 4u * (at % STRIPS));
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

// Adds up the lanes' sums for a row of those of each group of lanes, and stores them. `at` is the place of the
// channel's kernel.
fn store_row(t: Taps, lane: u32, row: u32, at: u32) {
    let mine = lane / 64u * 192u + lane % 64u;
    workgroupBarrier();
    // Sums for places without a tap are left out, and so never computed.
    memory[mine] = select(vec4f(0.0), t.first, vec4<bool>(counts(0u), counts(1u), counts(2u), counts(3u)));
    memory[mine + 64u] = select(vec4f(0.0), t.second, vec4<bool>(counts(4u), counts(5u), counts(6u), counts(7u)));
    memory[mine + 128u] = vec4f(select(0.0, t.last, counts(8u)), 0.0, 0.0, 0.0);
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
        let u = lane / 3u * group_rows() + row;
        let s = lane % 3u * 4u;
        if u < KERNEL_HEIGHT {
            store_tap(sum.x, at + u * KERNEL_WIDTH, s);
            store_tap(sum.y, at + u * KERNEL_WIDTH, s + 1u);
            store_tap(sum.z, at + u * KERNEL_WIDTH, s + 2u);
            store_tap(sum.w, at + u * KERNEL_WIDTH, s + 3u);
        }
    }
}

// Stores the sum for place s of the row of taps that begins at `row`.
fn store_tap(sum: f32, row: u32, s: u32) {
    if counts(s) {
        dtheta[row + s + LEFT - 4u] = Dtheta(sum);
    }
}

// Rows of taps that each 64 lanes take.
fn group_rows() -> u32 {
    return (KERNEL_HEIGHT + 2u) / 3u;
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
    let vectors = STRIPS + 2u;
    let rows = 256u / STRIPS;
    let elements = vectors * (rows + KERNEL_HEIGHT - 1u);
    let tiles_x = (WIDTH + 4u * STRIPS - 1u) / (4u * STRIPS);
    let tiles_y = (HEIGHT + rows - 1u) / rows;
    let channel = min(workgroup.y * workgroups.x + workgroup.x, CHANNELS - 1u);
    let plane = channel * HEIGHT * WIDTH;

    let group = lane / 64u;
    let strip = lane % STRIPS;
    let row = lane % 64u / STRIPS * 4u;
    let x_at = (row + group_rows() * group) * vectors + strip;
    let dy_at = DY + row * STRIPS + strip;
    var t0 = Taps(vec4f(0.0), vec4f(0.0), 0.0);
    var t1 = t0;
    var t2 = t0;
    for (var tile = 0u; tile < tiles_x * tiles_y; tile++) {
        let first_row = tile / tiles_x * rows;
        let first_column = tile % tiles_x * 4u * STRIPS;
        // Five loads at a time; the tile of x has more than 256 elements.
        let x0 = load_of_x(plane, first_row, first_column, lane);
        let x1 = load_of_x(plane, first_row, first_column, min(lane + 192u, elements - 1u));
        let x2 = load_of_x(plane, first_row, first_column, min(lane + 384u, elements - 1u));
        let dy0 = load_of_dy(plane, first_row, first_column, lane);
        let dy1 = load_of_dy(plane, first_row, first_column, min(lane + 192u, 255u));
        workgroupBarrier();
        memory[lane] = x0;
        if lane + 192u < elements {
            memory[lane + 192u] = x1;
        }
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

    let at = channel * KERNEL_HEIGHT * KERNEL_WIDTH;
    store_row(t0, lane, 0u, at);
    if group_rows() > 1u {
        store_row(t1, lane, 1u, at);
    }
    if group_rows() > 2u {
        store_row(t2, lane, 2u, at);
    }
}
