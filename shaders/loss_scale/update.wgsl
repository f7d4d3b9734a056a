// overflow:  scale = max(scale / 2, 1),  steps = 0,  skipped = skipped + 1
// otherwise: steps = steps + 1; at INTERVAL of them scale = min(2 scale, LARGEST) and steps = 0
//
// Computes: the three numbers of state, in place.
// Grid: one workgroup of 1.
// Memory: state is [scale, steps since it changed, skipped steps].
// Why: dynamic loss scaling on the device, without asking the host.
// Measured: not measured.

override INTERVAL: f32;
override LARGEST: f32;

@group(0) @binding(0) var<storage, read_write> state: array<f32>;  // [3] scale, steps since it changed, skipped steps
@group(0) @binding(1) var<storage, read> overflow: array<f32>;     // [1]

@compute @workgroup_size(1)
fn main() {
    let overflows = overflow[0] != 0.0;
    let steps = state[1] + 1.0;
    let grows = !overflows && steps >= INTERVAL;
    if overflows {
        state[0] = max(state[0] * 0.5, 1.0);
        state[2] += 1.0;
    }
    if grows {
        state[0] = min(state[0] * 2.0, LARGEST);
    }
    state[1] = select(steps, 0.0, overflows || grows);
}
