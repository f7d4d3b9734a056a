// dx[n, j, p] = y[p] (dy[p] - sum over p of dy[p] y[p] / FACTOR), y and dy map j of sample n, p over its pixels
//
// 4 divides PIXELS.
//
// Computes: one map per workgroup; a lane takes every 64th four pixels in order.
// Grid: MAPS workgroups of 64, folded into y past 65,535.
// Memory: all maps as vec4; both maps are read twice. Workgroup memory: the sums of the 64 lanes,
//   which are added as a tree, always in the same order.
// Why: beside softmax_backward.wgsl a quarter of the loads, of the stores and of the rounds.
// Measured: on lavapipe (Mesa 22.3), [2, 17, 64, 48]: 0.53 ms, softmax_backward.wgsl 0.84; medians of 7 in turn.

override MAPS: u32;    // N J
override PIXELS: u32;  // H W
override FACTOR: f32;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias Y = f32;
alias Dx = f32;

@group(0) @binding(0) var<storage, read> dy: array<vec4<Dy>>;        // [N, J, H W / 4]
@group(0) @binding(1) var<storage, read> y: array<vec4<Y>>;          // [N, J, H W / 4]
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<Dx>>;  // [N, J, H W / 4]

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
    let first = map * PIXELS / 4u;
    var sum = 0.0;
    for (var four = lane; four < PIXELS / 4u; four += 64u) {
        sum += dot(vec4f(dy[first + four]), vec4f(y[first + four]));
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
    for (var four = lane; four < PIXELS / 4u; four += 64u) {
        dx[first + four] = vec4<Dx>(vec4f(y[first + four]) * (vec4f(dy[first + four]) - mean));
    }
}
