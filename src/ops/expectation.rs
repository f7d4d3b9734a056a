//! Softmax over each map, and the place that it expects: "soft arg-max", the head of integral pose regression (Sun et al.,
//! ECCV 2018).

use crate::ir::Argument::{self, Input, Output};
use crate::ir::{
    Case, Cost, Dispatch, Graph, Kernel, Node, Operator, Shape, ShapeError, ValueId, Variant, absolute, take,
};

use super::OperatorCase;
use super::shaders::kernels;

kernels! { "expectation":
    FORWARD, "forward", "points = the means of x and y over the softmax of each map, scaled and shifted";
    FORWARD_VEC4, "forward_vec4", "points = the means of x and y over the softmax of each map, scaled and shifted, by vec4";
    BACKWARD, "backward", "dmaps = softmax(map) (dx (x / W - 1/2 - ex) + dy (y / H - 1/2 - ey))";
    BACKWARD_VEC4, "backward_vec4", "dmaps = softmax(map) (dx (x / W - 1/2 - ex) + dy (y / H - 1/2 - ey)), as vec4";
    SOFTMAX, "softmax", "y = factor * softmax over each map";
    SOFTMAX_VEC4, "softmax_vec4", "y = factor * softmax over each map, as vec4";
    SOFTMAX_BACKWARD, "softmax_backward", "dx = y (dy - sum over the map of dy y / factor)";
    SOFTMAX_BACKWARD_VEC4, "softmax_backward_vec4", "dx = y (dy - sum over the map of dy y / factor), as vec4";
}

/// maps `[N, J, H, W]` -> coordinates `[N, J, 2]`: (sum of p x / W - 1/2, sum of p y / H - 1/2), p the softmax over the map
/// and x, y the whole numbers of column and row.
///
/// The middle of the map, ((W - 1) / 2, (H - 1) / 2), has the coordinates (-1 / (2 W), -1 / (2 H)): there is no half pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expectation;

/// (dcoordinates `[N, J, 2]`, maps `[N, J, H, W]`, coordinates `[N, J, 2]`) -> dmaps `[N, J, H, W]` of [`Expectation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectationGradient;

/// x `[N, J, H, W]` -> y `[N, J, H, W]`: each map's softmax times a factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpatialSoftmax {
    /// What a map of y adds up to, more than 0.
    pub factor: f32,
}

/// (dy, y `[N, J, H, W]`) -> dx `[N, J, H, W]` of [`SpatialSoftmax`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpatialSoftmaxGradient {
    /// As of the [`SpatialSoftmax`].
    pub factor: f32,
}

/// N, J, H and W of maps that have pixels.
fn extents(operator: &'static str, maps: &Shape) -> Result<[usize; 4], ShapeError> {
    let [samples, joints, height, width] = maps.nchw(operator)?;
    ShapeError::unless(height * width > 0, operator, || format!("maps {maps} have no pixels"))?;
    Ok([samples, joints, height, width])
}

