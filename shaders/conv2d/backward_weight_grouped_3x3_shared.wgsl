// splits[p, o, c, u, v] = sum over the tiles of split p, over i, j in a tile of dy[n, o, i, j] *
//     x[n, g C/G + c, i + u - PY, j + v - PX], u, v in 0..3
//
// 3x3 kernels with stride 1 and any number of groups. Tiles are those of all samples.
//
// Computes: the nine taps from each of CHANNELS channels c to each of OUTPUTS outputs o of a group, of one split, per
//   workgroup. A tile has STRIPS strips of four columns and 256 / STRIPS rows of dy; a lane takes two rows of a strip.
// Grid: splits * (out_channels / OUTPUTS) * (channels / groups / CHANNELS) workgroups of 128, channels first, splits
//   last, folded into y past 65,535.
// Memory: the tiles of x lie in workgroup memory as those of grouped_3x3_shared.wgsl do; dy is loaded into registers,
//   as every element is needed by one lane alone. A lane holds its sums to the end; then those of all lanes are added
//   four at a time in workgroup memory, always in the same order.
// Why: for GPUs: x is loaded once for all taps and OUTPUTS outputs, dy once for CHANNELS channels. sum_splits.wgsl
//   adds the splits; a single one is the gradient. The extents come from a buffer: one pipeline serves all shapes with
//   such tiles.
// Measured: not measured on a GPU. Compilers (tools/isa) for gfx1100 / navi31 / ga102, 2->2 channels: 108 / 120 / 96
//   registers and no spills, 48 / 48 / 32 % of the main loop multiply-adds; backward_weight_grouped_3x3.wgsl has 33 /
//   19 / 11 %, in workgroups of 8 that leave most lanes of a GPU's subgroup idle.

override OUTPUTS: u32;   // outputs of a workgroup: 1, or 2 where out_channels / groups is even
override CHANNELS: u32;  // channels of a workgroup: 1, or 2 where channels / groups is even
override VEC4: bool;     // width is a multiple of 4 and padding_x is 1: load as vec4
override STRIPS: u32;    // strips of four columns across a tile: 4, 8 or 16

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
@group(0) @binding(5) var<storage, read_write> splits: array<f32>;  // [splits, out_channels, channels / groups, 3, 3]

// The inputs of CHANNELS channels, STRIPS + 2 a row; at the end the lanes' sums.
var<workgroup> tile: array<vec4f, 792>;

// Six inputs in a row.
struct Row { before: f32, middle: vec4f, after: f32 }

struct Taps { top: vec3f, middle: vec3f, bottom: vec3f }

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

// Element `at` of the tile whose first output is at this row and column.
fn load(e: Extents, plane: u32, first_row: u32, first_column: u32, at: u32) -> vec4f {
    let row = first_row + at / (STRIPS + 2u) - e.padding_y;
    let column = first_column + 4u * (at % (STRIPS + 2u)) - e.padding_x - 3u;
    return load_input(e, plane, row, column);
}

// Loads and stores the tile of the channel that begins at `plane`, at `to`.
fn load_tile(e: Extents, plane: u32, first_row: u32, first_column: u32, lane: u32, to: u32) {
    // Three loads at a time. The tile has more than 256 elements, and with STRIPS = 4 more than 384.
    let elements = (STRIPS + 2u) * (256u / STRIPS + 2u);
    let x0 = load(e, plane, first_row, first_column, lane);
    let x1 = load(e, plane, first_row, first_column, lane + 128u);
    let x2 = load(e, plane, first_row, first_column, min(lane + 256u, elements - 1u));
    tile[to + lane] = x0;
    tile[to + lane + 128u] = x1;
    if lane + 256u < elements {
        tile[to + lane + 256u] = x2;
    }
    if lane + 384u < elements {
        tile[to + lane + 384u] = load(e, plane, first_row, first_column, lane + 384u);
    }
}

fn row_at(at: u32) -> Row {
    return Row(tile[at].w, tile[at + 1u], tile[at + 2u].x);
}

// The products of six inputs in a row with four outputs' gradients, for three taps.
fn slide(sum: vec3f, d: vec4f, r: Row) -> vec3f {
    let left = fma(vec3f(d.y), r.middle.xyz, fma(vec3f(d.x), vec3f(r.before, r.middle.xy), sum));
    return fma(vec3f(d.w), vec3f(r.middle.zw, r.after), fma(vec3f(d.z), r.middle.yzw, left));
}

// The products of four rows of inputs with two rows of gradients.
fn add(t: Taps, upper: vec4f, lower: vec4f, r0: Row, r1: Row, r2: Row, r3: Row) -> Taps {
    return Taps(
        slide(slide(t.top, upper, r0), lower, r1),
        slide(slide(t.middle, upper, r1), lower, r2),
        slide(slide(t.bottom, upper, r2), lower, r3),
    );
}

// The sum of four vec4 that lie `step` apart.
fn add_four(at: u32, step: u32) -> vec4f {
    return (tile[at] + tile[at + step]) + (tile[at + 2u * step] + tile[at + 3u * step]);
}

