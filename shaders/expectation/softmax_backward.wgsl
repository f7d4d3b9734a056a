// dx[n, j, p] = y[p] (dy[p] - sum over p of dy[p] y[p] / FACTOR), y and dy map j of sample n, p over its pixels
//
// Computes: one map per workgroup; a lane takes every 64th pixel in order.
// Grid: MAPS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes touch neighbouring pixels; both maps are read twice. Workgroup memory: the sums of
//   the 64 lanes, which are added as a tree, always in the same order.
// Why: the plain kernel; it needs the softmax, which the forward pass stores, and no exponential.
// Measured: not measured.

override MAPS: u32;    // N J
override PIXELS: u32;  // H W
override FACTOR: f32;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias Y = f32;
alias Dx = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;        // [N, J, H, W]
@group(0) @binding(1) var<storage, read> y: array<Y>;          // [N, J, H, W]
@group(0) @binding(2) var<storage, read_write> dx: array<Dx>;  // [N, J, H, W]

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let map = workgroup.y * workgroups.x + workgroup.x;
    if map >= MAPS {
        return;
    }
    let first = map * PIXELS;
    var sum = 0.0;
    for (var pixel = lane; pixel < PIXELS; pixel += 64u) {
        sum += f32(dy[first + pixel]) * f32(y[first + pixel]);
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        if lane < reach {
            partial[lane] += partial[lane + reach];
        }
        workgroupBarrier();
    }
    let mean = partial[0] / FACTOR;
    for (var pixel = lane; pixel < PIXELS; pixel += 64u) {
        dx[first + pixel] = Dx(f32(y[first + pixel]) * (f32(dy[first + pixel]) - mean));
    }
}
