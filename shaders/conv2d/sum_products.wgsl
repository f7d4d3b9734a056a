// y[i] = [relu] (bias[o] + sum over k of splits[k, i] [+ residual[i]]),  o the channel of element i
//
// Computes: one element per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements.
// Why: the second stage of gemm.wgsl where so few tiles cover y that its sums are split; in ascending order, so that a
//   run repeats to the bit.
// Measured: not measured.

override HAS_BIAS: bool;
override RESIDUAL: bool;
override RELU: bool;
override SPLITS: u32;
override ELEMENTS: u32;
override OUT_CHANNELS: u32;
override OUT_PLANE: u32;  // elements of a plane of y

// Elements as they are stored; f16 in half precision.
alias Residual = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> splits: array<f32>;         // [SPLITS, ELEMENTS]
@group(0) @binding(1) var<storage, read> bias: array<f32>;           // [OUT_CHANNELS]; anything where HAS_BIAS is false
@group(0) @binding(2) var<storage, read> residual: array<Residual>;  // [ELEMENTS]; anything where RESIDUAL is false
@group(0) @binding(3) var<storage, read_write> y: array<Y>;          // [ELEMENTS]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= ELEMENTS {
        return;
    }
    var result = 0.0;
    for (var split = 0u; split < SPLITS; split++) {
        result += splits[split * ELEMENTS + index];
    }
    if HAS_BIAS {
        result += bias[index / OUT_PLANE % OUT_CHANNELS];
    }
    if RESIDUAL {
        result += f32(residual[index]);
    }
    if RELU {
        result = max(result, 0.0);
    }
    y[index] = Y(result);
}
