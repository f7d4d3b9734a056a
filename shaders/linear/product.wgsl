// y[m, n] = bias[n] + sum over k < DEPTH of a[m, k] b[k, n]      the bias only where BIAS is 1
//
// a and b are read with strides, so that one kernel serves the layer and two of its gradients, x being [N, I] and w [O, I]:
//   forward          y[n, o]  = bias[o] + sum over i of x[n, i] w[o, i]
//   backward_input   dx[n, i] = sum over o of dy[n, o] w[o, i]
//   backward_weight  dw[o, i] = sum over n of dy[n, o] x[n, i]
//
// Computes: one element per invocation; products are added in ascending k.
// Grid: ceil(ROWS COLUMNS / 64) workgroups of 64, folded into y past 65,535.
// Memory: 2 DEPTH loads per invocation; neighbouring lanes share a row of a.
// Why: the plain kernel.
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

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= ROWS * COLUMNS {
        return;
    }
    let row = index / COLUMNS;
    let column = index % COLUMNS;
    var sum = 0.0;
    for (var k = 0u; k < DEPTH; k++) {
        sum += f32(a[row * A_ROW + k * A_DEPTH]) * f32(b[k * B_DEPTH + column * B_COLUMN]);
    }
    if BIAS == 1u {
        sum += f32(bias[column]);
    }
    y[index] = Y(sum);
}
