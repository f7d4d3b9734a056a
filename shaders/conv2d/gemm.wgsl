// y[n, o, i, j] = [relu] (bias[o] + sum over k of weight[o, k] * patches[k, (n, i, j)] [+ residual[n, o, i, j]])
//
// A convolution of one group, or its gradient for the input, as a product of matrices: rows are output channels o, columns
// pixels (n, i, j) of y, and k counts the taps (c, u, v) that a pixel meets. patches[k, column] is one element of x, or zero
// outside of it; which one, the table says for each k as a step from where the pixel lies, so that one kernel serves any
// kernel size, stride and padding. For the gradient x is dy and y is dx, whose pixels fall into classes (i mod SY, j mod SX)
// that meet different taps; otherwise there is one class.
//
// Made for GPUs: a workgroup computes ROWS x COLUMNS elements from slices of 16 k, which it holds in workgroup memory by
// fours along k; an invocation computes 8 rows, ROWS / 8 apart, of COLUMNS_A_LANE columns, COLUMNS / COLUMNS_A_LANE apart, so
// that neighbouring lanes touch neighbouring elements. A slice is summed on its own first, which keeps the rounding error of
// long sums small.
// Grid: classes * column_blocks * ceil(out_channels / ROWS) workgroups, rows first, classes last, folded into y past 65,535.
// Workgroup memory: 64 (ROWS + COLUMNS) bytes. Not yet measured on a GPU.

override HAS_BIAS: bool;
override RESIDUAL: bool;
override RELU: bool;
override ROWS: u32;            // a multiple of 8
override COLUMNS: u32;         // a multiple of 8 that divides INVOCATIONS
override COLUMNS_A_LANE: u32;  // 4 or 8
override INVOCATIONS: u32 = ROWS / 8u * (COLUMNS / COLUMNS_A_LANE);

struct Table {
    batch: u32,
    height: u32,         // of x
    width: u32,
    x_sample: u32,       // elements of a sample of x
    out_channels: u32,
    out_plane: u32,      // elements of a plane of y
    out_width: u32,
    row_step: u32,       // elements of the weight from a row to the next
    pace_y: u32,         // rows of x from a pixel of a class to the one below
    pace_x: u32,
    step_y: u32,         // rows of y from a pixel of a class to the one below
    step_x: u32,
    classes: u32,
    column_blocks: u32,  // ceil(pixels of the largest class / COLUMNS)
    weight_by_fours: u32,     // not 0: a row of the weight holds its taps side by side, a multiple of 4; load them by fours
    x_by_fours: u32,     // not 0: elements of x lie at their pixel's own place and pixels by fours; load them by fours
    // For each class (first row, first column, rows, columns) of its pixels and (row, column) of x where its first pixel lies,
    // its first k, its slices; then for each k (elements, rows, columns) of x from where a pixel lies, place in a row of the
    // weight. Each class's k are filled up to whole slices with taps that lie outside of x.
    entries: array<vec4i>,
}

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Residual = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;                // [batch, channels, height, width]
@group(0) @binding(1) var<storage, read> x_quads: array<vec4<X>>;    // x again, by fours
@group(0) @binding(2) var<storage, read> weight: array<f32>;         // see Table
@group(0) @binding(3) var<storage, read> weight_quads: array<vec4f>;  // weight again, by fours
@group(0) @binding(4) var<storage, read> bias: array<f32>;           // [out_channels]; anything where HAS_BIAS is false
@group(0) @binding(5) var<storage, read> residual: array<Residual>;  // like y; anything where RESIDUAL is false
@group(0) @binding(6) var<storage, read> table: Table;
@group(0) @binding(7) var<storage, read_write> y: array<Y>;          // [batch, out_channels, out_height, out_width]

var<workgroup> left: array<vec4f, 4u * ROWS>;      // a slice of the weight: four k of a row an element
var<workgroup> right: array<vec4f, 4u * COLUMNS>;  // a slice of the patches: four k of a column an element

// A row or column of x that no tap brings inside.
const OUTSIDE = -0x40000000;

// An index of y that is not stored.
const NOWHERE = 0xffffffffu;

struct Class { first: vec2u, count: vec2u, shift: vec2i, first_k: u32, slices: u32 }

// Where a pixel of y lies in x.
struct Place { at: i32, row: i32, column: i32 }

// Four k of four columns, a vector a k.
struct Four { a: vec4f, b: vec4f, c: vec4f, d: vec4f }

