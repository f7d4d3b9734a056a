//! Batch normalisation with an optional residual and ReLU behind it, its gradients, and the running statistics.
//!
//! y = \[relu\] (gamma (x - mean) / sqrt(variance + eps) + beta \[+ residual\]), per channel of `[N, C, H, W]`
//! (Ioffe and Szegedy 2015). In training mean and biased variance are those of the batch; at inference they are the
//! running ones. [`BatchNorm`] and [`BatchNormInference`] are the forward pass, [`BatchNormWithStatistics`] that of training
//! where another node has computed the statistics, [`BatchNormGradient`] the backward pass, [`RunningStatistics`] the update
//! of the running mean and the (unbiased) running variance, [`FlatRunningStatistics`] that of many layers at once.
//! [`BatchStatistics`], [`BatchNormGradientSums`] and [`BatchNormGradientOfSums`] are the parts between which ranks exchange
//! what they have, where the statistics are those of all ranks.
//! [`FoldBatchNorm`] puts a normalisation with running statistics into the weights of the convolution before it.

mod fold;
pub(super) mod kernels;
pub(super) mod reference;
pub(super) mod running;
mod synchronised;
mod with_statistics;

pub use fold::FoldBatchNorm;
pub use kernels::kernels;
pub use running::{FlatRunningStatistics, RunningStatistics};
pub use synchronised::{BatchNormGradientOfSums, BatchNormGradientSums, BatchStatistics};
pub use with_statistics::BatchNormWithStatistics;

use super::{Epilogue, Fill, OperatorCase};
use crate::ir::Argument::{Input, Output, Scratch};
use crate::ir::{Case, Cost, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, absolute, take};

const NAME: &str = "batch_norm";

/// (x `[N, C, H, W]`, gamma `[C]`, beta `[C]`\[, residual `[N, C, H, W]`\]) -> (y `[N, C, H, W]`, mean `[C]`, biased variance
/// `[C]`), with the statistics of the batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f32,
    /// What follows.
    pub epilogue: Epilogue,
}

/// (x `[N, C, H, W]`, gamma `[C]`, beta `[C]`, running_mean `[C]`, running_var `[C]`\[, residual `[N, C, H, W]`\]) -> y
/// `[N, C, H, W]`, with the running statistics. Not differentiated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormInference {
    /// Added to the variance.
    pub eps: f32,
    /// What follows.
    pub epilogue: Epilogue,
}

/// (dy, x `[N, C, H, W]`, gamma, mean, variance `[C]`\[, y `[N, C, H, W]` with ReLU\]) -> (dx `[N, C, H, W]`, dgamma,
/// dbeta `[C]`\[, dresidual `[N, C, H, W]` with a residual\]).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormGradient {
    /// Added to the variance.
    pub eps: f32,
    /// What followed in the forward pass.
    pub epilogue: Epilogue,
}

fn check_channels(x: &Shape, vectors: &[&Shape], planes: &[&Shape]) -> Result<[usize; 4], ShapeError> {
    let [n, c, h, w] = x.nchw(NAME)?;
    for vector in vectors {
        ShapeError::unless(vector.extents() == [c], NAME, || format!("{vector} is not [{c}], the channels of {x}"))?;
    }
    for plane in planes {
        ShapeError::unless(*plane == x, NAME, || format!("{plane} does not match {x}"))?;
    }
    Ok([n, c, h, w])
}

