//! Softmax and cross-entropy with whole-number labels, in one: the loss of classifiers.

use crate::ir::Argument::{Input, Output, Scratch};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, take};

use super::shaders::kernels;
use super::{OperatorCase, loss};

kernels! { "softmax_cross_entropy":
    ROWS, "rows", "losses[n] = log(sum over c of exp(x[n, c])) - x[n, label[n]]";
    BACKWARD_LOGITS, "backward_logits", "dx = dloss / N (softmax(x) - one-hot labels)";
}

/// (x `[N, C]`, labels `[N]`) -> loss `[1]`: the mean over n of
/// `log(sum over c of exp(x[n, c])) - x[n, label[n]]`.
///
/// Labels are words (`u32`), not numbers. A row whose label is not below C has no loss and no gradient, but counts in N.
/// Only x has a gradient. As torch.nn.CrossEntropyLoss for labels that are all below C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoftmaxCrossEntropy;

/// (dloss `[1]`, x `[N, C]`, labels `[N]`) -> dx `[N, C]` of [`SoftmaxCrossEntropy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoftmaxCrossEntropyGradient;

/// N and C.
fn extents(operator: &'static str, x: &Shape, labels: &Shape) -> Result<[usize; 2], ShapeError> {
    let &[rows, classes] = x.extents() else { return Err(ShapeError::new(operator, format!("{x} is not [N, C]"))) };
    ShapeError::unless(rows * classes > 0, operator, || format!("{x} has no elements"))?;
    ShapeError::unless(labels.extents() == [rows], operator, || format!("labels {labels} do not match {x}"))?;
    Ok([rows, classes])
}

fn constants(x: &Shape) -> Vec<(&'static str, f64)> {
    vec![("ROWS", x.extents()[0] as f64), ("CLASSES", x.extents()[1] as f64)]
}

/// log(sum of exp(x)) of a row.
fn log_sum(row: &[f64]) -> f64 {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + row.iter().map(|x| (x - largest).exp()).sum::<f64>().ln()
}

/// The sum of the absolute terms of [`log_sum`]: the largest, the logarithm, and what the rounding of the sum (1) and of each
/// exponent does to that.
fn log_sum_magnitude(row: &[f64]) -> f64 {
    let (largest, log_sum) = (row.iter().copied().fold(f64::NEG_INFINITY, f64::max), log_sum(row));
    let of_exponents: f64 = row.iter().map(|x| (x - log_sum).exp() * (x - largest).abs()).sum();
    largest.abs() + (log_sum - largest).abs() + 1.0 + of_exponents
}

impl Operator for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x, labels] = take(self.name(), inputs)?;
        extents(self.name(), x, labels)?;
        Ok(vec![[1].into()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dloss) = output_gradients[0] else { return Ok(vec![None; 2]) };
        let dx = graph.apply_one(SoftmaxCrossEntropyGradient, &[dloss, node.inputs[0], node.inputs[1]])?;
        Ok(vec![Some(dx), None])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let rows = case.inputs[0].extents()[0];
        let bindings = vec![Input(0), Input(1), Scratch(0)];
        let losses = Dispatch::per_workgroup(&ROWS, rows, constants(case.inputs[0]), bindings);
        let total = Dispatch {
            kernel: &loss::TOTAL,
            constants: vec![("ELEMENTS", rows as f64), ("SCALE", 1.0 / rows as f64)],
            bindings: vec![Scratch(0), Output(0)],
            workgroups: [1; 3],
        };
        vec![Variant::new("plain", vec![losses, total]).with_scratch(vec![rows])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let classes = shapes[0].extents()[1];
        let rows = inputs[0].chunks(classes).zip(inputs[1]);
        let losses = rows.map(|(row, &label)| row.get(label as usize).map_or(0.0, |own| log_sum(row) - own));
        vec![vec![losses.sum::<f64>() / shapes[0].extents()[0] as f64]]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let classes = shapes[0].extents()[1];
        let rows = inputs[0].chunks(classes).zip(inputs[1]);
        let losses =
            rows.map(|(row, &label)| row.get(label as usize).map_or(0.0, |own| log_sum_magnitude(row) + own.abs()));
        vec![vec![losses.sum::<f64>() / shapes[0].extents()[0] as f64]]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(4.0 * inputs[0].elements() as f64, inputs, outputs)
    }
}

