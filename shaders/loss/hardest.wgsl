// kept[n, m] = values[n, m] where map m is among the HARDEST maps of sample n with the largest losses, else 0
//
// Of equal losses the one of the smaller m counts as larger.
//
// Computes: one element per invocation: it counts the maps of its sample that come before its own.
// Grid: ceil(SAMPLES * MAPS / 64) workgroups of 64, folded into y past 65,535.
// Memory: an invocation reads the losses of its sample.
// Why: MAPS is small: counting needs no sort.
// Measured: not measured.

override SAMPLES: u32;  // N
override MAPS: u32;     // M
override HARDEST: u32;

@group(0) @binding(0) var<storage, read> losses: array<f32>;      // [N, M]
@group(0) @binding(1) var<storage, read> values: array<f32>;      // [N, M]
@group(0) @binding(2) var<storage, read_write> kept: array<f32>;  // [N, M]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= SAMPLES * MAPS {
        return;
    }
    let own = losses[index];
    let first = index / MAPS * MAPS;
    var before = 0u;
    for (var other = first; other < first + MAPS; other++) {
        let loss = losses[other];
        before += u32(loss > own || (loss == own && other < index));
    }
    kept[index] = select(0.0, values[index], before < HARDEST);
}
