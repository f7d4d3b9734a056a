// y[i] = hyper[i] for i < 7,  y[7] = hyper[7] / scale; with overflow, numbers with which AdamW changes nothing
//
// Computes: one number per invocation; adamw/update.wgsl names them.
// Grid: one workgroup of 8.
// Memory: state is [scale, steps since it changed, skipped steps].
// Why: a step that overflowed is skipped on the device, without asking the host.
// Measured: not measured.

@group(0) @binding(0) var<storage, read> hyper: array<f32>;     // [8]
@group(0) @binding(1) var<storage, read> state: array<f32>;     // [3] scale, steps since it changed, skipped steps
@group(0) @binding(2) var<storage, read> overflow: array<f32>;  // [1]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // [8]

@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lane: u32) {
    let nothing = array(1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0);
    let number = select(hyper[lane], hyper[7] / state[0], lane == 7u);
    y[lane] = select(number, nothing[lane], overflow[0] != 0.0);
}
