// db[o] = sum over n of dy[n, o]
//
// Computes: one element per invocation; rows are added in ascending order.
// Grid: ceil(COLUMNS / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read neighbouring elements of a row.
// Why: the plain kernel.
// Measured: not measured.

override ROWS: u32;     // N
override COLUMNS: u32;  // O

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias Db = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;        // [N, O]
@group(0) @binding(1) var<storage, read_write> db: array<Db>;  // [O]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let column = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if column >= COLUMNS {
        return;
    }
    var sum = 0.0;
    for (var row = 0u; row < ROWS; row++) {
        sum += f32(dy[row * COLUMNS + column]);
    }
    db[column] = Db(sum);
}
