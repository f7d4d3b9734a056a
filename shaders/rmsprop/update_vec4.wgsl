// One step of RMSprop, in place, in the order of operations of PyTorch's single-tensor form without momentum and centring:
//
//     g = gradient_scale gradient + wd p
//     v = alpha v + (1 - alpha) g g
//     p = p - lr g / (sqrt(v) + eps)
//
// Computes: four neighbouring elements per invocation.
// Grid: ceil(elements / 256) workgroups of 64, folded into y past 65,535.
// Memory: tensors are read and written as vec4. The number of elements, a multiple of 4, is 4 times the bound length.
// Why: a quarter of the loads and stores of update.wgsl, each of four elements.
// Measured: not measured.

@group(0) @binding(0) var<storage, read_write> parameter: array<vec4f>;      // [elements / 4] p
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;             // [elements / 4]
@group(0) @binding(2) var<storage, read_write> second_moment: array<vec4f>;  // [elements / 4] v
@group(0) @binding(3) var<storage, read> hyper: RmsPropHyper;                // [8]

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
    let scaled = select(gradient[index] * hyper.gradient_scale, vec4f(), hyper.gradient_scale == 0.0);
    let p = parameter[index];
    let g = scaled + hyper.weight_decay * p;
    let v = second_moment[index] * hyper.alpha + hyper.one_minus_alpha * g * g;
    parameter[index] = p - hyper.learning_rate * g / (sqrt(v) + hyper.eps);
    second_moment[index] = v;
}
