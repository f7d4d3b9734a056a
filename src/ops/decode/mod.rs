//! Points from heat maps: as the public HRNet and DARK code decode them, by the expectation, and as the public code of
//! cascaded pyramid networks does.

mod dark;
mod kernels;
mod second_maximum;

use serde::{Deserialize, Serialize};

pub use kernels::kernels;

use crate::ir::Argument::{Input, Output};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, absolute, take};

use super::OperatorCase;
use super::expectation::{self, Place};

/// maps \[N, J, H, W\] -> points \[N, J, 3\]: x and y in pixels of the map, and a score.
///
/// `Quarter`, `QuarterFloor` and `Dark` begin at the place of the largest value (of equal ones the first, row by row),
/// and give (0, 0) where that value is not above 0; their score is that value. None has a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decode {
    /// A quarter pixel on each axis towards the larger of the two neighbours where 1 < x < W - 1 and 1 < y < H - 1.
    Quarter,
    /// As `Quarter`, and half a pixel further on both axes: of networks whose targets lie on the pixel that holds the joint,
    /// (floor(x), floor(y)), as those of the public hourglass code.
    QuarterFloor,
    /// One step of Newton's method towards the maximum of log(G * map) where 1 < x < W - 2 and 1 < y < H - 2 and the
    /// Hessian can be inverted (Zhang et al., CVPR 2020). G is the 11x11 Gaussian of deviation 2, with zeros around the
    /// map. Smoothed values below 1e-10 count as 1e-10.
    ///
    /// The public code also scales the smoothed map back to the largest value, which is a constant in the logarithm.
    Dark,
    /// The mean of the pixels' places over the softmax of the map
    /// ([`Expectation`](crate::ops::expectation::Expectation)), and the score 1: integral pose regression has none.
    Expectation,
    /// A quarter pixel from the place of the largest value of the blurred map towards that of the second largest, for maps
    /// whose peaks are 255 ([`PEAK`](crate::ops::targets::PEAK)); the number is the side of the blur, odd and 5 or more.
    ///
    /// The map is put into a border of 10 zeros and blurred as by `cv2.GaussianBlur(map, (side, side), 0)`. The second
    /// largest is the largest after the first is set to 0; of equal values the first, row by row, comes first. Where both
    /// are one place nothing is moved. The place is clamped to \[0, W - 1\] x \[0, H - 1\], and 1/2 is added: a heat-map
    /// pixel is 4 of the picture, whose place is 4 x + 2 for the place x before. The score is the map's value at the pixel
    /// nearest to the place, over 255, plus 1/2.
    ///
    /// Float32 blurs differ in their last bits: where several values are largest up to these, any may be first.
    SecondMaximum(usize),
}

impl Decode {
    /// Whether the maps of a mirrored picture, mirrored back, are shifted by a pixel before they are averaged with those of the
    /// picture: [`FlipMerge`](crate::ops::flip::FlipMerge). The public code of networks whose pixels hold their joints, instead of
    /// being nearest to them, does not.
    pub fn shifts_mirrored_maps(self) -> bool {
        matches!(self, Self::Quarter | Self::Dark)
    }
}

