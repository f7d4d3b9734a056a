// y[n, o, i, j] = [relu] (bias[o] + sum over k of weight[o, k] * patches[k, (n, i, j)] [+ residual[n, o, i, j]])
//
// The same product of matrices as gemm.wgsl, from the same table, by cooperative matrices of SIZE x SIZE.
//
// Computes: 4 SIZE rows x 8 SIZE columns per workgroup, which is four subgroups; 2 x 4 matrices per subgroup:
//
//     columns / SIZE    0  1  2  3    4  5  6  7
//     rows / SIZE 0, 1  subgroup 0    subgroup 1
//     rows / SIZE 2, 3  subgroup 2    subgroup 3
//
// Grid: class_count * column_blocks * ceil(out_channels / (4 SIZE)) workgroups of 4 SUBGROUP, rows first, classes last,
//   folded into y past 65,535.
// Memory: slices of 16 channels of a tap, rounded to f16 in workgroup memory, multiplied into f32 sums. The channels of
//   a row lie side by side, and rows STRIDE = 24 elements apart, 12 banks of 4 bytes: the eight rows of a matrix of 8x8,
//   4 banks each, begin at banks 0 12 24 4 16 28 8 20 and touch each of 32 banks once. The sums reach y by way of
//   workgroup memory, a matrix of each subgroup at a time.
// Why: for GPUs with such matrices ("tensor cores"), where x is stored as f16 anyway. SIZE and the three types are what
//   the adapter offers, 8 or 16; types cannot be `override` constants, so that this file says 8 and is changed for 16.
// Measured: not measured; it has run on lavapipe of Mesa 26.1 (8x8) and on no GPU.

enable f16;
enable wgpu_cooperative_matrix;

override HAS_BIAS: bool;
override RESIDUAL: bool;
override RELU: bool;
override SUBGROUP: u32;  // lanes of every subgroup
override INVOCATIONS: u32 = 4u * SUBGROUP;

const DEPTH = 16u;
const SIZE = 8u;
const ROWS = 4u * SIZE;
const COLUMNS = 8u * SIZE;

alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sums = coop_mat8x8<f32, C>;

// Pixels of y that meet the same taps: every output_stride-th row and column from the first on.
struct PixelClass {
    first_row: u32,   // of y
    first_column: u32,
    rows: u32,        // of such pixels
    columns: u32,
    origin_row: i32,  // of x, where the first pixel lies
    origin_column: i32,
    tap_rows: u32,    // of the taps that they meet
    tap_columns: u32,
    first_tap: u32,   // place of the first one in a plane of the weight
}

struct GemmTable {
    batch: u32,
    channels: u32,           // of x
    height: u32,
    width: u32,
    out_channels: u32,
    out_plane: u32,          // elements of a plane of y
    out_width: u32,
    row_stride: u32,         // elements of the weight from an output to the next
    channel_stride: u32,     // from a channel to the next
    tap_row_stride: u32,     // from a tap to the one below
    tap_column_stride: u32,
    direction: i32,          // rows of x from a tap to the one below: 1, for the gradient -1
    stride_y: u32,           // rows of x from a pixel of a class to the one below
    stride_x: u32,
    output_stride_y: u32,    // rows of y from a pixel of a class to the one below
    output_stride_x: u32,
    class_count: u32,
    column_blocks: u32,      // ceil(pixels of the largest class / COLUMNS)
    splits: u32,             // of the slices; with several y is [splits, ...], and sum_products.wgsl does what follows
    classes: array<PixelClass>,
}

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Residual = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;                // [batch, channels, height, width]
@group(0) @binding(1) var<storage, read> weight: array<f32>;         // see GemmTable
@group(0) @binding(2) var<storage, read> bias: array<f32>;           // [out_channels]; anything where HAS_BIAS is false
@group(0) @binding(3) var<storage, read> residual: array<Residual>;  // like y; anything where RESIDUAL is false
@group(0) @binding(4) var<storage, read> table: GemmTable;
@group(0) @binding(5) var<storage, read_write> y: array<Y>;          // [batch, out_channels, out_height, out_width]

