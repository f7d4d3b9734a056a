// splits[p, o, k] = sum over the pixels (n, i, j) of split p of dy[n, o, i, j] * patches[k, (n, i, j)]
//
// The same product of matrices as gemm_weight.wgsl, from the same table, by cooperative matrices of SIZE x SIZE.
//
// Computes: 4 SIZE rows x 8 SIZE columns of one split per workgroup, which is four subgroups; 2 x 4 matrices per
//   subgroup, as gemm_cooperative.wgsl draws.
// Grid: splits * ceil(columns / (8 SIZE)) * ceil(out_channels / (4 SIZE)) workgroups of 4 SUBGROUP, rows first, splits
//   last, folded into y past 65,535.
// Memory: slices of 16 pixels as f16 in workgroup memory, multiplied into f32 sums; pixels of a row or column lie side
//   by side, rows and columns STRIDE elements apart, which spreads them over the banks as gemm_cooperative.wgsl says.
//   The sums reach splits by way of workgroup memory, a matrix of each subgroup at a time.
// Why: for GPUs with such matrices, where dy and x are stored as f16 anyway and lose nothing. SIZE and the three types
//   are what the adapter offers, 8 or 16; types cannot be `override` constants, so that this file says 8 and is changed
//   for 16.
// Measured: not measured; it has run on lavapipe of Mesa 26.1 (8x8) and on no GPU.

enable f16;
enable wgpu_cooperative_matrix;

override SUBGROUP: u32;  // lanes of every subgroup
override INVOCATIONS: u32 = 4u * SUBGROUP;

const SIZE = 8u;
const ROWS = 4u * SIZE;
const COLUMNS = 8u * SIZE;

alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sums = coop_mat8x8<f32, C>;

struct GemmWeightTable {
    batch: u32,
    channels: u32,
    height: u32,        // of x
    width: u32,
    out_channels: u32,
    out_height: u32,
    out_width: u32,
    kernel_height: u32,
    kernel_width: u32,
    stride_y: u32,
    stride_x: u32,
    padding_y: u32,
    padding_x: u32,
    splits: u32,
    split_slices: u32,  // slices of 16 pixels of a split
}

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias X = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;             // [batch, out_channels, out_height, out_width]
@group(0) @binding(1) var<storage, read> x: array<X>;               // [batch, channels, height, width]
@group(0) @binding(2) var<storage, read> table: GemmWeightTable;
@group(0) @binding(3) var<storage, read_write> splits: array<f32>;  // [splits, out_channels, columns]

// Elements from a row or column of a slice to the next: 16 pixels, and a gap that spreads them over the banks of the memory.
const STRIDE = 24u;

var<workgroup> left: array<f16, ROWS * STRIDE>;      // a slice of dy, pixels of a row side by side
var<workgroup> right: array<f16, COLUMNS * STRIDE>;  // a slice of the patches, pixels of a column side by side
var<workgroup> shifts: array<Shift, COLUMNS>;        // of the columns
var<workgroup> sums: array<f32, 4u * SIZE * SIZE>;   // a matrix of each subgroup

// A row of x that no tap brings inside.
const OUTSIDE = -0x40000000;

// Where a tap of a channel lies from where a pixel lies.
struct Shift { at: i32, row: i32, column: i32 }

// A pixel: where it lies in channel 0 of dy and x, and whether there is one.
struct Pixel { exists: bool, dy_at: u32, x_at: i32, row: i32, column: i32 }

fn pixel_of(number: u32) -> Pixel {
    let plane = table.out_height * table.out_width;
    let exists = number < table.batch * plane;
    let there = select(0u, number, exists);
    let sample = there / plane;
    let rest = there - sample * plane;
    let i = rest / table.out_width;
    let j = rest - i * table.out_width;
    let row = i32(i * table.stride_y) - i32(table.padding_y);
    let column = i32(j * table.stride_x) - i32(table.padding_x);
    let x_at = i32(sample * table.channels * table.height * table.width) + row * i32(table.width) + column;
    return Pixel(exists, sample * table.out_channels * plane + rest, x_at, row, column);
}

