//! Batch normalisation by the statistics of all ranks, in the parts between which these exchange what they have.

use super::kernels::{Planes, SPLIT_SIZE, SplitSums, UNWRITTEN, by_width, optional};
use super::{check_channels, reference};
use crate::ir::Argument::{Input, Output, Scratch};
use crate::ir::{Case, Cost, Operator, Shape, ShapeError, Variant, absolute, take};
use crate::ops::{Epilogue, Fill, OperatorCase};

/// x `[N, C, H, W]` -> (mean `[C]`, biased variance `[C]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchStatistics;

/// (dy, x `[N, C, H, W]`, gamma, mean, variance `[C]`\[, y `[N, C, H, W]` with ReLU\]) -> sums `[C, splits, 5]`: of each split
/// of a channel its parts of dgamma and dbeta, and the channel's gamma, mean and 1 / sqrt(variance + eps).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormGradientSums {
    /// Added to the variance.
    pub eps: f32,
    /// Whether ReLU followed in the forward pass.
    pub relu: bool,
}

/// (dy, x `[N, C, H, W]`, sums of [`BatchNormGradientSums`]\[, y `[N, C, H, W]` with ReLU\]) -> (dx `[N, C, H, W]`, dgamma,
/// dbeta `[C]`\[, dresidual `[N, C, H, W]` with a residual\]), as [`BatchNormGradient`](super::BatchNormGradient). With the mean
/// of the ranks' sums dgamma and dbeta are the means of the ranks' too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchNormGradientOfSums {
    /// What followed in the forward pass.
    pub epilogue: Epilogue,
}

/// Words of the sums of a split.
const WORDS: usize = size_of::<SplitSums>() / 4;

/// Splits of each channel of x.
fn splits(x: &Shape) -> usize {
    let extents = x.extents();
    (extents[0] * extents[2] * extents[3]).div_ceil(SPLIT_SIZE)
}

impl Operator for BatchStatistics {
    fn name(&self) -> &'static str {
        "batch_norm_statistics"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(self.name(), inputs)?;
        let [_, c, _, _] = check_channels(x, &[], &[])?;
        Ok(vec![[c].into(), [c].into()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        by_width(case.inputs[0], case.capabilities, |planes| {
            planes.statistics(Input(0), [Output(0), Output(1)], [Scratch(0), Scratch(1)])
        })
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (mean, variance) = reference::statistics(shapes[0], inputs[0]);
        vec![mean, variance]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        reference::statistics_magnitudes(shapes[0], inputs[0], &absolute(inputs[0])).to_vec()
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(3.0 * inputs[0].elements() as f64, inputs, outputs)
    }
}

impl Operator for BatchNormGradientSums {
    fn name(&self) -> &'static str {
        "batch_norm_backward_sums"
    }