// A vector a row.
alias Rows = array<vec4f, 8>;

fn class_of(number: u32) -> Class {
    let pixels = table.entries[2u * number];
    let taps = table.entries[2u * number + 1u];
    return Class(vec2u(pixels.yx), vec2u(pixels.wz), taps.yx, u32(taps.z), u32(taps.w));
}

// Sample, row and column of a class's pixel.
fn position_of(c: Class, pixel: u32) -> vec3u {
    let line = pixel / c.count.x;
    let sample = line / c.count.y;
    return vec3u(sample, line - sample * c.count.y, pixel - line * c.count.x);
}

fn place_of(c: Class, pixel: u32) -> Place {
    let position = position_of(c, pixel);
    if position.x >= table.batch {
        return Place(0, OUTSIDE, 0);
    }
    let row = i32(position.y * table.pace_y) + c.shift.y;
    let column = i32(position.z * table.pace_x) + c.shift.x;
    return Place(i32(position.x * table.x_sample) + row * i32(table.width) + column, row, column);
}

// Where the pixel is stored in the plane of output 0.
fn target_of(c: Class, pixel: u32) -> u32 {
    let position = position_of(c, pixel);
    let row = c.first.y + position.y * table.step_y;
    let column = c.first.x + position.z * table.step_x;
    let at = position.x * table.out_channels * table.out_plane + row * table.out_width + column;
    return select(NOWHERE, at, position.x < table.batch);
}

fn tap_at(place: Place, tap: vec4i) -> f32 {
    let inside = u32(place.row + tap.y) < table.height && u32(place.column + tap.z) < table.width;
    return select(0.0, f32(x[select(0, place.at + tap.x, inside)]), inside);
}

fn turned(q: Four) -> Four {
    return Four(
        vec4f(q.a.x, q.b.x, q.c.x, q.d.x), vec4f(q.a.y, q.b.y, q.c.y, q.d.y),
        vec4f(q.a.z, q.b.z, q.c.z, q.d.z), vec4f(q.a.w, q.b.w, q.c.w, q.d.w),
    );
}

// Where `left` holds four k of a row: spread so that the four of two rows lie in different banks of the memory.
fn left_at(quad: u32, row: u32) -> u32 {
    return quad * ROWS + (row ^ (2u * quad));
}

fn stage_weight(c: Class, slice: u32, first_row: u32, local: u32) {
    for (var item = local; item < 4u * ROWS; item += INVOCATIONS) {
        let quad = item % 4u;
        let row = item / 4u;
        let at = min(first_row + row, table.out_channels - 1u) * table.row_step;
        let tap = 16u * slice + 4u * quad;
        let k = c.first_k + tap;
        var value: vec4f;
        if table.weight_by_fours != 0u {
            value = select(vec4f(0.0), weight_quads[(at + min(tap, table.row_step - 4u)) / 4u], tap < table.row_step);
        } else {
            value = vec4f(
                weight[at + u32(table.entries[k].w)], weight[at + u32(table.entries[k + 1u].w)],
                weight[at + u32(table.entries[k + 2u].w)], weight[at + u32(table.entries[k + 3u].w)],
            );
        }
        left[left_at(quad, row)] = value;
    }
}

// `place` is that of column local % COLUMNS, or where x is loaded by fours of the first of columns 4 (local % (COLUMNS / 4)).
fn stage_patches(c: Class, slice: u32, place: Place, local: u32) {
    let first_k = c.first_k + 16u * slice;
    if table.x_by_fours != 0u {
        for (var item = local; item < COLUMNS; item += INVOCATIONS) {
            let quad = item / (COLUMNS / 4u);
            let column = item % (COLUMNS / 4u) * 4u;
            let k = first_k + 4u * quad;
            let columns = turned(Four(
                tap_quad_at(place, table.entries[k]), tap_quad_at(place, table.entries[k + 1u]),
                tap_quad_at(place, table.entries[k + 2u]), tap_quad_at(place, table.entries[k + 3u]),
            ));
            right[quad * COLUMNS + column] = columns.a;
            right[quad * COLUMNS + column + 1u] = columns.b;
            right[quad * COLUMNS + column + 2u] = columns.c;
            right[quad * COLUMNS + column + 3u] = columns.d;
        }
        return;
    }
    for (var item = local; item < 4u * COLUMNS; item += INVOCATIONS) {
        let k = first_k + item / COLUMNS * 4u;
        right[item] = vec4f(
            tap_at(place, table.entries[k]), tap_at(place, table.entries[k + 1u]),
            tap_at(place, table.entries[k + 2u]), tap_at(place, table.entries[k + 3u]),
        );
    }
}

