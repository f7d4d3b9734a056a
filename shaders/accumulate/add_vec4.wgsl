// sum = x where keep = 0, sum + x otherwise      in place
//
// Computes: four neighbouring elements per invocation.
// Grid: ceil(elements / 256) workgroups of 64, folded into y past 65,535.
// Memory: tensors are read and written as vec4. The number of elements, a multiple of 4, is 4 times the bound length.
// Why: a quarter of the loads and stores of add.wgsl, each of four elements.
// Measured: not measured.

@group(0) @binding(0) var<storage, read_write> sum: array<vec4f>;  // [elements / 4]
@group(0) @binding(1) var<storage, read> x: array<vec4f>;          // [elements / 4]
@group(0) @binding(2) var<storage, read> keep: array<f32>;         // [1]

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
    sum[index] = select(sum[index] + x[index], x[index], keep[0] == 0.0);
}
