// One step of Adam with weight decay in the gradient, in place, in the order of operations of PyTorch's single-tensor form:
//
//     g = gradient_scale gradient + wd p
//     m = m + (1 - beta1) (g - m),  v = beta2 v + (1 - beta2) g g
//     p = p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
//
// Computes: four neighbouring elements per invocation.
// Grid: ceil(elements / 256) workgroups of 64, folded into y past 65,535.
// Memory: tensors are read and written as vec4. The number of elements, a multiple of 4, is 4 times the bound length.
// Why: a quarter of the loads and stores of update.wgsl, each of four elements.
// Measured: not measured.

@group(0) @binding(0) var<storage, read_write> parameter: array<vec4f>;      // [elements / 4] p
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;             // [elements / 4]
@group(0) @binding(2) var<storage, read_write> first_moment: array<vec4f>;   // [elements / 4] m
@group(0) @binding(3) var<storage, read_write> second_moment: array<vec4f>;  // [elements / 4] v
@group(0) @binding(4) var<storage, read> hyper: AdamHyper;                   // [8]

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
    let scaled = select(gradient[index] * hyper.gradient_scale, vec4f(), hyper.gradient_scale == 0.0);
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
