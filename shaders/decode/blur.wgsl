// y[o, i, s] = sum over |d| <= REACH of g(|d|) x[o, mirrored(i + d) - BORDER, s], x = 0 outside of 0 .. LENGTH - 1
//
// mirrored(p) is -p where p < 0, 2 (P - 1) - p where p >= P, else p, with P = LENGTH + 2 BORDER: x in a border of
// zeros, blurred with the weights g(0) .. g(REACH) along one axis and mirrored at the border's edge, which does not
// repeat.
//
// Computes: one element of y per invocation.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements.
// Why: the plain kernel, once along the rows of maps (INNER = 1) and once along their columns (INNER = their width).
// Measured: not measured.

override ELEMENTS: u32;  // of y
override LENGTH: u32;    // of x along the axis
override INNER: u32;     // elements from one place of the axis to the next
override BORDER: u32;
override REACH: u32;     // half the side of the blur, rounded down

@group(0) @binding(0) var<storage, read> x: array<f32>;        // [outer, LENGTH, INNER]
@group(0) @binding(1) var<storage, read> taps: array<f32>;     // [REACH + 1] g
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [outer, LENGTH + 2 BORDER, INNER]

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
    let padded = LENGTH + 2u * BORDER;
    let inner = index % INNER;
    let at = i32(index / INNER % padded);
    let first = index / INNER / padded * LENGTH;
    let reach = i32(REACH);
    var sum = 0.0;
    for (var d = -reach; d <= reach; d += 1) {
        // Left of the edge -p is on its right; past the last place that is mirrored there.
        let place = abs(at + d);
        let mirrored = min(place, 2 * (i32(padded) - 1) - place);
        let source = u32(mirrored) - BORDER;
        if source < LENGTH {
            sum += taps[abs(d)] * x[(first + source) * INNER + inner];
        }
    }
    y[index] = sum;
}