impl Operator for BatchNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn attributes(&self) -> String {
        format!("eps={:e}{}", self.eps, self.epilogue.attributes())
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let (x, gamma, beta, residual) = if self.epilogue.residual {
            let [x, gamma, beta, residual] = take(NAME, inputs)?;
            (x, gamma, beta, residual)
        } else {
            let [x, gamma, beta] = take(NAME, inputs)?;
            (x, gamma, beta, x)
        };
        let [_, c, _, _] = check_channels(x, &[gamma, beta], &[residual])?;
        Ok(vec![x.clone(), [c].into(), [c].into()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        if output_gradients[1].is_some() || output_gradients[2].is_some() {
            return Err(ShapeError::new(NAME, "the batch statistics are not differentiated by themselves"));
        }
        let Some(dy) = output_gradients[0] else { return Ok(vec![None; node.inputs.len()]) };
        let mut inputs = vec![dy, node.inputs[0], node.inputs[1], node.outputs[1], node.outputs[2]];
        if self.epilogue.relu {
            inputs.push(node.outputs[0]);
        }
        let gradients = graph.apply(BatchNormGradient { eps: self.eps, epilogue: self.epilogue }, &inputs)?;
        Ok(gradients.into_iter().map(Some).collect())
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let residual = if self.epilogue.residual { Input(3) } else { Input(0) };
        kernels::by_width(case.inputs[0], case.capabilities, |plane| {
            let (mut dispatches, scratch) =
                plane.statistics(Input(0), [Output(1), Output(2)], [Scratch(0), Scratch(1)]);
            let bindings = vec![Input(0), Input(1), Input(2), Output(1), Output(2), residual, Output(0)];
            dispatches.push(plane.normalise(self.eps, self.epilogue, bindings));
            (dispatches, scratch)
        })
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (mean, variance) = reference::statistics(shapes[0], inputs[0]);
        let y = reference::normalise(shapes[0], inputs[0], [inputs[1], inputs[2], &mean, &variance], self.eps);
        vec![self.epilogue.reference(y, inputs.get(3).copied()), mean, variance]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let absolute_x = absolute(inputs[0]);
        let [mean, variance] = reference::statistics_magnitudes(shapes[0], inputs[0], &absolute_x);
        let y =
            reference::normalise_magnitudes(shapes[0], inputs[0], [inputs[1], inputs[2], &mean, &variance], self.eps);
        let residual = inputs.get(3).map(|residual| absolute(residual));
        vec![self.epilogue.reference(y, residual.as_deref()), mean, variance]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        // Three operations for the statistics, two to normalise, one each for what follows.
        Cost::new((5.0 + self.epilogue.operations()) * inputs[0].elements() as f64, inputs, outputs)
    }
}

impl Operator for BatchNormInference {
    fn name(&self) -> &'static str {
        "batch_norm_inference"
    }

    fn attributes(&self) -> String {
        format!("eps={:e}{}", self.eps, self.epilogue.attributes())
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        if self.epilogue.residual {
            let [x, gamma, beta, mean, variance, residual] = take(self.name(), inputs)?;
            check_channels(x, &[gamma, beta, mean, variance], &[residual])?;
            Ok(vec![x.clone()])
        } else {
            let [x, gamma, beta, mean, variance] = take(self.name(), inputs)?;
            check_channels(x, &[gamma, beta, mean, variance], &[])?;
            Ok(vec![x.clone()])
        }
    }

    fn gradient(&self, _: &mut Graph, _: &Node, _: &[Option<ValueId>]) -> Result<Vec<Option<ValueId>>, ShapeError> {
        Err(ShapeError::new(self.name(), "inference is not differentiated; build the network for training"))
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let residual = if self.epilogue.residual { Input(5) } else { Input(0) };
        kernels::by_width(case.inputs[0], case.capabilities, |plane| {
            let bindings = vec![Input(0), Input(1), Input(2), Input(3), Input(4), residual, Output(0)];
            (vec![plane.normalise(self.eps, self.epilogue, bindings)], Vec::new())
        })
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let y = reference::normalise(shapes[0], inputs[0], [inputs[1], inputs[2], inputs[3], inputs[4]], self.eps);
        vec![self.epilogue.reference(y, inputs.get(5).copied())]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let [x, gamma, beta, mean] = [0, 1, 2, 3].map(|number| absolute(inputs[number]));
        // With a mean below zero the terms add up.
        let mean: Vec<f64> = mean.iter().map(|mean| -mean).collect();
        let y = reference::normalise(shapes[0], &x, [&gamma, &beta, &mean, inputs[4]], self.eps);
        let residual = inputs.get(5).map(|residual| absolute(residual));
        vec![self.epilogue.reference(y, residual.as_deref())]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new((2.0 + self.epilogue.operations()) * inputs[0].elements() as f64, inputs, outputs)
    }
}

