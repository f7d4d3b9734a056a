//! Points from heat maps, as the public HRNet code and the public DARK code decode them.

use serde::{Deserialize, Serialize};

use crate::ir::Argument::{Input, Output};
use crate::ir::{
    Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, absolute, folded, take,
};

use super::OperatorCase;
use super::shaders::kernels;

kernels! { "decode":
    FORWARD, "forward", "points = place of the largest value, a quarter pixel towards the larger neighbours, and that value";
    DARK, "dark", "points -= Hessian^-1 gradient of the log of the Gaussian-smoothed map at the place of the largest value";
}

/// maps \[N, J, H, W\] -> points \[N, J, 3\]: x and y in pixels of the map, and the map's largest value.
///
/// Both begin at the place of the largest value (of equal ones the first, row by row), and give (0, 0) where that value is
/// not above 0. They have no gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decode {
    /// A quarter pixel on each axis towards the larger of the two neighbours where 1 < x < W - 1 and 1 < y < H - 1.
    Quarter,
    /// One step of Newton's method towards the maximum of log(G * map) where 1 < x < W - 2 and 1 < y < H - 2 and the
    /// Hessian can be inverted (Zhang et al., CVPR 2020). G is the 11x11 Gaussian of deviation 2, with zeros around the
    /// map. Smoothed values below 1e-10 count as 1e-10.
    ///
    /// The public code also scales the smoothed map back to the largest value, which is a constant in the logarithm.
    Dark,
}

impl Operator for Decode {
    fn name(&self) -> &'static str {
        "decode"
    }

    fn attributes(&self) -> String {
        match self {
            Self::Quarter => "quarter".to_string(),
            Self::Dark => "dark".to_string(),
        }
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [maps] = take(self.name(), inputs)?;
        let [samples, joints, height, width] = maps.nchw(self.name())?;
        ShapeError::unless(height * width > 0, self.name(), || format!("maps {maps} have no pixels"))?;
        Ok(vec![[samples, joints, 3].into()])
    }

    fn gradient(&self, _: &mut Graph, _: &Node, _: &[Option<ValueId>]) -> Result<Vec<Option<ValueId>>, ShapeError> {
        Ok(vec![None])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let extents = case.inputs[0].extents();
        let maps = extents[0] * extents[1];
        let dispatch = Dispatch {
            kernel: &FORWARD,
            constants: vec![("MAPS", maps as f64), ("HEIGHT", extents[2] as f64), ("WIDTH", extents[3] as f64)],
            bindings: vec![Input(0), Output(0)],
            workgroups: folded(maps),
        };
        let dispatches = match self {
            Self::Quarter => vec![dispatch],
            Self::Dark => vec![dispatch.clone(), Dispatch { kernel: &DARK, ..dispatch }],
        };
        vec![Variant::new("plain", dispatches)]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (height, width) = (shapes[0].extents()[2], shapes[0].extents()[3]);
        let mut points = Vec::new();
        for map in inputs[0].chunks_exact(height * width) {
            let mut place = 0;
            for (pixel, value) in map.iter().enumerate() {
                if *value > map[place] {
                    place = pixel;
                }
            }
            let (x, y) = (place % width, place / width);
            let mut point = [x as f64, y as f64];
            if map[place] <= 0.0 {
                point = [0.0; 2];
            } else {
                let step = match self {
                    Self::Quarter => quarter_step(map, width, [x, y]),
                    Self::Dark => dark_step(map, width, [x, y]),
                };
                point = [point[0] + step[0], point[1] + step[1]];
            }
            points.extend(point);
            points.push(map[place]);
        }
        vec![points]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (height, width) = (shapes[0].extents()[2], shapes[0].extents()[3]);
        let mut points = absolute(&self.reference(shapes, inputs)[0]);
        if *self == Self::Dark {
            for (map, point) in inputs[0].chunks_exact(height * width).zip(points.chunks_exact_mut(3)) {
                // Nothing was found where the largest value is not above 0.
                if let Some(place) = map.iter().position(|value| *value == point[2] && point[2] > 0.0) {
                    let step = dark_step_magnitude(map, width, [place % width, place / width]);
                    point[0] = (place % width) as f64 + step[0];
                    point[1] = (place / width) as f64 + step[1];
                }
            }
        }
        vec![points]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        let smoothing = match self {
            Self::Quarter => 0,
            Self::Dark => {
                outputs[0].elements() / 3 * (WINDOW * WINDOW) as usize * 2 * ((2 * REACH + 1).pow(2)) as usize
            }
        };
        Cost::new((inputs[0].elements() + smoothing) as f64, inputs, outputs)
    }
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

/// Deviation of the Gaussian that smooths the maps, in pixels.
const SIGMA: f64 = 2.0;

/// Pixels that the Gaussian reaches on either side.
const REACH: isize = 5;

/// Smoothed values needed around a place, on each axis.
const WINDOW: isize = 5;

