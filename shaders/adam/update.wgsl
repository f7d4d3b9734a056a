// One step of Adam with weight decay in the gradient, in place, in the order of operations of PyTorch's single-tensor form:
//
//     g = gradient_scale gradient + wd p
//     m = m + (1 - beta1) (g - m),  v = beta2 v + (1 - beta2) g g
//     p = p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
//
// Computes: one element per invocation.
// Grid: ceil(elements / 64) workgroups of 64, folded into y past 65,535.
// Memory: neighbouring invocations read and write neighbouring elements. The number of elements is the bound length.
// Why: no `override` constant, so that tensors of all sizes share one pipeline.
// Measured: not measured.

@group(0) @binding(0) var<storage, read_write> parameter: array<f32>;      // [elements] p
@group(0) @binding(1) var<storage, read> gradient: array<f32>;             // [elements]
@group(0) @binding(2) var<storage, read_write> first_moment: array<f32>;   // [elements] m
@group(0) @binding(3) var<storage, read_write> second_moment: array<f32>;  // [elements] v
@group(0) @binding(4) var<storage, read> hyper: AdamHyper;                 // [8]

// The places of what has to be 0 or 1 in a step that changes nothing are those of adamw/update.wgsl.
struct AdamHyper {
    weight_decay: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    root_of_correction2: f32,  // sqrt(1 - beta2^t)
    eps: f32,
    step_size: f32,            // lr / (1 - beta1^t)
    gradient_scale: f32,       // 1, or 1 / the loss scale; 0 for a step that is to change nothing
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
    var m = first_moment[index];
    m += hyper.one_minus_beta1 * (g - m);
    let v = second_moment[index] * hyper.beta2 + hyper.one_minus_beta2 * g * g;
    let denominator = sqrt(v) / hyper.root_of_correction2 + hyper.eps;
    parameter[index] = p - hyper.step_size * m / denominator;
    first_moment[index] = m;
    second_moment[index] = v;
}
