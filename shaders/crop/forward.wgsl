// image[n, channel, y, x] = (v / 255 - mean[channel]) / deviation[channel]
//
// where v is the 8-bit value of picture n at the point lattice[n, x] + lattice[n, W + y], rounded as OpenCV's
// warpAffine rounds: the point to 1/32 pixel and the bilinear mean of the four neighbours to a whole number, half up.
// Pixels outside the picture are black. All of it is exact in float32.
//
// Computes: the three channels of one pixel per invocation.
// Grid: ceil(SAMPLES * HEIGHT * WIDTH / 64) workgroups of 64, folded into y past 65,535.
// Memory: the pictures lie behind each other in pixels, a word per pixel; lattice holds the column part of each point
//   and then the row part, so that a picture of W x H needs W + H points and not W H.
// Why: crop, flip and normalisation in one pass over the picture's bytes.
// Measured: not measured.

override SAMPLES: u32;  // N
override HEIGHT: u32;   // H
override WIDTH: u32;    // W
override RED_MEAN: f32;
override GREEN_MEAN: f32;
override BLUE_MEAN: f32;
override RED_DEVIATION: f32;
override GREEN_DEVIATION: f32;
override BLUE_DEVIATION: f32;
override RED_PLANE: u32;  // 0, or 2 where blue comes first

// Elements as they are stored; f16 in half precision.
alias Image = f32;

@group(0) @binding(0) var<storage, read> pixels: array<u32>;         // words 0xAABBGGRR, row by row
@group(0) @binding(1) var<storage, read> pictures: array<vec4u>;     // [N] first word in pixels, width, height, 0
@group(0) @binding(2) var<storage, read> lattice: array<vec2i>;      // [N, W + H] columns, rows: x, y in 1/1024 pixel
@group(0) @binding(3) var<storage, read_write> image: array<Image>;  // [N, 3, H, W] red, green, blue, or blue first

/// The pixel in this column and row of a picture, which may lie any distance outside.
fn pixel(picture: vec4u, column: i32, row: i32) -> vec3f {
    // A negative number's bits are those of a large one.
    if u32(column) >= picture.y || u32(row) >= picture.z {
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

    let columns = sample * (WIDTH + HEIGHT);
    let rows = columns + WIDTH;
    let point = (lattice[columns + place % WIDTH] + lattice[rows + place / WIDTH] + 16) >> vec2u(5u);  // in 1/32 pixel
    let corner = point >> vec2u(5u);
    let share = vec2f(point & vec2i(31)) / 32.0;

    let picture = pictures[sample];
    let top = mix(pixel(picture, corner.x, corner.y), pixel(picture, corner.x + 1, corner.y), share.x);
    let bottom = mix(pixel(picture, corner.x, corner.y + 1), pixel(picture, corner.x + 1, corner.y + 1), share.x);
    let value = floor(mix(top, bottom, share.y) + 0.5);

    let mean = vec3f(RED_MEAN, GREEN_MEAN, BLUE_MEAN);
    let deviation = vec3f(RED_DEVIATION, GREEN_DEVIATION, BLUE_DEVIATION);
    let normalised = (value / 255.0 - mean) / deviation;
    let first = sample * 3u * HEIGHT * WIDTH + place;
    image[first + RED_PLANE * HEIGHT * WIDTH] = Image(normalised.x);
    image[first + HEIGHT * WIDTH] = Image(normalised.y);
    image[first + (2u - RED_PLANE) * HEIGHT * WIDTH] = Image(normalised.z);
}