/// Newton's step on the log of the smoothed map. Derivatives are central differences, second ones over two pixels.
fn dark_step(map: &[f64], width: usize, [x, y]: [usize; 2]) -> [f64; 2] {
    let height = map.len() / width;
    if !(1 < x && x + 2 < width && 1 < y && y + 2 < height) {
        return [0.0; 2];
    }
    let log = |dx: isize, dy: isize| smoothed(map, width, x as isize + dx, y as isize + dy).max(1e-10).ln();
    let gradient = [0.5 * (log(1, 0) - log(-1, 0)), 0.5 * (log(0, 1) - log(0, -1))];
    let xx = 0.25 * (log(2, 0) - 2.0 * log(0, 0) + log(-2, 0));
    let yy = 0.25 * (log(0, 2) - 2.0 * log(0, 0) + log(0, -2));
    let xy = 0.25 * (log(1, 1) - log(-1, 1) - log(1, -1) + log(-1, -1));
    let determinant = xx * yy - xy * xy;
    if determinant == 0.0 {
        return [0.0; 2];
    }
    [(xy * gradient[1] - yy * gradient[0]) / determinant, (xy * gradient[0] - xx * gradient[1]) / determinant]
}

/// The sums of the absolute terms of [`dark_step`]: what the rounding of the logarithms does to gradient and Hessian, and
/// these to the step.
fn dark_step_magnitude(map: &[f64], width: usize, [x, y]: [usize; 2]) -> [f64; 2] {
    let height = map.len() / width;
    if !(1 < x && x + 2 < width && 1 < y && y + 2 < height) {
        return [0.0; 2];
    }
    let step = dark_step(map, width, [x, y]);
    let absolute_map = absolute(map);
    // The smoothed value and the magnitude of its logarithm.
    let log = |dx: isize, dy: isize| {
        let (x, y) = (x as isize + dx, y as isize + dy);
        let value = smoothed(map, width, x, y).max(1e-10);
        (value.ln(), smoothed(&absolute_map, width, x, y) / value + value.ln().abs())
    };
    let difference = |terms: &[(f64, isize, isize)]| {
        let logs = terms.iter().map(|&(factor, dx, dy)| (factor, log(dx, dy)));
        logs.fold((0.0, 0.0), |sum, (factor, (log, magnitude))| {
            (sum.0 + factor * log, sum.1 + f64::abs(factor) * magnitude)
        })
    };
    let along = [difference(&[(0.5, 1, 0), (-0.5, -1, 0)]), difference(&[(0.5, 0, 1), (-0.5, 0, -1)])];
    let xx = difference(&[(0.25, 2, 0), (-0.5, 0, 0), (0.25, -2, 0)]);
    let yy = difference(&[(0.25, 0, 2), (-0.5, 0, 0), (0.25, 0, -2)]);
    let xy = difference(&[(0.25, 1, 1), (-0.25, -1, 1), (-0.25, 1, -1), (0.25, -1, -1)]);
    let determinant = xx.0 * yy.0 - xy.0 * xy.0;
    if determinant == 0.0 {
        return [0.0; 2];
    }
    // H step = -gradient: an error of either side goes through the inverse of H.
    let residue = [
        along[0].1 + xx.1 * step[0].abs() + xy.1 * step[1].abs(),
        along[1].1 + xy.1 * step[0].abs() + yy.1 * step[1].abs(),
    ];
    let products = ((xx.0 * yy.0).abs() + xy.0 * xy.0) / determinant.abs();
    let through = |diagonal: f64, own: usize| {
        let other = 1 - own;
        let inverse = [diagonal.abs(), xy.0.abs()].map(|entry| entry / determinant.abs());
        inverse[0] * residue[own] + inverse[1] * residue[other] + products * step[own].abs()
    };
    [through(yy.0, 0), through(xx.0, 1)]
}

/// The map convolved with a Gaussian of sum 1, at one pixel.
fn smoothed(map: &[f64], width: usize, x: isize, y: isize) -> f64 {
    let (width, height) = (width as isize, map.len() as isize / width as isize);
    let weight = |d: isize| (-((d * d) as f64) / (2.0 * SIGMA * SIGMA)).exp();
    let total: f64 = (-REACH..=REACH).map(weight).sum();
    let mut sum = 0.0;
    for dy in -REACH..=REACH {
        for dx in -REACH..=REACH {
            if (0..width).contains(&(x + dx)) && (0..height).contains(&(y + dy)) {
                sum += weight(dx) * weight(dy) * map[((y + dy) * width + x + dx) as usize];
            }
        }
    }
    sum / (total * total)
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::{Distinct, Given, Uniform};
    vec![
        OperatorCase::new(Decode::Quarter, &[[3, 5, 9, 7]]).fill(0, Distinct),
        OperatorCase::new(Decode::Quarter, &[[2, 3, 64, 48]]),
        OperatorCase::new(Decode::Quarter, &[[1, 1, 1, 1]]),
        OperatorCase::new(Decode::Quarter, &[[2, 2, 4, 4]]).fill(0, Uniform(-1.0, -0.5)),
        OperatorCase::new(Decode::Dark, &[[3, 5, 21, 17]]).fill(0, Given(hills([3, 5, 21, 17]))),
        OperatorCase::new(Decode::Dark, &[[2, 16, 64, 48]]).fill(0, Given(hills([2, 16, 64, 48]))),
        OperatorCase::new(Decode::Dark, &[[1, 1, 1, 1]]),
        OperatorCase::new(Decode::Dark, &[[2, 2, 4, 4]]).fill(0, Uniform(-1.0, -0.5)),
    ]
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
