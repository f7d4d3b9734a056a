// One step of RMSprop, in place, in the order of operations of PyTorch's single-tensor form without momentum and centring:
//
//     g = gradient_scale gradient + wd p
//     v = alpha v + (1 - alpha) g g
//     p = p - lr g / (sqrt(v) + eps)
//
// Computes: one element per invocation.
// Grid: ceil(elements / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements. The number of elements is the bound length.
// Why: no `override` constant, so that tensors of all sizes share one pipeline.
// Measured: not measured.

@group(0) @binding(0) var<storage, read_write> parameter: array<f32>;      // [elements] p
@group(0) @binding(1) var<storage, read> gradient: array<f32>;             // [elements]
@group(0) @binding(2) var<storage, read_write> second_moment: array<f32>;  // [elements] v
@group(0) @binding(3) var<storage, read> hyper: RmsPropHyper;              // [8]

// The places of what has to be 0 or 1 in a step that changes nothing are those of adamw/update.wgsl.
struct RmsPropHyper {
    unused_0: f32,
    weight_decay: f32,
    alpha: f32,
    one_minus_alpha: f32,
    unused_4: f32,
    eps: f32,
    learning_rate: f32,
    gradient_scale: f32,  // 1, or 1 / the loss scale; 0 for a step that is to change nothing
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= arrayLength(&parameter) {
        return;
    }
    // What overflowed would survive a multiplication by 0.
    let scaled = select(gradient[index] * hyper.gradient_scale, 0.0, hyper.gradient_scale == 0.0);
    let p = parameter[index];
    let g = scaled + hyper.weight_decay * p;
    let v = second_moment[index] * hyper.alpha + hyper.one_minus_alpha * g * g;
    parameter[index] = p - hyper.learning_rate * g / (sqrt(v) + hyper.eps);
    second_moment[index] = v;
}