impl Operator for Decode {
    fn name(&self) -> &'static str {
        "decode"
    }

    fn attributes(&self) -> String {
        match self {
            Self::Quarter => "quarter".to_string(),
            Self::QuarterFloor => "quarter-floor".to_string(),
            Self::Dark => "dark".to_string(),
            Self::Expectation => "expectation".to_string(),
            Self::SecondMaximum(side) => format!("second-maximum={side}"),
        }
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [maps] = take(self.name(), inputs)?;
        let [samples, joints, height, width] = maps.nchw(self.name())?;
        ShapeError::unless(height * width > 0, self.name(), || format!("maps {maps} have no pixels"))?;
        if let Self::SecondMaximum(side) = *self {
            second_maximum::check(self.name(), side, [height, width])?;
        }
        Ok(vec![[samples, joints, 3].into()])
    }

    fn gradient(&self, _: &mut Graph, _: &Node, _: &[Option<ValueId>]) -> Result<Vec<Option<ValueId>>, ShapeError> {
        Ok(vec![None])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let extents = case.inputs[0].extents();
        let maps = extents[0] * extents[1];
        let offset = if *self == Self::QuarterFloor { 0.5 } else { 0.0 };
        let constants = vec![("MAPS", maps as f64), ("HEIGHT", extents[2] as f64), ("WIDTH", extents[3] as f64)];
        let largest = || {
            let constants = [constants.clone(), vec![("OFFSET", offset)]].concat();
            Dispatch::per_workgroup(&kernels::FORWARD, maps, constants, vec![Input(0), Output(0)])
        };
        match *self {
            Self::Quarter | Self::QuarterFloor => vec![Variant::new("plain", vec![largest()])],
            Self::Dark => {
                let bindings = vec![Input(0), Output(0)];
                let step = Dispatch::per_workgroup(&kernels::DARK, maps, constants.clone(), bindings);
                vec![Variant::new("plain", vec![largest(), step])]
            }
            Self::Expectation => {
                expectation::forward_variants(case.inputs[0], &Place { scale: [1.0; 2], offset: 0.0, numbers: 3 })
            }
            Self::SecondMaximum(side) => second_maximum::variants(case.inputs[0], side),
        }
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (height, width) = (shapes[0].extents()[2], shapes[0].extents()[3]);
        let point = |map: &[f64]| match *self {
            Self::Quarter => from_largest(map, width, quarter_step),
            Self::QuarterFloor => {
                from_largest(map, width, |map, width, place| quarter_step(map, width, place).map(|step| step + 0.5))
            }
            Self::Dark => from_largest(map, width, dark::dark_step),
            Self::Expectation => {
                let [x, y] = expectation::mean_place(map, width);
                [x, y, 1.0]
            }
            Self::SecondMaximum(side) => second_maximum::point(map, width, side),
        };
        vec![inputs[0].chunks_exact(height * width).flat_map(point).collect()]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (height, width) = (shapes[0].extents()[2], shapes[0].extents()[3]);
        let points = absolute(&self.reference(shapes, inputs)[0]);
        let (points, _) = points.as_chunks::<3>();
        let magnitude = |(map, &point): (&[f64], &[f64; 3])| match *self {
            Self::Quarter | Self::QuarterFloor => point,
            Self::Dark => {
                // Nothing was found where the largest value is not above 0.
                let place = map.iter().position(|value| *value == point[2] && point[2] > 0.0);
                place.map_or(point, |place| {
                    let step = dark::dark_step_magnitude(map, width, [place % width, place / width]);
                    [(place % width) as f64 + step[0], (place / width) as f64 + step[1], point[2]]
                })
            }
            Self::Expectation => {
                let [x, y] = expectation::mean_place_magnitude(map, width);
                [x, y, 1.0]
            }
            Self::SecondMaximum(_) => second_maximum::point_magnitude(point),
        };
        vec![inputs[0].chunks_exact(height * width).zip(points).flat_map(magnitude).collect()]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        let elements = inputs[0].elements() as f64;
        let operations = match *self {
            Self::Quarter | Self::QuarterFloor => elements,
            Self::Dark => elements + (outputs[0].elements() / 3) as f64 * dark::OPERATIONS,
            Self::Expectation => 8.0 * elements,
            Self::SecondMaximum(side) => second_maximum::operations(inputs[0], side),
        };
        Cost::new(operations, inputs, outputs)
    }
}

/// The place of the largest value with a step from there, and that value.
fn from_largest(map: &[f64], width: usize, step: impl Fn(&[f64], usize, [usize; 2]) -> [f64; 2]) -> [f64; 3] {
    let mut place = 0;
    for (pixel, value) in map.iter().enumerate() {
        if *value > map[place] {
            place = pixel;
        }
    }
    if map[place] <= 0.0 {
        return [0.0, 0.0, map[place]];
    }
    let (x, y) = (place % width, place / width);
    let step = step(map, width, [x, y]);
    [x as f64 + step[0], y as f64 + step[1], map[place]]
}

