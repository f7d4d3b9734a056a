// sum = x where keep = 0, sum + x otherwise      in place
//
// Computes: one element per invocation.
// Grid: ceil(elements / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements. The number of elements is the bound length.
// Why: the plain kernel. The first of several summands replaces what the sum was, so that nobody has to clear it.
// Measured: not measured.

@group(0) @binding(0) var<storage, read_write> sum: array<f32>;  // [elements]
@group(0) @binding(1) var<storage, read> x: array<f32>;          // [elements]
@group(0) @binding(2) var<storage, read> keep: array<f32>;        // [1]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= arrayLength(&sum) {
        return;
    }
    // A product would keep what is not finite.
    sum[index] = select(sum[index] + x[index], x[index], keep[0] == 0.0);
}
