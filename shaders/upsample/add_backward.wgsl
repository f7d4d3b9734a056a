// da[r, j] = dy[r, j] where y[r, j] > 0, else 0
// db[r, j] = sum over the F x F elements da[F r + u, F j + v]      F = FACTOR
//
// Rows r count through all samples, channels and heights.
//
// Computes: one element of db per invocation, and the F x F elements of da behind it.
// Grid: ceil(ELEMENTS / 64) workgroups of 64, folded into y past 65,535.
// Memory: F loads in each of F rows of dy and y; neighbouring invocations read and write neighbouring runs.
// Why: the plain kernel; both gradients from one reading of dy and y.
// Measured: not measured.

override FACTOR: u32;
override ELEMENTS: u32;  // of db
override WIDTH: u32;     // of db

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias Y = f32;
alias Da = f32;
alias Db = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;        // [N, C, F H, F W]
@group(0) @binding(1) var<storage, read> y: array<Y>;          // [N, C, F H, F W] the output of the forward pass
@group(0) @binding(2) var<storage, read_write> da: array<Da>;  // [N, C, F H, F W]
@group(0) @binding(3) var<storage, read_write> db: array<Db>;  // [N, C, H, W]

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
    let row = index / WIDTH;
    let column = index % WIDTH;
    var sum = 0.0;
    for (var u = 0u; u < FACTOR; u++) {
        let start = ((row * FACTOR + u) * WIDTH + column) * FACTOR;
        for (var v = 0u; v < FACTOR; v++) {
            let masked = select(0.0, f32(dy[start + v]), f32(y[start + v]) > 0.0);
            da[start + v] = Da(masked);
            sum += masked;
        }
    }
    db[index] = Db(sum);
}
