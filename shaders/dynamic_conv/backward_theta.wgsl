// dtheta[c, u, v] = sum over i, j of dy[c, i, j] x[c, i + u - TOP, j + v - LEFT], with x = 0 outside the map
//
// c counts the channels of all samples.
//
// Computes: up to 8 neighbouring taps of one row u of one channel's kernel per workgroup; a lane takes every 64th run
//   of 8 columns of a row of dy.
// Grid: CHANNELS * KERNEL_HEIGHT * ceil(KERNEL_WIDTH / 8) workgroups of 64, folded into y past 65,535.
// Memory: a lane holds a run of dy and the 8 elements of x that meet it, as forward.wgsl does, and shifts in one more
//   per tap. Workgroup memory: two vec4 of 8 sums per lane, which are added as a tree, always in the same order.
// Why: loads cost most; each of dy serves 8 taps, each of x up to 8.
// Measured: a reduction in two stages gained nothing (lavapipe, 2 cores): one workgroup per row of taps fills two
//   cores.

override CHANNELS: u32;  // N C
override HEIGHT: u32;
override WIDTH: u32;
override KERNEL_HEIGHT: u32;
override KERNEL_WIDTH: u32;
override TOP: u32;
override LEFT: u32;

// Elements as they are stored; f16 in half precision.
alias Dy = f32;
alias X = f32;
alias Dtheta = f32;

@group(0) @binding(0) var<storage, read> dy: array<Dy>;                // [N, C, H, W]
@group(0) @binding(1) var<storage, read> x: array<X>;                  // [N, C, H, W]
@group(0) @binding(2) var<storage, read_write> dtheta: array<Dtheta>;  // [N, C, KERNEL_HEIGHT, KERNEL_WIDTH]

/// The sums of lane l over 8 taps are at 2 l and 2 l + 1.
var<workgroup> partial: array<vec4f, 128>;

/// Element of the row of x that begins at `start`. Columns left of it have wrapped round to large numbers.
fn element(start: u32, column: u32) -> f32 {
    return select(0.0, f32(x[start + min(column, WIDTH - 1u)]), column < WIDTH);
}

/// Four elements of the row of dy that begins at `start`, 0 past its end.
fn gradients(start: u32, column: u32) -> vec4f {
    let columns = column + vec4u(0u, 1u, 2u, 3u);
    let at = start + min(columns, vec4u(WIDTH - 1u));
    return select(vec4f(), vec4f(f32(dy[at.x]), f32(dy[at.y]), f32(dy[at.z]), f32(dy[at.w])), columns < vec4u(WIDTH));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup.y * workgroups.x + workgroup.x;
    let groups = (KERNEL_WIDTH + 7u) / 8u;
    if index >= CHANNELS * KERNEL_HEIGHT * groups {
        return;
    }
    let first_tap = index % groups * 8u;
    let u = index / groups % KERNEL_HEIGHT;
    let channel = index / (groups * KERNEL_HEIGHT);
    let strips = (WIDTH + 7u) / 8u;

    var low = vec4f();
    var high = vec4f();
    for (var strip = lane; strip < HEIGHT * strips; strip += 64u) {
        let i = strip / strips;
        let j = strip % strips * 8u;
        // Rows above the map have wrapped round to large numbers.
        let row = i + u - TOP;
        if row >= HEIGHT {
            continue;
        }
        let dy_start = (channel * HEIGHT + i) * WIDTH;
        let dy_low = gradients(dy_start, j);
        let dy_high = gradients(dy_start, j + 4u);
        let start = (channel * HEIGHT + row) * WIDTH;
        let first = j + first_tap - LEFT;
        var a = vec4f(0.0, element(start, first), element(start, first + 1u), element(start, first + 2u));
        var b = vec4f(element(start, first + 3u), element(start, first + 4u), element(start, first + 5u),
            element(start, first + 6u));
        // Each tap takes the sum in front and puts it back behind: after all 8 every sum is in its place again.
        for (var tap = 0u; tap < 8u; tap++) {
            var sum = low.x;
            if first_tap + tap < KERNEL_WIDTH {
                a = vec4f(a.yzw, b.x);
                b = vec4f(b.yzw, element(start, first + 7u + tap));
                sum += dot(a, dy_low) + dot(b, dy_high);
            }
            low = vec4f(low.yzw, high.x);
            high = vec4f(high.yzw, sum);
        }
    }

    partial[2u * lane] = low;
    partial[2u * lane + 1u] = high;
    workgroupBarrier();
    for (var reach = 32u; reach > 0u; reach /= 2u) {
        if lane < reach {
            partial[2u * lane] += partial[2u * (lane + reach)];
            partial[2u * lane + 1u] += partial[2u * (lane + reach) + 1u];
        }
        workgroupBarrier();
    }
    let tap = first_tap + lane;
    if lane < 8u && tap < KERNEL_WIDTH {
        dtheta[(channel * KERNEL_HEIGHT + u) * KERNEL_WIDTH + tap] = Dtheta(partial[lane / 4u][lane % 4u]);
    }
}