// Elements from a row or column of a slice to the next: 16 k, and a gap that spreads them over the banks of the memory.
const STRIDE = 24u;

var<workgroup> left: array<f16, ROWS * STRIDE>;      // a slice of the weight, k of a row side by side
var<workgroup> right: array<f16, COLUMNS * STRIDE>;  // a slice of the patches, k of a column side by side
var<workgroup> places: array<Place, COLUMNS>;
var<workgroup> sums: array<f32, 4u * SIZE * SIZE>;   // a matrix of each subgroup

// A row or column of x that no tap brings inside.
const OUTSIDE = -0x40000000;

// An index of y that is not stored.
const NOWHERE = 0xffffffffu;

// Where a pixel of y lies in x.
struct Place { at: i32, row: i32, column: i32 }

// A slice: its first channel and its tap.
struct Slice { channel: u32, row: u32, column: u32 }

// Sample, row and column of a class's pixel.
fn position_of(c: PixelClass, pixel: u32) -> vec3u {
    let line = pixel / c.columns;
    let sample = line / c.rows;
    return vec3u(sample, line - sample * c.rows, pixel - line * c.columns);
}

fn place_of(c: PixelClass, pixel: u32) -> Place {
    let position = position_of(c, pixel);
    if position.x >= table.batch {
        return Place(0, OUTSIDE, 0);
    }
    let row = i32(position.y * table.stride_y) + c.origin_row;
    let column = i32(position.z * table.stride_x) + c.origin_column;
    let sample = i32(position.x * table.channels * table.height * table.width);
    return Place(sample + row * i32(table.width) + column, row, column);
}

// Where the pixel is stored in the plane of output 0.
fn target_of(c: PixelClass, pixel: u32) -> u32 {
    let position = position_of(c, pixel);
    let row = c.first_row + position.y * table.output_stride_y;
    let column = c.first_column + position.z * table.output_stride_x;
    let at = position.x * table.out_channels * table.out_plane + row * table.out_width + column;
    return select(NOWHERE, at, position.x < table.batch);
}

fn slice_at(c: PixelClass, number: u32) -> Slice {
    let taps = c.tap_rows * c.tap_columns;
    let tap = number % taps;
    return Slice(number / taps * DEPTH, tap / c.tap_columns, tap % c.tap_columns);
}

// Where a slice's tap brings a pixel in x, plane 0 of its sample, or -1 outside.
fn reach(place: Place, s: Slice) -> i32 {
    let row = i32(s.row) * table.direction;
    let column = i32(s.column) * table.direction;
    let inside = (u32(place.row + row) < table.height) & (u32(place.column + column) < table.width);
    return select(-1, place.at + row * i32(table.width) + column, inside);
}