// Adds up the lanes' sums, and stores them at `at`.
fn store(t: Taps, lane: u32, at: u32) {
    workgroupBarrier();
    tile[lane] = vec4f(t.top, 0.0);
    tile[128u + lane] = vec4f(t.middle, 0.0);
    tile[256u + lane] = vec4f(t.bottom, 0.0);
    workgroupBarrier();
    if lane < 96u {
        let place = lane / 32u * 128u + lane % 32u;
        tile[place] = add_four(place, 32u);
    }
    workgroupBarrier();
    if lane < 24u {
        let place = lane / 8u * 128u + lane % 8u;
        tile[place] = add_four(place, 8u);
    }
    workgroupBarrier();
    if lane < 3u {
        let place = lane * 128u;
        let sum = add_four(place, 2u) + add_four(place + 1u, 2u);
        splits[at + 3u * lane] = sum.x;
        splits[at + 3u * lane + 1u] = sum.y;
        splits[at + 3u * lane + 2u] = sum.z;
    }
}

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = extents;
    let vectors = STRIPS + 2u;
    let rows = 256u / STRIPS;
    let elements = vectors * (rows + 2u);
    let tiles_x = (e.out_width + 4u * STRIPS - 1u) / (4u * STRIPS);
    let tiles_y = (e.out_height + rows - 1u) / rows;
    let tiles = e.batch * tiles_y * tiles_x;
    let tiles_a_split = (tiles + e.splits - 1u) / e.splits;
    let channels = e.channels / e.groups;
    let channel_blocks = channels / CHANNELS;
    let blocks = e.out_channels / OUTPUTS * channel_blocks;
    let index = min(workgroup.y * workgroups.x + workgroup.x, e.splits * blocks - 1u);
    let split = index / blocks;
    let output = index % blocks / channel_blocks * OUTPUTS;
    let channel = index % channel_blocks * CHANNELS;
    let x_channel = output / (e.out_channels / e.groups) * channels + channel;
    let x_pixels = e.height * e.width;
    let dy_pixels = e.out_height * e.out_width;

    let row = lane / STRIPS * 2u;
    let strip = lane % STRIPS;
    let at = row * vectors + strip;
    // By output and channel.
    var t00 = Taps(vec3f(0.0), vec3f(0.0), vec3f(0.0));
    var t01 = t00;
    var t10 = t00;
    var t11 = t00;
    for (var number = split * tiles_a_split; number < min((split + 1u) * tiles_a_split, tiles); number++) {
        let sample = number / (tiles_x * tiles_y);
        let first_row = number / tiles_x % tiles_y * rows;
        let first_column = number % tiles_x * 4u * STRIPS;
        let x_plane = (sample * e.channels + x_channel) * x_pixels;
        workgroupBarrier();
        load_tile(e, x_plane, first_row, first_column, lane, 0u);
        if CHANNELS > 1u {
            load_tile(e, x_plane + x_pixels, first_row, first_column, lane, elements);
        }
        workgroupBarrier();

        let dy_plane = (sample * e.out_channels + output) * dy_pixels;
        let dy_row = first_row + row;
        let dy_column = first_column + 4u * strip;
        let upper = load_gradient(e, dy_plane, dy_row, dy_column);
        let lower = load_gradient(e, dy_plane, dy_row + 1u, dy_column);
        var next_upper = upper;
        var next_lower = lower;
        if OUTPUTS > 1u {
            next_upper = load_gradient(e, dy_plane + dy_pixels, dy_row, dy_column);
            next_lower = load_gradient(e, dy_plane + dy_pixels, dy_row + 1u, dy_column);
        }
        let r0 = row_at(at);
        let r1 = row_at(at + vectors);
        let r2 = row_at(at + 2u * vectors);
        let r3 = row_at(at + 3u * vectors);
        t00 = add(t00, upper, lower, r0, r1, r2, r3);
        if OUTPUTS > 1u {
            t10 = add(t10, next_upper, next_lower, r0, r1, r2, r3);
        }
        if CHANNELS > 1u {
            let s0 = row_at(elements + at);
            let s1 = row_at(elements + at + vectors);
            let s2 = row_at(elements + at + 2u * vectors);
            let s3 = row_at(elements + at + 3u * vectors);
            t01 = add(t01, upper, lower, s0, s1, s2, s3);
            if OUTPUTS > 1u {
                t11 = add(t11, next_upper, next_lower, s0, s1, s2, s3);
            }
        }
    }

    let first = ((split * e.out_channels + output) * channels + channel) * 9u;
    store(t00, lane, first);
    if CHANNELS > 1u {
        store(t01, lane, first + 9u);
    }
    if OUTPUTS > 1u {
        store(t10, lane, first + 9u * channels);
    }
    if CHANNELS > 1u && OUTPUTS > 1u {
        store(t11, lane, first + 9u * channels + 9u);
    }
}
