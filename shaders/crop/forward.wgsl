// image[n, channel, y, x] = (v / 255 - mean[channel]) / deviation[channel], v the picture's 8-bit value at the point
// (a x + b y + c, d x + e y + f) of picture n
//
// v is rounded as OpenCV's warpAffine rounds: a x and b y + c to 1/1024 pixel, half to even; their sum to 1/32 pixel and
// the bilinear mean of the four neighbours to a whole number, half up. Pixels outside the picture are black.
//
// One invocation computes the three channels of one pixel. Grid: ceil(SAMPLES HEIGHT WIDTH / 64) workgroups of 64,
// folded into y past 65,535.

override SAMPLES: u32;  // N
override HEIGHT: u32;   // H
override WIDTH: u32;    // W

@group(0) @binding(0) var<storage, read> pixels: array<u32>;       // words 0xAABBGGRR, row by row
@group(0) @binding(1) var<storage, read> pictures: array<vec4u>;   // [N] first word in pixels, width, height, 0
@group(0) @binding(2) var<storage, read> transforms: array<f32>;   // [N, 6] a, b, c, d, e, f
@group(0) @binding(3) var<storage, read_write> image: array<f32>;  // [N, 3, H, W] red, green, blue

// Of ImageNet.
const MEAN = vec3f(0.485, 0.456, 0.406);
const DEVIATION = vec3f(0.229, 0.224, 0.225);

/// The pixel in this column and row of a picture. Both are whole; as floats they may lie any distance outside.
fn pixel(picture: vec4u, column: f32, row: f32) -> vec3f {
    let inside = column >= 0.0 && row >= 0.0 && column < f32(picture.y) && row < f32(picture.z);
    if !inside {
        return vec3f(0.0);
    }
    let word = pixels[picture.x + u32(row) * picture.y + u32(column)];
    return vec3f(vec3u(word, word >> 8u, word >> 16u) & vec3u(255u));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * workgroups.x + workgroup.x) * 64u + lane;
    if index >= SAMPLES * HEIGHT * WIDTH {
        return;
    }
    let sample = index / (HEIGHT * WIDTH);
    let place = index % (HEIGHT * WIDTH);
    let x = f32(place % WIDTH);
    let y = f32(place / WIDTH);

    let first = 6u * sample;
    let along_row = vec2f(transforms[first], transforms[first + 3u]) * x;
    let along_column = vec2f(transforms[first + 1u], transforms[first + 4u]) * y;
    let start = along_column + vec2f(transforms[first + 2u], transforms[first + 5u]);
    let point = floor((round(1024.0 * along_row) + round(1024.0 * start) + 16.0) / 32.0) / 32.0;
    let corner = floor(point);
    let share = point - corner;

    let picture = pictures[sample];
    let top = mix(pixel(picture, corner.x, corner.y), pixel(picture, corner.x + 1.0, corner.y), share.x);
    let bottom = mix(pixel(picture, corner.x, corner.y + 1.0), pixel(picture, corner.x + 1.0, corner.y + 1.0), share.x);
    let value = floor(mix(top, bottom, share.y) + 0.5);

    let normalised = (value / 255.0 - MEAN) / DEVIATION;
    let red = sample * 3u * HEIGHT * WIDTH + place;
    image[red] = normalised.x;
    image[red + HEIGHT * WIDTH] = normalised.y;
    image[red + 2u * HEIGHT * WIDTH] = normalised.z;
}
