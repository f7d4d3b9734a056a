// y[n, TO_START + e] = x[n, FROM_START + e]      0 <= e < RUN
//
// n counts samples. The channels of a sample lie one behind the other, so that those copied are RUN elements in a row of both
// tensors, whatever extents follow.
//
// Computes: one element per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements.
// Why: the plain kernel: one dispatch an input of a concatenation, or an output of a split. What other dispatches have written
//   of the same tensor stays.
// Measured: see copy_vec4.wgsl.

override ELEMENTS: u32;     // copied, of all samples
override RUN: u32;          // of a sample
override FROM_SAMPLE: u32;  // elements of a sample of x
override FROM_START: u32;
override TO_SAMPLE: u32;    // elements of a sample of y
override TO_START: u32;

// Elements as they are stored; f16 in half precision.
alias X = f32;
alias Y = f32;

@group(0) @binding(0) var<storage, read> x: array<X>;        // [N, FROM_SAMPLE]
@group(0) @binding(1) var<storage, read_write> y: array<Y>;  // [N, TO_SAMPLE]

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
    let n = index / RUN;
    let e = index % RUN;
    y[n * TO_SAMPLE + TO_START + e] = Y(f32(x[n * FROM_SAMPLE + FROM_START + e]));
}
