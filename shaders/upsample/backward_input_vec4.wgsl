// dx[r, j] = sum over the F x F elements dy[F r + u, F j + v] that copied x[r, j]      F = FACTOR
//
// Rows r count through all samples, channels and heights. F = 2 or a multiple of 4, and 4 divides the width of dy.
//
// Computes: one block of F rows and max(F, 4) columns of dy per invocation: 2 elements of dx where F = 2, else 1.
// Grid: ceil(BLOCKS / 64) workgroups of 64, folded into y past 65,535; BLOCKS is the number of blocks.
// Memory: dy as vec4, dx by single elements.
// Why: a quarter of the loads of backward_input.wgsl, each of four elements.
// Measured: not measured.

override FACTOR: u32;
override BLOCKS: u32;
override WIDTH: u32;  // of dy

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias Dx = f32;

@group(0) @binding(0) var<storage, read> dy: array<vec4<Dy>>;  // [N, C, F H, F W / 4]
@group(0) @binding(1) var<storage, read_write> dx: array<Dx>;  // [N, C, H, W]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= BLOCKS {
        return;
    }
    let vectors = max(FACTOR / 4u, 1u);
    let blocks = WIDTH / 4u / vectors;
    let row = index / blocks;
    let block = index % blocks;
    var sum = vec4f();
    for (var u = 0u; u < FACTOR; u++) {
        let start = (row * FACTOR + u) * (WIDTH / 4u) + block * vectors;
        for (var vector = 0u; vector < vectors; vector++) {
            sum += vec4f(dy[start + vector]);
        }
    }
    if FACTOR == 2u {
        dx[2u * index] = Dx(sum.x + sum.y);
        dx[2u * index + 1u] = Dx(sum.z + sum.w);
    } else {
        dx[index] = Dx((sum.x + sum.y) + (sum.z + sum.w));
    }
}
