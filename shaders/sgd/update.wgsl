// One step of stochastic gradient descent with momentum, in place, as torch.optim.SGD without dampening and Nesterov's rule:
//
//     g = gradient_scale gradient + weight_decay p
//     b = momentum b + g
//     p = p - learning_rate b
//
// Computes: one element per invocation.
// Grid: ceil(elements / 64) workgroups of 64, folded into y past 65,535. The number of elements is the bound length, so that
//   tensors of all sizes share one pipeline.
// Memory: neighbouring lanes read and write neighbouring elements.
// Why: the plain kernel; limited by memory.
// Measured: not measured.

@group(0) @binding(0) var<storage, read_write> parameter: array<f32>;  // [elements] p
@group(0) @binding(1) var<storage, read> gradient: array<f32>;         // [elements]
@group(0) @binding(2) var<storage, read_write> momentum: array<f32>;   // [elements] b
@group(0) @binding(3) var<storage, read> hyper: SgdHyper;              // [8]

// The places of what has to be 0 or 1 in a step that changes nothing are those of adamw/update.wgsl.
struct SgdHyper {
    unused_0: f32,
    weight_decay: f32,
    momentum: f32,
    unused_3: f32,
    unused_4: f32,
    unused_5: f32,
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
    let b = hyper.momentum * momentum[index] + (scaled + hyper.weight_decay * p);
    momentum[index] = b;
    parameter[index] = p - hyper.learning_rate * b;
}
