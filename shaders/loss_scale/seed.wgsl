// y = share * scale
//
// Computes: the one number.
// Grid: one workgroup of 1.
// Memory: state is [scale, steps since it changed, skipped steps].
// Why: what the backward pass starts from: the loss's share in the total, times the loss scale.
// Measured: not measured.

@group(0) @binding(0) var<storage, read> share: array<f32>;  // [1]
@group(0) @binding(1) var<storage, read> state: array<f32>;  // [3] scale, steps since it changed, skipped steps
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [1]

@compute @workgroup_size(1)
fn main() {
    y[0] = share[0] * state[0];
}