impl Operator for SoftmaxCrossEntropyGradient {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy_backward"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dloss, x, labels] = take(self.name(), inputs)?;
        ShapeError::unless(dloss.extents() == [1], self.name(), || format!("gradient {dloss} of the loss is not [1]"))?;
        extents(self.name(), x, labels)?;
        Ok(vec![x.clone()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let rows = case.inputs[1].extents()[0];
        let mut constants = constants(case.inputs[1]);
        constants.push(("SCALE", 1.0 / rows as f64));
        let bindings = vec![Input(0), Input(1), Input(2), Output(0)];
        vec![Variant::new("plain", vec![Dispatch::per_workgroup(&BACKWARD_LOGITS, rows, constants, bindings)])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let &[rows, classes] = shapes[1].extents() else { unreachable!("output_shapes accepts matrices only") };
        let scale = inputs[0][0] / rows as f64;
        let of_row = |(row, &label): (&[f64], &f64)| -> Vec<f64> {
            let (label, sum) = (label as usize, log_sum(row));
            let gradient = |(class, x): (usize, &f64)| (x - sum).exp() - if class == label { 1.0 } else { 0.0 };
            let scale = if label < classes { scale } else { 0.0 };
            row.iter().enumerate().map(|element| scale * gradient(element)).collect()
        };
        vec![inputs[1].chunks(classes).zip(inputs[2]).flat_map(of_row).collect()]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let &[rows, classes] = shapes[1].extents() else { unreachable!("output_shapes accepts matrices only") };
        let scale = inputs[0][0].abs() / rows as f64;
        let of_row = |(row, &label): (&[f64], &f64)| -> Vec<f64> {
            let (label, sum, magnitude) = (label as usize, log_sum(row), log_sum_magnitude(row));
            let gradient = |(class, x): (usize, &f64)| {
                // The exponential carries the rounding of its argument.
                (x - sum).exp() * (1.0 + x.abs() + magnitude) + if class == label { 1.0 } else { 0.0 }
            };
            let scale = if label < classes { scale } else { 0.0 };
            row.iter().enumerate().map(|element| scale * gradient(element)).collect()
        };
        vec![inputs[1].chunks(classes).zip(inputs[2]).flat_map(of_row).collect()]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(6.0 * inputs[1].elements() as f64, inputs, outputs)
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::{Uniform, Words};
    let labels = |rows: usize, classes: usize| (0..rows).map(|row| (5 * row % classes) as u32).collect::<Vec<_>>();
    let forward = |[rows, classes]: [usize; 2]| {
        let shapes: [Shape; 2] = [[rows, classes].into(), [rows].into()];
        OperatorCase::new(SoftmaxCrossEntropy, &shapes)
            .fill(0, Uniform(-3.0, 3.0))
            .fill(1, Words(labels(rows, classes)))
    };
    let backward = |[rows, classes]: [usize; 2]| {
        let shapes: [Shape; 3] = [[1].into(), [rows, classes].into(), [rows].into()];
        let case = OperatorCase::new(SoftmaxCrossEntropyGradient, &shapes);
        case.fill(1, Uniform(-3.0, 3.0)).fill(2, Words(labels(rows, classes)))
    };
    vec![
        forward([5, 7]).differentiate(&[0]),
        // Exponentials of these overflow or vanish without the row's maximum.
        forward([6, 10]).fill(0, Uniform(-300.0, 300.0)),
        forward([3, 100]),
        // The second row's label is past the classes.
        forward([3, 4]).fill(1, Words(vec![0, 4, 3])).differentiate(&[0]),
        forward([1, 1]),
        backward([5, 7]),
        backward([6, 10]).fill(1, Uniform(-300.0, 300.0)),
        backward([3, 100]),
        backward([3, 4]).fill(2, Words(vec![0, u32::MAX, 3])),
    ]
}
