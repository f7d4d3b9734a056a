//! Batch normalisation in training where another node has computed the statistics.

use super::{BatchNormGradient, BatchNormGradientOfSums, BatchNormGradientSums, BatchNormInference};
use crate::ir::{Case, Cost, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant};
use crate::ops::over_ranks::MeanOverRanks;
use crate::ops::{Epilogue, Fill, OperatorCase};

/// (x `[N, C, H, W]`, gamma, beta, mean, variance `[C]`\[, residual `[N, C, H, W]`\]) -> y `[N, C, H, W]`, where mean and
/// biased variance must be those of x.
///
/// It computes what [`BatchNormInference`] does, and has the gradient of [`BatchNorm`](super::BatchNorm): that of x is also
/// the one through the statistics, which therefore have none of their own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormWithStatistics {
    /// Added to the variance.
    pub eps: f32,
    /// What follows.
    pub epilogue: Epilogue,
    /// Whether the statistics are those of all ranks, whose gradients need the sums of all ranks too.
    pub synchronised: bool,
}

impl BatchNormWithStatistics {
    fn forward(&self) -> BatchNormInference {
        BatchNormInference { eps: self.eps, epilogue: self.epilogue }
    }
}

impl Operator for BatchNormWithStatistics {
    fn name(&self) -> &'static str {
        "batch_norm_with_statistics"
    }

    fn attributes(&self) -> String {
        let synchronised = if self.synchronised { " synchronised" } else { "" };
        format!("eps={:e}{}{synchronised}", self.eps, self.epilogue.attributes())
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        self.forward().output_shapes(inputs)
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None; node.inputs.len()]) };
        let (eps, epilogue, y) = (self.eps, self.epilogue, self.epilogue.relu.then_some(node.outputs[0]));
        let mut inputs = vec![dy, node.inputs[0], node.inputs[1], node.inputs[3], node.inputs[4]];
        inputs.extend(y);
        let found = if self.synchronised {
            let sums = graph.apply_one(BatchNormGradientSums { eps, relu: epilogue.relu }, &inputs)?;
            let sums = graph.apply_one(MeanOverRanks, &[sums])?;
            let inputs: Vec<ValueId> = [dy, node.inputs[0], sums].into_iter().chain(y).collect();
            graph.apply(BatchNormGradientOfSums { epilogue }, &inputs)?
        } else {
            graph.apply(BatchNormGradient { eps, epilogue }, &inputs)?
        };
        let mut gradients = vec![Some(found[0]), Some(found[1]), Some(found[2]), None, None];
        gradients.extend(found[3..].iter().copied().map(Some));
        Ok(gradients)
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        self.forward().variants(case)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        self.forward().reference(shapes, inputs)
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        self.forward().magnitudes(shapes, inputs)
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        self.forward().cost(inputs, outputs)
    }
}

/// Its gradient holds only behind what computes the statistics, and is checked there.
pub(super) fn cases() -> Vec<OperatorCase> {
    let x = [2, 3, 4, 6];
    let shapes: [Shape; 6] = [x.into(), [3].into(), [3].into(), [3].into(), [3].into(), x.into()];
    let epilogue = Epilogue { residual: true, relu: true };
    let operators = [false, true].map(|synchronised| BatchNormWithStatistics { eps: 1e-5, epilogue, synchronised });
    operators.map(|operator| OperatorCase::new(operator, &shapes).fill(4, Fill::Uniform(0.5, 1.5))).to_vec()
}