impl Operator for BatchNormGradient {
    fn name(&self) -> &'static str {
        "batch_norm_backward"
    }

    fn attributes(&self) -> String {
        format!("eps={:e}{}", self.eps, self.epilogue.attributes())
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let (dy, x, gamma, mean, variance, y) = if self.epilogue.relu {
            let [dy, x, gamma, mean, variance, y] = take(self.name(), inputs)?;
            (dy, x, gamma, mean, variance, y)
        } else {
            let [dy, x, gamma, mean, variance] = take(self.name(), inputs)?;
            (dy, x, gamma, mean, variance, x)
        };
        let [_, c, _, _] = check_channels(x, &[gamma, mean, variance], &[dy, y])?;
        let mut outputs = vec![x.clone(), [c].into(), [c].into()];
        if self.epilogue.residual {
            outputs.push(x.clone());
        }
        Ok(outputs)
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        kernels::backward(case.inputs[1], case.capabilities, self.eps, self.epilogue)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let y = self.epilogue.relu.then(|| inputs[5]);
        let [dy, x, gamma, mean, variance] = [inputs[0], inputs[1], inputs[2], inputs[3], inputs[4]];
        let mut outputs = reference::gradient(shapes[1], dy, x, gamma, mean, variance, y, self.eps);
        outputs.truncate(if self.epilogue.residual { 4 } else { 3 });
        outputs
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let y = self.epilogue.relu.then(|| inputs[5]);
        let [dy, x, gamma, mean, variance] = [inputs[0], inputs[1], inputs[2], inputs[3], inputs[4]];
        let mut outputs = reference::gradient_magnitudes(shapes[1], dy, x, gamma, mean, variance, y, self.eps);
        outputs.truncate(if self.epilogue.residual { 4 } else { 3 });
        outputs
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        // Four operations for the sums, six for the input's gradient.
        Cost::new(10.0 * inputs[1].elements() as f64, inputs, outputs)
    }
}

/// The cases of this folder's operators.
pub fn cases() -> Vec<OperatorCase> {
    let all = [(false, false), (false, true), (true, false), (true, true)];
    let epilogues = all.map(|(residual, relu)| Epilogue { residual, relu });
    let eps = 1e-5;
    let mut cases = Vec::new();
    for epilogue in epilogues {
        for x in [[2, 3, 5, 7], [3, 2, 4, 6], [2, 2, 4, 8]] {
            let c = x[1];
            let mut shapes: Vec<Shape> = vec![x.into(), [c].into(), [c].into()];
            let mut wanted = vec![0, 1, 2];
            if epilogue.residual {
                shapes.push(x.into());
                wanted.push(3);
            }
            // With ReLU the kink is kept away by a beta that pushes every element of a channel well to one side.
            let beta = if epilogue.relu {
                Fill::Given((0..c).map(|k| [6.0, -6.0, 5.0][k]).collect())
            } else {
                Fill::Uniform(-1.0, 1.0)
            };
            cases.push(
                OperatorCase::new(BatchNorm { eps, epilogue }, &shapes)
                    .fill(1, Fill::Uniform(0.5, 1.0))
                    .fill(2, beta)
                    .differentiate(&wanted)
                    .differentiate_outputs(1),
            );
            let vector = Shape::from([c]);
            let mut shapes: Vec<Shape> = vec![x.into(), vector.clone(), vector.clone(), vector.clone(), vector.clone()];
            if epilogue.residual {
                shapes.push(x.into());
            }
            cases.push(
                OperatorCase::new(BatchNormInference { eps, epilogue }, &shapes).fill(4, Fill::Uniform(0.5, 1.5)),
            );
            let mut shapes: Vec<Shape> = vec![x.into(), x.into(), vector.clone(), vector.clone(), vector];
            if epilogue.relu {
                shapes.push(x.into());
            }
            cases
                .push(OperatorCase::new(BatchNormGradient { eps, epilogue }, &shapes).fill(4, Fill::Uniform(0.5, 1.5)));
        }
    }
    // More elements a channel than one split of the reduction holds; positive, so that the mean is not itself rounding.
    for x in [[2, 2, 99, 101], [3, 2, 96, 100]] {
        let shapes: [Shape; 3] = [x.into(), [2].into(), [2].into()];
        cases.push(
            OperatorCase::new(BatchNorm { eps, epilogue: Epilogue::NONE }, &shapes).fill(0, Fill::Uniform(0.0, 1.0)),
        );
        let vector = Shape::from([2]);
        for epilogue in epilogues {
            let mut shapes = vec![x.into(), x.into(), vector.clone(), vector.clone(), vector.clone()];
            shapes.extend(epilogue.relu.then(|| x.into()));
            let case = OperatorCase::new(BatchNormGradient { eps, epilogue }, &shapes);
            cases.push(case.fill(0, Fill::Uniform(0.0, 1.0)).fill(4, Fill::Uniform(0.5, 1.5)));
        }
    }
    cases.extend(synchronised::cases());
    cases.extend(with_statistics::cases());
    cases.extend(running::cases());
    cases.extend(fold::cases());
    cases
}