/// A quarter pixel on each axis towards the larger neighbour.
fn quarter_step(map: &[f64], width: usize, [x, y]: [usize; 2]) -> [f64; 2] {
    let height = map.len() / width;
    if !(1 < x && x + 1 < width && 1 < y && y + 1 < height) {
        return [0.0; 2];
    }
    let place = y * width + x;
    [1, width].map(|step| {
        let slope = map[place + step] - map[place - step];
        if slope == 0.0 { 0.0 } else { 0.25 * slope.signum() }
    })
}

/// The cases of this folder's operator.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::{Distinct, Given, Uniform};
    let second_maximum = |side, shape, fill| OperatorCase::new(Decode::SecondMaximum(side), &[shape]).fill(0, fill);
    vec![
        OperatorCase::new(Decode::Quarter, &[[3, 5, 9, 7]]).fill(0, Distinct),
        OperatorCase::new(Decode::Quarter, &[[2, 3, 64, 48]]),
        OperatorCase::new(Decode::Quarter, &[[1, 1, 1, 1]]),
        OperatorCase::new(Decode::Quarter, &[[2, 2, 4, 4]]).fill(0, Uniform(-1.0, -0.5)),
        OperatorCase::new(Decode::QuarterFloor, &[[3, 5, 9, 7]]).fill(0, Distinct),
        OperatorCase::new(Decode::QuarterFloor, &[[1, 2, 3, 4]]).fill(0, Uniform(-1.0, -0.5)),
        OperatorCase::new(Decode::Dark, &[[3, 5, 21, 17]]).fill(0, Given(hills([3, 5, 21, 17]))),
        OperatorCase::new(Decode::Dark, &[[2, 16, 64, 48]]).fill(0, Given(hills([2, 16, 64, 48]))),
        OperatorCase::new(Decode::Dark, &[[1, 1, 1, 1]]),
        OperatorCase::new(Decode::Dark, &[[2, 2, 4, 4]]).fill(0, Uniform(-1.0, -0.5)),
        OperatorCase::new(Decode::Expectation, &[[3, 5, 9, 7]]).fill(0, Uniform(-3.0, 3.0)),
        OperatorCase::new(Decode::Expectation, &[[2, 17, 64, 48]]).fill(0, Uniform(-3.0, 3.0)),
        OperatorCase::new(Decode::Expectation, &[[1, 1, 1, 1]]),
        second_maximum(5, [3, 5, 21, 17], Given(peaks([3, 5, 21, 17]))),
        second_maximum(21, [3, 5, 21, 17], Given(peaks([3, 5, 21, 17]))),
        second_maximum(7, [1, 3, 1, 5], Given(peaks([1, 3, 1, 5]))),
        second_maximum(21, [2, 17, 64, 48], Given(peaks([2, 17, 64, 48]))),
        // Nothing above the border's zeros, and nothing but zeros.
        second_maximum(5, [1, 1, 1, 1], Uniform(-1.0, -0.5)),
        second_maximum(9, [1, 2, 3, 4], Given(vec![0.0; 24])),
    ]
}

/// [`hills`] as high as 255.
pub fn peaks(shape: [usize; 4]) -> Vec<f32> {
    hills(shape).into_iter().map(|value| 255.0 * value).collect()
}

/// Maps with one Gaussian hill each, as trained networks make them, from the middle to beyond the edges. On flat maps the
/// Hessian is nearly singular, and the step of no use to compare.
pub fn hills([samples, joints, height, width]: [usize; 4]) -> Vec<f32> {
    let mut maps = Vec::with_capacity(samples * joints * height * width);
    for map in 0..samples * joints {
        // Steps of the golden ratio and of the root of 2 spread the tops over the map and around it.
        let place = |step: f64, extent: usize| (map as f64 * step).fract() * (extent as f64 + 2.0) - 1.0;
        let (x, y) = (place(0.618_034, width), place(0.414_214, height));
        let top = 0.2 + 0.8 * (map as f64 * 0.27).fract();
        for row in 0..height {
            for column in 0..width {
                let (dx, dy) = (column as f64 - x, row as f64 - y);
                maps.push((top * (-(dx * dx + 0.8 * dy * dy + 0.3 * dx * dy) / 9.0).exp() + 0.01) as f32);
            }
        }
    }
    maps
}