/// `vec4` where its kernel takes four elements at a time, then `plain`.
fn variants(
    maps: usize,
    [plain, vec4]: [&'static Kernel; 2],
    takes_vec4: bool,
    constants: &[(&'static str, f64)],
    bindings: &[Argument],
) -> Vec<Variant> {
    let variant = |name, kernel| {
        Variant::new(name, vec![Dispatch::per_workgroup(kernel, maps, constants.to_vec(), bindings.to_vec())])
    };
    let mut variants = vec![variant("plain", plain)];
    if takes_vec4 {
        variants.insert(0, variant("vec4", vec4));
    }
    variants
}

/// How a kernel writes the mean place (x, y) of a map.
pub(super) struct Place {
    /// What x and y are multiplied by.
    pub(super) scale: [f64; 2],
    /// What is then added to both.
    pub(super) offset: f64,
    /// Numbers of a point: 2, or 3, of which the last is 1.
    pub(super) numbers: usize,
}

/// The ways to compute the mean places of input 0 into output 0.
pub(super) fn forward_variants(maps: &Shape, place: &Place) -> Vec<Variant> {
    let extents = maps.extents();
    let count = extents[0] * extents[1];
    let constants = [
        ("MAPS", count as f64),
        ("HEIGHT", extents[2] as f64),
        ("WIDTH", extents[3] as f64),
        ("SCALE_X", place.scale[0]),
        ("SCALE_Y", place.scale[1]),
        ("OFFSET", place.offset),
        ("NUMBERS", place.numbers as f64),
    ];
    variants(count, [&FORWARD, &FORWARD_VEC4], extents[3].is_multiple_of(4), &constants, &[Input(0), Output(0)])
}

/// Softmax over a map.
fn softmax(map: &[f64]) -> Vec<f64> {
    let largest = map.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = map.iter().map(|m| (m - largest).exp()).sum();
    map.iter().map(|m| (m - largest).exp() / sum).collect()
}

/// For each pixel, what rounding does to its share of [`softmax`], relative to the share: that of the quotient, of its own
/// exponent, and of the exponents in the sum.
fn softmax_rounding(map: &[f64], shares: &[f64]) -> Vec<f64> {
    let largest = map.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let of_sum: f64 = map.iter().zip(shares).map(|(m, share)| share * (largest - m)).sum();
    map.iter().map(|m| 1.0 + (largest - m) + of_sum).collect()
}

/// The mean of (x, y) over the softmax of a map.
pub(super) fn mean_place(map: &[f64], width: usize) -> [f64; 2] {
    let mut mean = [0.0; 2];
    for (pixel, share) in softmax(map).into_iter().enumerate() {
        mean[0] += share * (pixel % width) as f64;
        mean[1] += share * (pixel / width) as f64;
    }
    mean
}

/// The sums of the absolute terms of [`mean_place`], and what the rounding of the exponents does to the means.
pub(super) fn mean_place_magnitude(map: &[f64], width: usize) -> [f64; 2] {
    let mean = mean_place(map, width);
    let largest = map.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut magnitude = mean;
    for (pixel, (share, m)) in softmax(map).into_iter().zip(map).enumerate() {
        // A share that is off moves the mean from its own place.
        let off = share * (largest - m);
        magnitude[0] += off * ((pixel % width) as f64 - mean[0]).abs();
        magnitude[1] += off * ((pixel / width) as f64 - mean[1]).abs();
    }
    magnitude
}

impl Operator for Expectation {
    fn name(&self) -> &'static str {
        "expectation"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [maps] = take(self.name(), inputs)?;
        let [samples, joints, ..] = extents(self.name(), maps)?;
        Ok(vec![[samples, joints, 2].into()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dcoordinates) = output_gradients[0] else { return Ok(vec![None]) };
        let dmaps = graph.apply_one(ExpectationGradient, &[dcoordinates, node.inputs[0], node.outputs[0]])?;
        Ok(vec![Some(dmaps)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let maps = case.inputs[0];
        let [height, width] = [2, 3].map(|axis| maps.extents()[axis] as f64);
        forward_variants(maps, &Place { scale: [1.0 / width, 1.0 / height], offset: -0.5, numbers: 2 })
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (height, width) = (shapes[0].extents()[2], shapes[0].extents()[3]);
        let maps = inputs[0].chunks_exact(height * width);
        let coordinates = maps.flat_map(|map| {
            let [x, y] = mean_place(map, width);
            [x / width as f64 - 0.5, y / height as f64 - 0.5]
        });
        vec![coordinates.collect()]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (height, width) = (shapes[0].extents()[2], shapes[0].extents()[3]);
        let maps = inputs[0].chunks_exact(height * width);
        let coordinates = maps.flat_map(|map| {
            let [x, y] = mean_place_magnitude(map, width);
            [x / width as f64 + 0.5, y / height as f64 + 0.5]
        });
        vec![coordinates.collect()]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        // The largest, the exponential, and three sums.
        Cost::new(8.0 * inputs[0].elements() as f64, inputs, outputs)
    }
}

impl ExpectationGradient {
    /// dmaps, where a map's element is `of_pixel` of its slope (dx, dy), its place in units of the map less 1/2, and the
    /// expectation, times what `shares` makes of the map.
    fn maps(
        shapes: &[&Shape],
        inputs: &[&[f64]],
        shares: impl Fn(&[f64]) -> Vec<f64>,
        of_pixel: impl Fn([f64; 2], [f64; 2], [f64; 2]) -> f64,
    ) -> Vec<f64> {
        let (height, width) = (shapes[1].extents()[2], shapes[1].extents()[3]);
        let mut dmaps = Vec::with_capacity(inputs[1].len());
        for (number, map) in inputs[1].chunks_exact(height * width).enumerate() {
            let [slope, mean] = [inputs[0], inputs[2]].map(|points| [points[2 * number], points[2 * number + 1]]);
            for (pixel, share) in shares(map).into_iter().enumerate() {
                let place = [(pixel % width) as f64 / width as f64, (pixel / width) as f64 / height as f64];
                dmaps.push(share * of_pixel(slope, place, mean));
            }
        }
        dmaps
    }
}

impl Operator for ExpectationGradient {
    fn name(&self) -> &'static str {
        "expectation_backward"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dcoordinates, maps, coordinates] = take(self.name(), inputs)?;
        let [samples, joints, ..] = extents(self.name(), maps)?;
        for points in [dcoordinates, coordinates] {
            ShapeError::unless(points.extents() == [samples, joints, 2], self.name(), || {
                format!("{points} is not [{samples}, {joints}, 2], one point for each map of {maps}")
            })?;
        }
        Ok(vec![maps.clone()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let extents = case.inputs[1].extents();
        let maps = extents[0] * extents[1];
        let constants = [("MAPS", maps as f64), ("HEIGHT", extents[2] as f64), ("WIDTH", extents[3] as f64)];
        let bindings = [Input(0), Input(1), Input(2), Output(0)];
        variants(maps, [&BACKWARD, &BACKWARD_VEC4], extents[3].is_multiple_of(4), &constants, &bindings)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let along = |slope: [f64; 2], place: [f64; 2], mean: [f64; 2]| {
            slope[0] * (place[0] - 0.5 - mean[0]) + slope[1] * (place[1] - 0.5 - mean[1])
        };
        vec![Self::maps(shapes, inputs, softmax, along)]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let shares = |map: &[f64]| {
            let shares = softmax(map);
            softmax_rounding(map, &shares).iter().zip(&shares).map(|(rounding, share)| rounding * share).collect()
        };
        let along = |slope: [f64; 2], place: [f64; 2], mean: [f64; 2]| {
            let term = |axis: usize| slope[axis].abs() * (place[axis] + 0.5 + mean[axis].abs());
            term(0) + term(1)
        };
        vec![Self::maps(shapes, inputs, shares, along)]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(12.0 * inputs[1].elements() as f64, inputs, outputs)
    }
}

fn softmax_variants(maps: &Shape, kernels: [&'static Kernel; 2], factor: f32, bindings: &[Argument]) -> Vec<Variant> {
    let extents = maps.extents();
    let (count, pixels) = (extents[0] * extents[1], extents[2] * extents[3]);
    let constants = [("MAPS", count as f64), ("PIXELS", pixels as f64), ("FACTOR", f64::from(factor))];
    variants(count, kernels, pixels.is_multiple_of(4), &constants, bindings)
}

fn check_factor(operator: &'static str, factor: f32) -> Result<(), ShapeError> {
    ShapeError::unless(factor > 0.0, operator, || format!("the factor {factor} is not more than 0"))
}

impl Operator for SpatialSoftmax {
    fn name(&self) -> &'static str {
        "expectation_softmax"
    }

    fn attributes(&self) -> String {
        format!("factor={}", self.factor)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(self.name(), inputs)?;
        extents(self.name(), x)?;
        check_factor(self.name(), self.factor)?;
        Ok(vec![x.clone()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None]) };
        let dx = graph.apply_one(SpatialSoftmaxGradient { factor: self.factor }, &[dy, node.outputs[0]])?;
        Ok(vec![Some(dx)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        softmax_variants(case.inputs[0], [&SOFTMAX, &SOFTMAX_VEC4], self.factor, &[Input(0), Output(0)])
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let pixels: usize = shapes[0].extents()[2..].iter().product();
        let factor = f64::from(self.factor);
        let maps = inputs[0].chunks_exact(pixels).flat_map(softmax);
        vec![maps.map(|share| factor * share).collect()]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let pixels: usize = shapes[0].extents()[2..].iter().product();
        let factor = f64::from(self.factor);
        let maps = inputs[0].chunks_exact(pixels).flat_map(|map| {
            let shares = softmax(map);
            let rounding = softmax_rounding(map, &shares);
            shares.into_iter().zip(rounding).map(|(share, rounding)| share * rounding)
        });
        vec![maps.map(|magnitude| factor * magnitude).collect()]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(5.0 * inputs[0].elements() as f64, inputs, outputs)
    }
}

impl Operator for SpatialSoftmaxGradient {
    fn name(&self) -> &'static str {
        "expectation_softmax_backward"
    }

    fn attributes(&self) -> String {
        format!("factor={}", self.factor)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy, y] = take(self.name(), inputs)?;
        extents(self.name(), y)?;
        check_factor(self.name(), self.factor)?;
        ShapeError::unless(dy == y, self.name(), || format!("gradient {dy} does not match output {y}"))?;
        Ok(vec![y.clone()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let kernels = [&SOFTMAX_BACKWARD, &SOFTMAX_BACKWARD_VEC4];
        softmax_variants(case.inputs[0], kernels, self.factor, &[Input(0), Input(1), Output(0)])
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let pixels: usize = shapes[0].extents()[2..].iter().product();
        let maps = inputs[0].chunks_exact(pixels).zip(inputs[1].chunks_exact(pixels));
        let of_map = |(dy, y): (&[f64], &[f64])| -> Vec<f64> {
            let sum: f64 = dy.iter().zip(y).map(|(dy, y)| dy * y).sum();
            let mean = sum / f64::from(self.factor);
            dy.iter().zip(y).map(|(dy, y)| y * (dy - mean)).collect()
        };
        vec![maps.flat_map(of_map).collect()]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let pixels: usize = shapes[0].extents()[2..].iter().product();
        let [dy, y] = [inputs[0], inputs[1]].map(absolute);
        let maps = dy.chunks_exact(pixels).zip(y.chunks_exact(pixels));
        let of_map = |(dy, y): (&[f64], &[f64])| -> Vec<f64> {
            let sum: f64 = dy.iter().zip(y).map(|(dy, y)| dy * y).sum();
            let mean = sum / f64::from(self.factor);
            dy.iter().zip(y).map(|(dy, y)| y * (dy + mean)).collect()
        };
        vec![maps.flat_map(of_map).collect()]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(4.0 * inputs[0].elements() as f64, inputs, outputs)
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::Uniform;
    let maps = |shape: [usize; 4]| OperatorCase::new(Expectation, &[shape]).fill(0, Uniform(-3.0, 3.0));
    let backward = |[n, j, h, w]: [usize; 4]| {
        let shapes: [Shape; 3] = [[n, j, 2].into(), [n, j, h, w].into(), [n, j, 2].into()];
        OperatorCase::new(ExpectationGradient, &shapes).fill(1, Uniform(-3.0, 3.0)).fill(2, Uniform(-0.5, 0.5))
    };
    let softmax =
        |factor, shape: [usize; 4]| OperatorCase::new(SpatialSoftmax { factor }, &[shape]).fill(0, Uniform(-3.0, 3.0));
    let softmax_backward = |factor: f32, shape: [usize; 4]| {
        OperatorCase::new(SpatialSoftmaxGradient { factor }, &[shape; 2]).fill(1, Uniform(0.0, factor))
    };
    vec![
        maps([2, 3, 5, 7]).differentiate(&[0]),
        maps([1, 2, 3, 8]).differentiate(&[0]),
        maps([1, 1, 1, 1]),
        maps([2, 17, 64, 48]),
        // Exponentials of these overflow or vanish without the map's maximum.
        maps([2, 2, 9, 12]).fill(0, Uniform(-300.0, 300.0)),
        backward([2, 3, 5, 7]),
        backward([1, 1, 1, 1]),
        backward([2, 17, 64, 48]),
        backward([2, 2, 9, 12]).fill(0, Uniform(-0.25, 0.25)).fill(1, Uniform(-300.0, 300.0)),
        softmax(4.0, [2, 3, 5, 7]).differentiate(&[0]),
        softmax(2.5, [1, 2, 3, 8]).differentiate(&[0]),
        softmax(1.0, [1, 1, 1, 1]),
        softmax(255.0, [2, 17, 64, 48]),
        softmax(1.0, [2, 2, 9, 12]).fill(0, Uniform(-300.0, 300.0)),
        softmax_backward(4.0, [2, 3, 5, 7]),
        softmax_backward(1.0, [1, 1, 1, 1]),
        softmax_backward(255.0, [2, 17, 64, 48]),
    ]
}
