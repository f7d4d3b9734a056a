// y = x
//
// Computes: four neighbouring elements per invocation.
// Grid: ceil(ELEMENTS / 256) workgroups of 64, folded into y past 65,535.
// Memory: one vec4 load and one vec4 store per invocation.
// Why: a roofline probe: what the adapter's memory can carry at most.
// Measured: this is what measures; `ditn bench` prints it.

override ELEMENTS: u32;  // a multiple of 4

@group(0) @binding(0) var<storage, read> x: array<vec4f>;        // [ELEMENTS / 4]
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;  // [ELEMENTS / 4]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index < ELEMENTS / 4u {
        y[index] = x[index];
    }
}
