//! The network's input from 8-bit pictures: affine crop, flip and normalisation in one pass.

use crate::ir::Argument::{Input, Output};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, folded, take};

use super::OperatorCase;
use super::shaders::kernels;

kernels! { "crop":
    FORWARD, "forward", "image = (picture sampled at (column[x] + row[y]) / 255 - mean) / deviation";
}

/// What becomes of red, green and blue, values from 0 to 1: (value - mean) / deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalization {
    /// What is subtracted.
    pub mean: [f32; 3],
    /// What the difference is divided by.
    pub deviation: [f32; 3],
    /// Whether the image's channels are blue, green and red, as OpenCV reads pictures, instead of red, green and blue.
    pub bgr: bool,
}

impl Normalization {
    /// Means and standard deviations over ImageNet.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225], bgr: false };
    /// The same, with blue first.
    pub const IMAGENET_BGR: Self = Self { bgr: true, ..Self::IMAGENET };
    /// Less the means over MPII.
    pub const MPII_MEAN: Self = Self { mean: [0.4404, 0.4440, 0.4327], ..Self::UNIT };
    /// Less the means that CPN subtracts, 122.77, 115.95 and 102.98 of 255.
    pub const CPN_MEAN: Self = Self {
        mean: [(122.77 / 255.0_f64) as f32, (115.95 / 255.0_f64) as f32, (102.98 / 255.0_f64) as f32],
        ..Self::UNIT
    };
    /// As they are, from 0 to 1.
    pub const UNIT: Self = Self { mean: [0.0; 3], deviation: [1.0; 3], bgr: false };
}

/// (pixels \[capacity\], pictures \[N, 4\], lattice \[N, width + height, 2\]) -> image \[N, 3, height, width\].
///
/// All inputs hold words: pixels 0xAABBGGRR row by row; for each sample the number of its picture's first word in
/// `pixels`, the picture's width, its height, and 0; and a [`lattice`]. The buffer of `pixels` may be longer than its
/// shape says.
///
/// image = (v / 255 - mean) / deviation; v is what OpenCV 4's `warpAffine` gives with bilinear interpolation and a black
/// border: the points are rounded to 1/32 pixel and the values to whole numbers, half up. It has no gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AffineCrop {
    /// Rows of the image.
    pub height: usize,
    /// Columns of the image.
    pub width: usize,
    /// What becomes of the colours.
    pub normalization: Normalization,
}

impl Operator for AffineCrop {
    fn name(&self) -> &'static str {
        "crop"
    }

    fn attributes(&self) -> String {
        let list = |numbers: [f32; 3]| numbers.map(|number| number.to_string()).join(",");
        let Normalization { mean, deviation, bgr } = self.normalization;
        let order = if bgr { " bgr" } else { "" };
        format!("size={}x{} mean={} deviation={}{order}", self.height, self.width, list(mean), list(deviation))
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [pixels, pictures, lattice] = take(self.name(), inputs)?;
        ShapeError::unless(pixels.extents().len() == 1, self.name(), || format!("pixels {pixels} are not [capacity]"))?;
        let &[samples, 4] = pictures.extents() else {
            return Err(ShapeError::new(self.name(), format!("pictures {pictures} are not [N, 4]")));
        };
        let lines = self.width + self.height;
        ShapeError::unless(lattice.extents() == [samples, lines, 2], self.name(), || {
            format!(
                "lattice {lattice} is not [{samples}, {lines}, 2]: a point for each column and each row of a picture"
            )
        })?;
        Ok(vec![[samples, 3, self.height, self.width].into()])
    }

    fn gradient(&self, _: &mut Graph, _: &Node, _: &[Option<ValueId>]) -> Result<Vec<Option<ValueId>>, ShapeError> {
        Ok(vec![None; 3])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let samples = case.inputs[1].extents()[0];
        let [red, green, blue] = self.colours();
        let dispatch = Dispatch {
            kernel: &FORWARD,
            constants: vec![
                ("SAMPLES", samples as f64),
                ("HEIGHT", self.height as f64),
                ("WIDTH", self.width as f64),
                ("RED_MEAN", red.0),
                ("GREEN_MEAN", green.0),
                ("BLUE_MEAN", blue.0),
                ("RED_DEVIATION", red.1),
                ("GREEN_DEVIATION", green.1),
                ("BLUE_DEVIATION", blue.1),
                ("RED_PLANE", self.plane(0) as f64),
            ],
            bindings: vec![Input(0), Input(1), Input(2), Output(0)],
            workgroups: folded((samples * self.height * self.width).div_ceil(64)),
        };
        vec![Variant::new("plain", vec![dispatch])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let samples = shapes[1].extents()[0];
        let (area, lines) = (self.height * self.width, self.width + self.height);
        let mut image = vec![0.0; samples * 3 * area];
        for sample in 0..samples {
            // A signed number's bits.
            let along =
                |line: usize, axis: usize| f64::from(inputs[2][2 * (sample * lines + line) + axis] as u32 as i32);
            let picture = &inputs[1][4 * sample..4 * sample + 4];
            for place in 0..area {
                let (column, row) = (place % self.width, self.width + place / self.width);
                let point = [0, 1].map(|axis| ((along(column, axis) + along(row, axis) + 16.0) / 32.0).floor() / 32.0);
                let corner = point.map(f64::floor);
                let share = [point[0] - corner[0], point[1] - corner[1]];
                for (channel, (mean, deviation)) in self.colours().into_iter().enumerate() {
                    let mut value = 0.0;
                    for (right, low) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
                        let weight = (1.0 - right - share[0]).abs() * (1.0 - low - share[1]).abs();
                        value += weight * pixel(inputs[0], picture, corner[0] + right, corner[1] + low, channel);
                    }
                    image[(3 * sample + self.plane(channel)) * area + place] =
                        ((value + 0.5).floor() / 255.0 - mean) / deviation;
                }
            }
        }
        vec![image]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        // The mean is subtracted: (level - mean) / deviation has the terms of (level + mean) / deviation.
        let area = self.height * self.width;
        let mut image = self.reference(shapes, inputs).remove(0);
        for (plane, values) in image.chunks_exact_mut(area.max(1)).enumerate() {
            let (mean, deviation) = self.colours()[self.plane(plane % 3)];
            values.iter_mut().for_each(|value| *value += 2.0 * mean / deviation);
        }
        vec![image]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(14.0 * outputs[0].elements() as f64, inputs, outputs)
    }
}

