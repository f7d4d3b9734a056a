// y[m, n] = bias[n] + sum over k < DEPTH of a[m, k] b[k, n]      the bias only where BIAS is 1
//
// a and b are read with strides; see product.wgsl.
//
// Computes: a workgroup a tile of 32 x 32 elements of y, an invocation 4 x 4 of them; products are added in ascending k.
// Grid: ceil(ROWS / 32) ceil(COLUMNS / 32) workgroups of 64, folded into y past 65,535.
// Memory: for every 8 values of k, 32 x 8 elements of a and 8 x 32 of b are brought into workgroup memory, neighbouring
//   lanes reading neighbouring elements where the strides have any. What is out of range is read as 0.
// Why: each element that is loaded serves 32 products instead of one, and each value in a register four.
// Measured: not measured.

override ROWS: u32;
override COLUMNS: u32;
override DEPTH: u32;
override A_ROW: u32;     // elements from a[m, k] to a[m + 1, k]
override A_DEPTH: u32;   // ... to a[m, k + 1]
override B_DEPTH: u32;   // elements from b[k, n] to b[k + 1, n]
override B_COLUMN: u32;  // ... to b[k, n + 1]
override BIAS: u32;

// Elements as they are stored; f16 in half precision.
alias A = f32;
alias B = f32;
alias Bias = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> a: array<A>;        // [ROWS, DEPTH] by strides
@group(0) @binding(1) var<storage, read> b: array<B>;        // [DEPTH, COLUMNS] by strides
@group(0) @binding(2) var<storage, read> bias: array<Bias>;  // [COLUMNS]; any tensor where BIAS is 0
@group(0) @binding(3) var<storage, read_write> y: array<Y>;  // [ROWS, COLUMNS]

const TILE = 32u;   // rows and columns of a workgroup
const STEP = 8u;    // values of k at a time
const SPAN = 8u;    // an invocation's rows and columns are so far apart
const SHARE = 4u;   // rows and columns of an invocation; elements of a tile that it loads

var<workgroup> a_tile: array<f32, 256>;  // [STEP, TILE]
var<workgroup> b_tile: array<f32, 256>;  // [STEP, TILE]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = workgroup.y * workgroups.x + workgroup.x;
    let tiles = (COLUMNS + TILE - 1u) / TILE;
    let first_row = tile / tiles * TILE;
    let first_column = tile % tiles * TILE;
    let own_row = lane / SPAN;
    let own_column = lane % SPAN;

    var sums: array<vec4f, 4>;
    for (var start = 0u; start < DEPTH; start += STEP) {
        for (var share = 0u; share < SHARE; share++) {
            let number = share * 64u + lane;
            // The index along which the tensor is dense runs fastest.
            let across_a = select(number % TILE, number / STEP, A_DEPTH == 1u);
            let k_a = select(number / TILE, number % STEP, A_DEPTH == 1u);
            let row = first_row + across_a;
            let in_a = row < ROWS && start + k_a < DEPTH;
            let at_a = select(0u, row * A_ROW + (start + k_a) * A_DEPTH, in_a);
            a_tile[k_a * TILE + across_a] = select(0.0, f32(a[at_a]), in_a);
            let across_b = select(number % TILE, number / STEP, B_DEPTH == 1u);
            let k_b = select(number / TILE, number % STEP, B_DEPTH == 1u);
            let column = first_column + across_b;
            let in_b = column < COLUMNS && start + k_b < DEPTH;
            let at_b = select(0u, (start + k_b) * B_DEPTH + column * B_COLUMN, in_b);
            b_tile[k_b * TILE + across_b] = select(0.0, f32(b[at_b]), in_b);
        }
        workgroupBarrier();
        for (var k = 0u; k < STEP; k++) {
            let at = k * TILE;
            let columns = vec4f(
                b_tile[at + own_column],
                b_tile[at + own_column + SPAN],
                b_tile[at + own_column + 2u * SPAN],
                b_tile[at + own_column + 3u * SPAN],
            );
            sums[0] += a_tile[at + own_row] * columns;
            sums[1] += a_tile[at + own_row + SPAN] * columns;
            sums[2] += a_tile[at + own_row + 2u * SPAN] * columns;
            sums[3] += a_tile[at + own_row + 3u * SPAN] * columns;
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < SHARE; i++) {
        for (var j = 0u; j < SHARE; j++) {
            let row = first_row + own_row + i * SPAN;
            let column = first_column + own_column + j * SPAN;
            if row < ROWS && column < COLUMNS {
                var sum = sums[i][j];
                if BIAS == 1u {
                    sum += f32(bias[column]);
                }
                y[row * COLUMNS + column] = Y(sum);
            }
        }
    }
}
