// y[w] = 1 if block w of a, b, c or d has an element that is infinite or no number (with FLAGS: not 0), else 0
//
// Block w of a tensor is its elements 4096 w to 4096 w + 4095.
//
// Computes: one block per workgroup, every 64th element per lane.
// Grid: as many workgroups of 64 as the largest tensor has blocks, folded into y past 65,535.
// Memory: neighbouring lanes read neighbouring elements. Workgroup memory: one flag. The numbers of elements are the
//   bound lengths; tensors may be the same.
// Why: four tensors per dispatch, because a network has many; no `override` constants of shapes, so that all share one
//   pipeline. Tests of bits, because compilers may assume that numbers are finite.
// Measured: not measured.

override FLAGS: bool;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> c: array<f32>;
@group(0) @binding(3) var<storage, read> d: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // [splits of the largest]

const SPLIT_SIZE = 4096u;

var<workgroup> found: atomic<u32>;

// In bits, because compilers may assume that numbers are finite.
fn is_wanted(value: f32) -> bool {
    let bits = bitcast<u32>(value);
    return select((bits & 0x7f800000u) == 0x7f800000u, (bits & 0x7fffffffu) != 0u, FLAGS);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let split = workgroup.y * workgroups.x + workgroup.x;
    if lane == 0u {
        atomicStore(&found, 0u);
    }
    workgroupBarrier();
    let end = (split + 1u) * SPLIT_SIZE;
    var wanted = false;
    for (var index = split * SPLIT_SIZE + lane; index < min(end, arrayLength(&a)); index += 64u) {
        wanted |= is_wanted(a[index]);
    }
    for (var index = split * SPLIT_SIZE + lane; index < min(end, arrayLength(&b)); index += 64u) {
        wanted |= is_wanted(b[index]);
    }
    for (var index = split * SPLIT_SIZE + lane; index < min(end, arrayLength(&c)); index += 64u) {
        wanted |= is_wanted(c[index]);
    }
    for (var index = split * SPLIT_SIZE + lane; index < min(end, arrayLength(&d)); index += 64u) {
        wanted |= is_wanted(d[index]);
    }
    if wanted {
        atomicOr(&found, 1u);
    }
    workgroupBarrier();
    if lane == 0u && split < arrayLength(&y) {
        y[split] = f32(atomicLoad(&found));
    }
}
