//! Batch normalisation at inference, put into the weights of the convolution before it.

use super::{kernels, reference};
use crate::ir::Argument::{Input, Output};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, absolute};
use crate::ops::{Fill, OperatorCase};

/// (weight `[O, C / groups, KH, KW]`, gamma, beta, running_mean, running_var `[O]`\[, bias `[O]`\]) -> (weight of the same
/// shape, bias `[O]`) of the convolution that gives what the given one gives behind that normalisation:
///
/// weight\[o\] gamma\[o\] / sqrt(running_var\[o\] + eps) and beta\[o\] + (bias\[o\] - running_mean\[o\]) gamma\[o\] /
/// sqrt(running_var\[o\] + eps).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoldBatchNorm {
    /// Added to the variance.
    pub eps: f32,
}

impl Operator for FoldBatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm_fold"
    }

    fn attributes(&self) -> String {
        format!("eps={:e}", self.eps)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        ShapeError::unless(matches!(inputs.len(), 5 | 6), self.name(), || {
            format!("takes 5 or 6 inputs, not {}", inputs.len())
        })?;
        let (weight, vectors) = (inputs[0], &inputs[1..]);
        let [outputs, _, _, _] = weight.nchw(self.name())?;
        for vector in vectors {
            ShapeError::unless(vector.extents() == [outputs], self.name(), || {
                format!("{vector} is not [{outputs}], the outputs of {weight}")
            })?;
        }
        Ok(vec![weight.clone(), [outputs].into()])
    }

    fn gradient(&self, _: &mut Graph, _: &Node, _: &[Option<ValueId>]) -> Result<Vec<Option<ValueId>>, ShapeError> {
        Err(ShapeError::new(self.name(), "inference is not differentiated; build the network for training"))
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let weight = case.inputs[0];
        let outputs = weight.extents()[0];
        let has_bias = case.inputs.len() == 6;
        let constants = vec![
            ("OUT_CHANNELS", outputs as f64),
            ("TAPS", (weight.elements() / outputs) as f64),
            ("EPS", f64::from(self.eps)),
            ("HAS_BIAS", f64::from(u8::from(has_bias))),
        ];
        let bias = if has_bias { Input(5) } else { Input(1) };
        let bindings = vec![Input(0), Input(1), Input(2), Input(3), Input(4), bias, Output(0), Output(1)];
        vec![Variant::new(
            "plain",
            vec![Dispatch::per_invocation(&kernels::FOLD, weight.elements(), constants, bindings)],
        )]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let statistics = [inputs[1], inputs[2], inputs[3], inputs[4]];
        reference::fold(inputs[0], statistics, inputs.get(5).copied(), self.eps).into()
    }

    fn magnitudes(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let [weight, gamma, beta, mean] = [0, 1, 2, 3].map(|number| absolute(inputs[number]));
        // With a mean below zero the terms of the bias add up.
        let mean: Vec<f64> = mean.iter().map(|mean| -mean).collect();
        let bias = inputs.get(5).map(|bias| absolute(bias));
        reference::fold(&weight, [&gamma, &beta, &mean, inputs[4]], bias.as_deref(), self.eps).into()
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(inputs[0].elements() as f64, inputs, outputs)
    }
}

pub(super) fn cases() -> Vec<OperatorCase> {
    let case = |weight: [usize; 4], vectors: usize| {
        let mut shapes: Vec<Shape> = vec![weight.into()];
        shapes.extend(std::iter::repeat_n(Shape::from([weight[0]]), vectors));
        OperatorCase::new(FoldBatchNorm { eps: 1e-5 }, &shapes).fill(4, Fill::Uniform(0.5, 1.5))
    };
    vec![case([5, 3, 3, 3], 4), case([67, 1, 1, 1], 5)]
}