    fn attributes(&self) -> String {
        format!("eps={:e}{}", self.eps, if self.relu { " relu" } else { "" })
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let (dy, x, vectors, y) = if self.relu {
            let [dy, x, gamma, mean, variance, y] = take(self.name(), inputs)?;
            (dy, x, [gamma, mean, variance], y)
        } else {
            let [dy, x, gamma, mean, variance] = take(self.name(), inputs)?;
            (dy, x, [gamma, mean, variance], x)
        };
        let [_, c, _, _] = check_channels(x, &vectors, &[dy, y])?;
        Ok(vec![[c, splits(x), WORDS].into()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let epilogue = Epilogue { residual: false, relu: self.relu };
        let [y, _] = optional(epilogue, Input(5), Output(0));
        by_width(case.inputs[1], case.capabilities, |planes: &Planes| {
            (vec![planes.backward_sums(self.eps, epilogue, y, Output(0))], Vec::new())
        })
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let y = self.relu.then(|| inputs[5]);
        let [dy, x, gamma, mean, variance] = [inputs[0], inputs[1], inputs[2], inputs[3], inputs[4]];
        vec![reference::split_sums(shapes[1], dy, x, [gamma, mean, variance], y, self.eps, SPLIT_SIZE)]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let y = self.relu.then(|| inputs[5]);
        let [dy, x, gamma, mean] = [0, 1, 2, 3].map(|number| absolute(inputs[number]));
        // With a mean below zero the terms of the sums add up.
        let below: Vec<f64> = mean.iter().map(|mean| -mean).collect();
        let vectors: [&[f64]; 3] = [&gamma, &below, inputs[4]];
        let sums = reference::split_sums(shapes[1], &dy, &x, vectors, y, self.eps, SPLIT_SIZE);
        vec![absolute(&sums)]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(4.0 * inputs[1].elements() as f64, inputs, outputs)
    }
}

impl Operator for BatchNormGradientOfSums {
    fn name(&self) -> &'static str {
        "batch_norm_backward_of_sums"
    }

    fn attributes(&self) -> String {
        self.epilogue.attributes().trim_start().to_string()
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let (dy, x, sums, y) = if self.epilogue.relu {
            let [dy, x, sums, y] = take(self.name(), inputs)?;
            (dy, x, sums, y)
        } else {
            let [dy, x, sums] = take(self.name(), inputs)?;
            (dy, x, sums, x)
        };
        let [_, c, _, _] = check_channels(x, &[], &[dy, y])?;
        let wanted = Shape::from([c, splits(x), WORDS]);
        ShapeError::unless(*sums == wanted, self.name(), || format!("sums {sums} are not {wanted}, those of {x}"))?;
        let mut outputs = vec![x.clone(), [c].into(), [c].into()];
        outputs.extend(self.epilogue.residual.then(|| x.clone()));
        Ok(outputs)
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let [y, dresidual] = optional(self.epilogue, Input(3), Scratch(0));
        by_width(case.inputs[1], case.capabilities, |planes: &Planes| {
            (vec![planes.backward_of_sums(self.epilogue, y, Input(2), dresidual)], vec![UNWRITTEN])
        })
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let y = self.epilogue.relu.then(|| inputs[3]);
        let mut outputs =
            reference::gradient_of_sums(shapes[1], [inputs[0], inputs[1], inputs[2]], y, SPLIT_SIZE, -1.0);
        outputs.truncate(if self.epilogue.residual { 4 } else { 3 });
        outputs
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let y = self.epilogue.relu.then(|| inputs[3]);
        let [dy, x] = [absolute(inputs[0]), absolute(inputs[1])];
        // With a mean below zero all terms add up.
        let below = |(at, word): (usize, &f64)| if at % WORDS == 3 { -word.abs() } else { word.abs() };
        let sums: Vec<f64> = inputs[2].iter().enumerate().map(below).collect();
        let mut outputs = reference::gradient_of_sums(shapes[1], [&dy, &x, &sums], y, SPLIT_SIZE, 1.0);
        outputs.truncate(if self.epilogue.residual { 4 } else { 3 });
        outputs
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(6.0 * inputs[1].elements() as f64, inputs, outputs)
    }
}

pub(super) fn cases() -> Vec<OperatorCase> {
    let all = [(false, false), (false, true), (true, false), (true, true)];
    let mut cases = Vec::new();
    // Odd planes, planes of whole vec4, and more elements a channel than a split has.
    for x in [[2, 3, 5, 7], [3, 2, 4, 6], [3, 2, 96, 100]] {
        let shape = Shape::from(x);
        let positive =
            |case: OperatorCase, input| if x[2] > 90 { case.fill(input, Fill::Uniform(0.0, 1.0)) } else { case };
        cases.push(positive(OperatorCase::new(BatchStatistics, &[x]), 0));
        for (residual, relu) in all {
            let y = relu.then(|| shape.clone());
            if !residual {
                let vector = Shape::from([x[1]]);
                let mut shapes = vec![shape.clone(), shape.clone(), vector.clone(), vector.clone(), vector];
                shapes.extend(y.clone());
                let case = OperatorCase::new(BatchNormGradientSums { eps: 1e-5, relu }, &shapes);
                cases.push(positive(case, 0).fill(4, Fill::Uniform(0.5, 1.5)));
            }
            let mut shapes = vec![shape.clone(), shape.clone(), [x[1], splits(&shape), WORDS].into()];
            shapes.extend(y);
            let operator = BatchNormGradientOfSums { epilogue: Epilogue { residual, relu } };
            cases.push(OperatorCase::new(operator, &shapes));
        }
    }
    cases
}