// A slice of all rows and columns.
fn stage(c: PixelClass, s: Slice, first_row: u32, local: u32) {
    let tap = c.first_tap + s.row * table.tap_row_stride + s.column * table.tap_column_stride;
    for (var item = local; item < 16u * ROWS; item += INVOCATIONS) {
        let row = min(first_row + item / 16u, table.out_channels - 1u);
        // What lies past the last channel meets zeros of the patches.
        let channel = min(s.channel + item % 16u, table.channels - 1u);
        left[item / 16u * STRIDE + item % 16u] = f16(weight[row * table.row_stride + channel * table.channel_stride + tap]);
    }
    for (var item = local; item < 16u * COLUMNS; item += INVOCATIONS) {
        let column = item % COLUMNS;
        let channel = s.channel + item / COLUMNS;
        let at = reach(places[column], s);
        let inside = at >= 0 && channel < table.channels;
        let value = f16(x[select(0u, u32(at) + channel * table.height * table.width, inside)]);
        right[column * STRIDE + item / COLUMNS] = select(0.0h, value, inside);
    }
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

// Stores, of each subgroup, the matrix that `sums` holds: that of so many matrices down and to the right of its first.
fn store_matrices(c: PixelClass, first_row: u32, first_pixel: u32, down: u32, right: u32, local: u32) {
    workgroupBarrier();
    for (var item = local; item < 4u * SIZE * SIZE; item += INVOCATIONS) {
        let subgroup = item / (SIZE * SIZE);
        let output = first_row + (subgroup / 2u * 2u + down) * SIZE + item / SIZE % SIZE;
        let pixel = first_pixel + (subgroup % 2u * 4u + right) * SIZE + item % SIZE;
        if output < table.out_channels {
            store(sums[item] + select(0.0, bias[select(0u, output, HAS_BIAS)], HAS_BIAS), output, target_of(c, pixel));
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let index = workgroup.y * workgroups.x + workgroup.x;
    let row_blocks = (table.out_channels + ROWS - 1u) / ROWS;
    let block = index / row_blocks;
    if block >= table.class_count * table.column_blocks {
        return;
    }
    let class_ = table.classes[block / table.column_blocks];
    let first_row = index % row_blocks * ROWS;
    let first_pixel = block % table.column_blocks * COLUMNS;

    for (var column = local; column < COLUMNS; column += INVOCATIONS) {
        places[column] = place_of(class_, first_pixel + column);
    }
    let rows = subgroup / 2u * 2u * SIZE * STRIDE;
    let columns = subgroup % 2u * 4u * SIZE * STRIDE;
    var s00 = Sums();
    var s01 = Sums();
    var s02 = Sums();
    var s03 = Sums();
    var s10 = Sums();
    var s11 = Sums();
    var s12 = Sums();
    var s13 = Sums();
    let slices = (table.channels + DEPTH - 1u) / DEPTH * class_.tap_rows * class_.tap_columns;
    for (var number = 0u; number < slices; number++) {
        workgroupBarrier();
        stage(class_, slice_at(class_, number), first_row, local);
        workgroupBarrier();
        for (var k = 0u; k < 16u; k += SIZE) {
            let a0 = coopLoadT<Left>(&left[rows + k], STRIDE);
            let a1 = coopLoadT<Left>(&left[rows + SIZE * STRIDE + k], STRIDE);
            let b0 = coopLoad<Right>(&right[columns + k], STRIDE);
            let b1 = coopLoad<Right>(&right[columns + SIZE * STRIDE + k], STRIDE);
            let b2 = coopLoad<Right>(&right[columns + SIZE * STRIDE * 2u + k], STRIDE);
            let b3 = coopLoad<Right>(&right[columns + SIZE * STRIDE * 3u + k], STRIDE);
            s00 = coopMultiplyAdd(a0, b0, s00);
            s01 = coopMultiplyAdd(a0, b1, s01);
            s02 = coopMultiplyAdd(a0, b2, s02);
            s03 = coopMultiplyAdd(a0, b3, s03);
            s10 = coopMultiplyAdd(a1, b0, s10);
            s11 = coopMultiplyAdd(a1, b1, s11);
            s12 = coopMultiplyAdd(a1, b2, s12);
            s13 = coopMultiplyAdd(a1, b3, s13);
        }
    }

    let own = subgroup * SIZE * SIZE;
    coopStoreT(s00, &sums[own], SIZE);
    store_matrices(class_, first_row, first_pixel, 0u, 0u, local);
    coopStoreT(s01, &sums[own], SIZE);
    store_matrices(class_, first_row, first_pixel, 0u, 1u, local);
    coopStoreT(s02, &sums[own], SIZE);
    store_matrices(class_, first_row, first_pixel, 0u, 2u, local);
    coopStoreT(s03, &sums[own], SIZE);
    store_matrices(class_, first_row, first_pixel, 0u, 3u, local);
    coopStoreT(s10, &sums[own], SIZE);
    store_matrices(class_, first_row, first_pixel, 1u, 0u, local);
    coopStoreT(s11, &sums[own], SIZE);
    store_matrices(class_, first_row, first_pixel, 1u, 1u, local);
    coopStoreT(s12, &sums[own], SIZE);
    store_matrices(class_, first_row, first_pixel, 1u, 2u, local);
    coopStoreT(s13, &sums[own], SIZE);
    store_matrices(class_, first_row, first_pixel, 1u, 3u, local);
}
