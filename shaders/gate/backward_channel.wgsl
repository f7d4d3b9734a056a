// dr[c, p] = (1 + s) dy[c, p],  dg[c] = s (1 - s) sum over p of dy[c, p] r[c, p]      s = sigmoid(g[c])
//
// c runs through the channels of all samples, p through the AREA = H W pixels of one. One workgroup takes one channel:
// each lane every 64th pixel, then the lanes' sums are added as a tree. Grid: CHANNELS workgroups of 64, folded into y
// past 65,535.

override CHANNELS: u32;  // N C
override AREA: u32;

@group(0) @binding(0) var<storage, read> dy: array<f32>;        // [N, C, H, W]
@group(0) @binding(1) var<storage, read> r: array<f32>;         // [N, C, H, W]
@group(0) @binding(2) var<storage, read> g: array<f32>;         // [N, C, 1, 1]
@group(0) @binding(3) var<storage, read_write> dr: array<f32>;  // [N, C, H, W]
@group(0) @binding(4) var<storage, read_write> dg: array<f32>;  // [N, C, 1, 1]

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
    let s = 1.0 / (1.0 + exp(-g[channel]));
    var sum = 0.0;
    for (var pixel = lane; pixel < AREA; pixel += 64u) {
        let index = channel * AREA + pixel;
        let gradient = dy[index];
        dr[index] = (1.0 + s) * gradient;
        sum += gradient * r[index];
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
        dg[channel] = s * (1.0 - s) * partial[0];
    }
}
