// y[o, i, s] = sum over |d| <= REACH of g(|d|) x[o, mirrored(i + d) - BORDER, s], x = 0 outside of 0 .. LENGTH - 1
//
// mirrored(p) is -p where p < 0, 2 (P - 1) - p where p >= P, else p, with P = LENGTH + 2 BORDER: x in a border of
// zeros, blurred with the weights g(0) .. g(REACH) along one axis and mirrored at the border's edge, which does not
// repeat. 4 divides INNER.
//
// Computes: four neighbours of y across the axis per invocation.
// Grid: ceil(ELEMENTS / 256) workgroups of 64, folded into y past 65,535.
// Memory: x and y as vec4.
// Why: beside blur.wgsl a quarter of the loads of weights, and loads of four elements of x; for the columns of
//   maps alone.
// Measured: on lavapipe (Mesa 22.3, a busy machine), [2, 17, 64, 48] and a blur of 21: rows, columns and search take
//   8.8 ms, with blur.wgsl for the columns 14.0; medians of 7 in turn.

override ELEMENTS: u32;  // of y
override LENGTH: u32;    // of x along the axis
override INNER: u32;     // elements from one place of the axis to the next
override BORDER: u32;
override REACH: u32;     // half the side of the blur, rounded down

@group(0) @binding(0) var<storage, read> x: array<vec4f>;        // [outer, LENGTH, INNER / 4]
@group(0) @binding(1) var<storage, read> taps: array<f32>;       // [REACH + 1] g
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;  // [outer, LENGTH + 2 BORDER, INNER / 4]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= ELEMENTS / 4u {
        return;
    }
    let padded = LENGTH + 2u * BORDER;
    let inner = index % (INNER / 4u);
    let at = i32(index / (INNER / 4u) % padded);
    let first = index / (INNER / 4u) / padded * LENGTH;
    let reach = i32(REACH);
    var sum = vec4f();
    for (var d = -reach; d <= reach; d += 1) {
        // Left of the edge -p is on its right; past the last place that is mirrored there.
        let place = abs(at + d);
        let mirrored = min(place, 2 * (i32(padded) - 1) - place);
        let source = u32(mirrored) - BORDER;
        if source < LENGTH {
            sum += taps[abs(d)] * x[(first + source) * (INNER / 4u) + inner];
        }
    }
    y[index] = sum;
}