fn tap_quad_at(place: Place, tap: vec4i) -> vec4f {
    let inside = u32(place.row + tap.y) < table.height;
    return select(vec4f(0.0), vec4f(x_quads[select(0, place.at + tap.x, inside) / 4]), inside);
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
        left[left_at(quad, row)], left[left_at(quad, row + step)],
        left[left_at(quad, row + step * 2u)], left[left_at(quad, row + step * 3u)],
        left[left_at(quad, row + step * 4u)], left[left_at(quad, row + step * 5u)],
        left[left_at(quad, row + step * 6u)], left[left_at(quad, row + step * 7u)],
    );
}

fn load_columns(quad: u32, column: u32) -> Four {
    let step = COLUMNS / COLUMNS_A_LANE;
    let at = quad * COLUMNS + column;
    return turned(Four(right[at], right[at + step], right[at + step * 2u], right[at + step * 3u]));
}

fn store(value: f32, output: u32, at: u32) {
    if at == NOWHERE {
        return;
    }
    let index = at + output * table.out_plane;
    var result = value;
    if RESIDUAL {
        result += f32(residual[index]);
    }
    if RELU {
        result = max(result, 0.0);
    }
    y[index] = Y(result);
}

fn store_row(value: vec4f, output: u32, at: vec4u) {
    if output >= table.out_channels {
        return;
    }
    var result = value;
    if HAS_BIAS {
        result += bias[output];
    }
    store(result.x, output, at.x);
    store(result.y, output, at.y);
    store(result.z, output, at.z);
    store(result.w, output, at.w);
}

// Four columns from `pixel` on.
fn store_rows(s: Rows, c: Class, output: u32, pixel: u32) {
    let step = COLUMNS / COLUMNS_A_LANE;
    let at = vec4u(
        target_of(c, pixel), target_of(c, pixel + step), target_of(c, pixel + step * 2u), target_of(c, pixel + step * 3u),
    );
    let row_step = ROWS / 8u;
    store_row(s[0], output, at);
    store_row(s[1], output + row_step, at);
    store_row(s[2], output + row_step * 2u, at);
    store_row(s[3], output + row_step * 3u, at);
    store_row(s[4], output + row_step * 4u, at);
    store_row(s[5], output + row_step * 5u, at);
    store_row(s[6], output + row_step * 6u, at);
    store_row(s[7], output + row_step * 7u, at);
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let index = workgroup.y * workgroups.x + workgroup.x;
    let row_blocks = (table.out_channels + ROWS - 1u) / ROWS;
    let block = index / row_blocks;
    if block >= table.classes * table.column_blocks {
        return;
    }
    let class_ = class_of(block / table.column_blocks);
    let first_row = index % row_blocks * ROWS;
    let first_pixel = block % table.column_blocks * COLUMNS;

    let staged = select(local % COLUMNS, local % (COLUMNS / 4u) * 4u, table.x_by_fours != 0u);
    let place = place_of(class_, first_pixel + staged);
    let column_lanes = COLUMNS / COLUMNS_A_LANE;
    let row = local / column_lanes;
    let column = local % column_lanes;
    let zero = vec4f(0.0);
    let none = Rows(zero, zero, zero, zero, zero, zero, zero, zero);
    var near = none;
    var far = none;
    for (var slice = 0u; slice < class_.slices; slice++) {
        stage_weight(class_, slice, first_row, local);
        stage_patches(class_, slice, place, local);
        workgroupBarrier();
        var slice_near = none;
        var slice_far = none;
        for (var quad = 0u; quad < 4u; quad++) {
            let rows = load_rows(quad, row);
            slice_near = add(slice_near, load_columns(quad, column), rows);
            if COLUMNS_A_LANE > 4u {
                slice_far = add(slice_far, load_columns(quad, column + column_lanes * 4u), rows);
            }
        }
        near = join(near, slice_near);
        if COLUMNS_A_LANE > 4u {
            far = join(far, slice_far);
        }
        workgroupBarrier();
    }

    store_rows(near, class_, first_row + row, first_pixel + column);
    if COLUMNS_A_LANE > 4u {
        store_rows(far, class_, first_row + row, first_pixel + column + column_lanes * 4u);
    }
}
