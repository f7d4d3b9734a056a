// dr[c, p] = (1 + s) dy[c, p],  dg[c] = s (1 - s) sum over p of dy[c, p] r[c, p]      s = sigmoid(g[c])
//
// c counts the channels of all samples, p the AREA = H W pixels of one.
//
// Computes: one channel per workgroup, every 64th pixel per lane.
// Grid: CHANNELS workgroups of 64, folded into y past 65,535.
// Memory: neighbouring lanes read and write neighbouring pixels. Workgroup memory: the sums of the 64 lanes, which are
//   added as a tree, always in the same order.
// Why: the plain kernel; both gradients from one reading of dy.
// Measured: not measured.

override CHANNELS: u32;  // N C
override AREA: u32;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias R = f32;
alias G = f32;
alias Dr = f32;
alias Dg = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;        // [N, C, H, W]
@group(0) @binding(1) var<storage, read> r: array<R>;          // [N, C, H, W]
@group(0) @binding(2) var<storage, read> g: array<G>;          // [N, C, 1, 1]
@group(0) @binding(3) var<storage, read_write> dr: array<Dr>;  // [N, C, H, W]
@group(0) @binding(4) var<storage, read_write> dg: array<Dg>;  // [N, C, 1, 1]

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = workgroup.y * workgroups.x + workgroup.x;
    if channel >= CHANNELS {
        return;
    }
    let s = 1.0 / (1.0 + exp(-f32(g[channel])));
    var sum = 0.0;
    for (var pixel = lane; pixel < AREA; pixel += 64u) {
        let index = channel * AREA + pixel;
        let gradient = f32(dy[index]);
        dr[index] = Dr((1.0 + s) * gradient);
        sum += gradient * f32(r[index]);
    }
    partial[lane] = sum;
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        if lane < reach {
            partial[lane] += partial[lane + reach];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        dg[channel] = Dg(s * (1.0 - s) * partial[0]);
    }
}