impl AffineCrop {
    /// Where in the image a colour is, and which colour is there: red, green and blue are 0, 1 and 2.
    fn plane(&self, colour: usize) -> usize {
        if self.normalization.bgr { 2 - colour } else { colour }
    }

    /// Mean and deviation of each colour.
    fn colours(&self) -> [(f64, f64); 3] {
        let Normalization { mean, deviation, .. } = self.normalization;
        std::array::from_fn(|channel| (f64::from(mean[channel]), f64::from(deviation[channel])))
    }
}

/// The points of an affine crop in 1024ths of a pixel, as signed words: for each of `width` columns what it adds, (a x,
/// d x), and then for each of `height` rows where it begins, (b y + c, e y + f). Input pixel (x, y) shows the picture at
/// (a x + b y + c, d x + e y + f), with \[a, b, c, d, e, f\] the map.
///
/// Rounded from float64 as OpenCV's `warpAffine` does, half to even; what lies more than 2^19 pixels away is kept there.
pub fn lattice([a, b, c, d, e, f]: [f64; 6], width: u32, height: u32) -> Vec<[i32; 2]> {
    const FAR: f64 = (1 << 29) as f64;
    let fixed = |v: f64| (1024.0 * v).round_ties_even().clamp(-FAR, FAR) as i32;
    let columns = (0..width).map(f64::from).map(|x| [fixed(a * x), fixed(d * x)]);
    let rows = (0..height).map(f64::from).map(|y| [fixed(b * y + c), fixed(e * y + f)]);
    columns.chain(rows).collect()
}

/// A channel of the picture's pixel in this column and row; 0 outside.
fn pixel(pixels: &[f64], picture: &[f64], column: f64, row: f64, channel: usize) -> f64 {
    let (first, width, height) = (picture[0], picture[1], picture[2]);
    if column < 0.0 || row < 0.0 || column >= width || row >= height {
        return 0.0;
    }
    let word = pixels[(first + row * width + column) as usize] as u32;
    f64::from((word >> (8 * channel)) & 255)
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::Words;
    // Noise: every pixel and channel differs from its neighbours.
    let noise = |count: u32| Words((0..count).map(|index| index.wrapping_mul(0x9e37_79b1) ^ 0x5bd1_e995).collect());
    let case = |operator: AffineCrop, pixels: u32, pictures: &[[u32; 4]], maps: &[[f64; 6]]| {
        let AffineCrop { height, width, .. } = operator;
        let samples = pictures.len();
        let shapes: [Shape; 3] = [[pixels as usize].into(), [samples, 4].into(), [samples, width + height, 2].into()];
        let points = maps.iter().flat_map(|map| lattice(*map, width as u32, height as u32).into_flattened());
        OperatorCase::new(operator, &shapes)
            .fill(0, noise(pixels))
            .fill(1, Words(pictures.concat()))
            .fill(2, Words(points.map(i32::cast_unsigned).collect()))
    };
    vec![
        case(
            AffineCrop { height: 9, width: 13, normalization: Normalization::IMAGENET },
            17 * 11 + 8 * 20,
            &[[0, 17, 11, 0], [17 * 11, 8, 20, 0], [5, 7, 3, 0]],
            &[
                [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                [-2977.0 / 4096.0, 1314.0 / 4096.0, 6.4453125, 1183.0 / 4096.0, 1.5390625, -2.25],
                [0.5078125, -0.2578125, -1.0078125, 0.2578125, 0.5078125, 1.125],
            ],
        ),
        case(
            AffineCrop { height: 1, width: 1, normalization: Normalization::MPII_MEAN },
            1,
            &[[0, 1, 1, 0]],
            &[[1.0, 0.0, 0.4921875, 0.0, 1.0, -0.1953125]],
        ),
        case(
            AffineCrop { height: 4, width: 6, normalization: Normalization::CPN_MEAN },
            6,
            &[[0, 3, 2, 0]],
            &[[1.0, 0.0, 1e9, 0.0, 1.0, -1e9]],
        ),
        case(
            AffineCrop { height: 3, width: 5, normalization: Normalization::IMAGENET_BGR },
            12,
            &[[0, 4, 3, 0]],
            &[[0.75, 0.25, -0.5, 0.0, 1.0, 0.25]],
        ),
    ]
}
