// parts[p, o, k] = sum over the pixels (n, i, j) of part p of dy[n, o, i, j] * patches[k, (n, i, j)]
//
// The gradient for the weight of a convolution of one group as a product of matrices: rows are output channels o, columns
// taps k = (c, u, v), and the sum runs over pixels of dy, in `parts` parts of part_slices slices of 16 pixels that
// sum_parts.wgsl adds up (with one part it is the gradient). patches[k, pixel] is x[n, c, i SY + u - PY, j SX + v - PX], or
// zero outside of x.
//
// Made for GPUs, as gemm.wgsl is: a workgroup computes ROWS x COLUMNS elements from slices that it holds in workgroup memory
// by fours along the pixels; an invocation computes 8 rows, ROWS / 8 apart, of COLUMNS_A_LANE columns, COLUMNS /
// COLUMNS_A_LANE apart. A slice is summed on its own first, which keeps the rounding error of long sums small.
// Grid: parts * ceil(columns / COLUMNS) * ceil(out_channels / ROWS) workgroups, rows first, parts last, folded into y past
// 65,535. Workgroup memory: 64 (ROWS + COLUMNS) bytes. Not yet measured on a GPU.

override ROWS: u32;            // a multiple of 8
override COLUMNS: u32;         // a multiple of 8
override COLUMNS_A_LANE: u32;  // 4 or 8
override INVOCATIONS: u32 = ROWS / 8u * (COLUMNS / COLUMNS_A_LANE);

struct Table {
    batch: u32,
    height: u32,        // of x
    width: u32,
    x_sample: u32,      // elements of a sample of x
    out_channels: u32,
    out_height: u32,
    out_width: u32,
    stride_y: u32,
    stride_x: u32,
    padding_y: u32,
    padding_x: u32,
    columns: u32,       // taps
    parts: u32,
    part_slices: u32,
    dy_by_fours: u32,   // not 0: a plane of dy holds pixels by fours; load them by fours
    x_by_fours: u32,    // not 0: as well 1x1 kernels with stride 1, no padding; load x by fours
    entries: array<vec4i>,  // for each k (elements, rows, columns) of x from where output (0, 0) looks without padding
}

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias X = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;              // [batch, out_channels, out_height, out_width]
@group(0) @binding(1) var<storage, read> dy_quads: array<vec4<Dy>>;  // dy again, by fours
@group(0) @binding(2) var<storage, read> x: array<X>;                // [batch, channels, height, width]
@group(0) @binding(3) var<storage, read> x_quads: array<vec4<X>>;    // x again, by fours
@group(0) @binding(4) var<storage, read> table: Table;
@group(0) @binding(5) var<storage, read_write> parts: array<f32>;    // [parts, out_channels, columns]

var<workgroup> left: array<vec4f, 4u * ROWS>;      // a slice of dy: four pixels of a row an element
var<workgroup> right: array<vec4f, 4u * COLUMNS>;  // a slice of the patches: four pixels of a column an element

// Four pixels in a row: where they lie in channel 0 of dy and x, and which there are.
struct Pixels { exists: vec4<bool>, dy_at: vec4u, x_at: vec4i, row: vec4i, column: vec4i }

// Four pixels of four columns, a vector a pixel.
struct Four { a: vec4f, b: vec4f, c: vec4f, d: vec4f }

// A vector a row.
alias Rows = array<vec4f, 8>;

fn pixels_from(pixel: u32) -> Pixels {
    let plane = table.out_height * table.out_width;
    let all = vec4u(pixel) + vec4u(0u, 1u, 2u, 3u);
    let exists = all < vec4u(table.batch * plane);
    let there = select(vec4u(0u), all, exists);
    let sample = there / plane;
    let rest = there - sample * plane;
    let i = rest / table.out_width;
    let j = rest - i * table.out_width;
    let row = vec4i(i * table.stride_y) - i32(table.padding_y);
    let column = vec4i(j * table.stride_x) - i32(table.padding_x);
    let x_at = vec4i(sample * table.x_sample) + row * i32(table.width) + column;
    return Pixels(exists, sample * table.out_channels * plane + rest, x_at, row, column);
}

// Where four pixels of a row or column are held: spread so that the four of two rows lie in different banks of the memory.
fn slot(quad: u32, number: u32, count: u32) -> u32 {
    return quad * count + (number ^ (2u * quad));
}

fn load_gradient(p: Pixels, row: u32) -> vec4f {
    let at = p.dy_at + min(row, table.out_channels - 1u) * table.out_height * table.out_width;
    if table.dy_by_fours != 0u {
        return select(vec4f(0.0), vec4f(dy_quads[at.x / 4u]), p.exists);
    }
    let value = vec4f(f32(dy[at.x]), f32(dy[at.y]), f32(dy[at.z]), f32(dy[at.w]));
    return select(vec4f(0.0), value, p.exists);
}

fn load_patch(p: Pixels, column: u32) -> vec4f {
    let tap = table.entries[min(column, table.columns - 1u)];
    if table.x_by_fours != 0u {
        return select(vec4f(0.0), vec4f(x_quads[(p.x_at.x + tap.x) / 4]), p.exists);
    }
    let inside = p.exists & (vec4u(p.row + tap.y) < vec4u(table.height)) & (vec4u(p.column + tap.z) < vec4u(table.width));
    let at = select(vec4i(0), p.x_at + tap.x, inside);
    return select(vec4f(0.0), vec4f(f32(x[at.x]), f32(x[at.y]), f32(x[at.z]), f32(x[at.w])), inside);
}