fn shift_of(k: u32) -> Shift {
    let taps = table.kernel_height * table.kernel_width;
    let channel = k / taps;
    let u = k % taps / table.kernel_width;
    let v = k % table.kernel_width;
    let at = (channel * table.height + u) * table.width + v;
    if channel >= table.channels {
        return Shift(0, OUTSIDE, 0);
    }
    return Shift(i32(at), i32(u), i32(v));
}

fn tap_at(p: Pixel, s: Shift) -> f16 {
    let inside = p.exists && u32(p.row + s.row) < table.height && u32(p.column + s.column) < table.width;
    return select(0.0h, f16(x[select(0, p.x_at + s.at, inside)]), inside);
}

// 16 pixels of all rows and columns; neighbouring lanes load neighbouring pixels.
fn stage(first_pixel: u32, first_row: u32, local: u32) {
    let plane = table.out_height * table.out_width;
    for (var item = local; item < 16u * ROWS; item += INVOCATIONS) {
        let p = pixel_of(first_pixel + item % 16u);
        let row = min(first_row + item / 16u, table.out_channels - 1u);
        left[item / 16u * STRIDE + item % 16u] = select(0.0h, f16(dy[p.dy_at + row * plane]), p.exists);
    }
    for (var item = local; item < 16u * COLUMNS; item += INVOCATIONS) {
        let p = pixel_of(first_pixel + item % 16u);
        right[item / 16u * STRIDE + item % 16u] = tap_at(p, shifts[item / 16u]);
    }
}

// Stores, of each subgroup, the matrix that `sums` holds: that of so many matrices down and to the right of its first.
fn store_matrices(split: u32, first_row: u32, first_column: u32, down: u32, right: u32, local: u32) {
    workgroupBarrier();
    for (var item = local; item < 4u * SIZE * SIZE; item += INVOCATIONS) {
        let subgroup = item / (SIZE * SIZE);
        let output = first_row + (subgroup / 2u * 2u + down) * SIZE + item / SIZE % SIZE;
        let column = first_column + (subgroup % 2u * 4u + right) * SIZE + item % SIZE;
        let columns = table.channels * table.kernel_height * table.kernel_width;
        if output < table.out_channels && column < columns {
            splits[(split * table.out_channels + output) * columns + column] = sums[item];
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
    let taps = table.channels * table.kernel_height * table.kernel_width;
    let column_blocks = (taps + COLUMNS - 1u) / COLUMNS;
    let split = index / (row_blocks * column_blocks);
    if split >= table.splits {
        return;
    }
    let first_row = index % row_blocks * ROWS;
    let first_column = index / row_blocks % column_blocks * COLUMNS;
    let slices = (table.batch * table.out_height * table.out_width + 15u) / 16u;

    for (var item = local; item < COLUMNS; item += INVOCATIONS) {
        shifts[item] = shift_of(first_column + item);
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
    for (var slice = split * table.split_slices; slice < min((split + 1u) * table.split_slices, slices); slice++) {
        workgroupBarrier();
        stage(16u * slice, first_row, local);
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
    store_matrices(split, first_row, first_column, 0u, 0u, local);
    coopStoreT(s01, &sums[own], SIZE);
    store_matrices(split, first_row, first_column, 0u, 1u, local);
    coopStoreT(s02, &sums[own], SIZE);
    store_matrices(split, first_row, first_column, 0u, 2u, local);
    coopStoreT(s03, &sums[own], SIZE);
    store_matrices(split, first_row, first_column, 0u, 3u, local);
    coopStoreT(s10, &sums[own], SIZE);
    store_matrices(split, first_row, first_column, 1u, 0u, local);
    coopStoreT(s11, &sums[own], SIZE);
    store_matrices(split, first_row, first_column, 1u, 1u, local);
    coopStoreT(s12, &sums[own], SIZE);
    store_matrices(split, first_row, first_column, 1u, 2u, local);
    coopStoreT(s13, &sums[own], SIZE);
    store_matrices(split, first_row, first_column, 1u, 3u, local);
}