fn turned(q: Four) -> Four {
    return Four(
        vec4f(q.a.x, q.b.x, q.c.x, q.d.x), vec4f(q.a.y, q.b.y, q.c.y, q.d.y),
        vec4f(q.a.z, q.b.z, q.c.z, q.d.z), vec4f(q.a.w, q.b.w, q.c.w, q.d.w),
    );
}

fn add_row(sum: vec4f, p: Four, w: vec4f) -> vec4f {
    return fma(p.d, vec4f(w.w), fma(p.c, vec4f(w.z), fma(p.b, vec4f(w.y), fma(p.a, vec4f(w.x), sum))));
}

fn add(s: Rows, p: Four, w: Rows) -> Rows {
    return Rows(
        add_row(s[0], p, w[0]), add_row(s[1], p, w[1]), add_row(s[2], p, w[2]), add_row(s[3], p, w[3]),
        add_row(s[4], p, w[4]), add_row(s[5], p, w[5]), add_row(s[6], p, w[6]), add_row(s[7], p, w[7]),
    );
}

fn join(a: Rows, b: Rows) -> Rows {
    return Rows(a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4], a[5] + b[5], a[6] + b[6], a[7] + b[7]);
}

fn load_rows(quad: u32, row: u32) -> Rows {
    let step = ROWS / 8u;
    return Rows(
        left[slot(quad, row, ROWS)], left[slot(quad, row + step, ROWS)],
        left[slot(quad, row + step * 2u, ROWS)], left[slot(quad, row + step * 3u, ROWS)],
        left[slot(quad, row + step * 4u, ROWS)], left[slot(quad, row + step * 5u, ROWS)],
        left[slot(quad, row + step * 6u, ROWS)], left[slot(quad, row + step * 7u, ROWS)],
    );
}

fn load_columns(quad: u32, column: u32) -> Four {
    let step = COLUMNS / COLUMNS_A_LANE;
    return turned(Four(
        right[slot(quad, column, COLUMNS)], right[slot(quad, column + step, COLUMNS)],
        right[slot(quad, column + step * 2u, COLUMNS)], right[slot(quad, column + step * 3u, COLUMNS)],
    ));
}

fn store_row(value: vec4f, part: u32, output: u32, column: u32) {
    let step = COLUMNS / COLUMNS_A_LANE;
    let at = (part * table.out_channels + output) * table.columns + column;
    if output >= table.out_channels {
        return;
    }
    if column < table.columns {
        parts[at] = value.x;
    }
    if column + step < table.columns {
        parts[at + step] = value.y;
    }
    if column + step * 2u < table.columns {
        parts[at + step * 2u] = value.z;
    }
    if column + step * 3u < table.columns {
        parts[at + step * 3u] = value.w;
    }
}

fn store_rows(s: Rows, part: u32, output: u32, column: u32) {
    let step = ROWS / 8u;
    store_row(s[0], part, output, column);
    store_row(s[1], part, output + step, column);
    store_row(s[2], part, output + step * 2u, column);
    store_row(s[3], part, output + step * 3u, column);
    store_row(s[4], part, output + step * 4u, column);
    store_row(s[5], part, output + step * 5u, column);
    store_row(s[6], part, output + step * 6u, column);
    store_row(s[7], part, output + step * 7u, column);
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let index = workgroup.y * workgroups.x + workgroup.x;
    let row_blocks = (table.out_channels + ROWS - 1u) / ROWS;
    let column_blocks = (table.columns + COLUMNS - 1u) / COLUMNS;
    let part = index / (row_blocks * column_blocks);
    if part >= table.parts {
        return;
    }
    let first_row = index % row_blocks * ROWS;
    let first_column = index / row_blocks % column_blocks * COLUMNS;
    let slices = (table.batch * table.out_height * table.out_width + 15u) / 16u;

    let column_lanes = COLUMNS / COLUMNS_A_LANE;
    let row = local / column_lanes;
    let column = local % column_lanes;
    let zero = vec4f(0.0);
    let none = Rows(zero, zero, zero, zero, zero, zero, zero, zero);
    var near = none;
    var far = none;
    for (var slice = part * table.part_slices; slice < min((part + 1u) * table.part_slices, slices); slice++) {
        // Neighbouring lanes load neighbouring pixels.
        let quad = local % 4u;
        let pixels = pixels_from(16u * slice + 4u * quad);
        for (var item = local / 4u; item < ROWS; item += INVOCATIONS / 4u) {
            left[slot(quad, item, ROWS)] = load_gradient(pixels, first_row + item);
        }
        for (var item = local / 4u; item < COLUMNS; item += INVOCATIONS / 4u) {
            right[slot(quad, item, COLUMNS)] = load_patch(pixels, first_column + item);
        }
        workgroupBarrier();
        var slice_near = none;
        var slice_far = none;
        for (var k = 0u; k < 4u; k++) {
            let rows = load_rows(k, row);
            slice_near = add(slice_near, load_columns(k, column), rows);
            if COLUMNS_A_LANE > 4u {
                slice_far = add(slice_far, load_columns(k, column + column_lanes * 4u), rows);
            }
        }
        near = join(near, slice_near);
        if COLUMNS_A_LANE > 4u {
            far = join(far, slice_far);
        }
        workgroupBarrier();
    }

    store_rows(near, part, first_row + row, first_column + column);
    if COLUMNS_A_LANE > 4u {
        store_rows(far, part, first_row + row, first_column + column + column_lanes * 4u);
    }
}
