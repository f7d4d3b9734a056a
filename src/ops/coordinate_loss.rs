//! The loss between coordinates: their weighted absolute differences.

use crate::ir::Argument::{Input, Output};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, absolute, take};

use super::OperatorCase;
use super::shaders::kernels;

kernels! { "coordinate_loss":
    FORWARD, "forward", "loss = sum of weight |prediction - target| over joints and axes / N";
    BACKWARD, "backward", "dprediction = dloss weight sign(prediction - target) / N";
}

/// (prediction `[N, J, 2]`, target `[N, J, 2]`, weight `[N, J, 1]`) -> loss `[1]`: the sum of weight |prediction - target|
/// over joints and axes, its mean over N.
///
/// Only the prediction has a gradient, which is 0 where prediction and target are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoordinateLoss;

/// (dloss `[1]`, prediction `[N, J, 2]`, target `[N, J, 2]`, weight `[N, J, 1]`) -> dprediction `[N, J, 2]` of
/// [`CoordinateLoss`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoordinateLossGradient;

fn check(operator: &'static str, prediction: &Shape, target: &Shape, weight: &Shape) -> Result<(), ShapeError> {
    let &[samples, joints, 2] = prediction.extents() else {
        return Err(ShapeError::new(operator, format!("prediction {prediction} is not [N, J, 2]")));
    };
    ShapeError::unless(samples * joints > 0, operator, || format!("{prediction} has no joints"))?;
    ShapeError::unless(prediction == target, operator, || {
        format!("prediction {prediction} and target {target} differ")
    })?;
    ShapeError::unless(weight.extents() == [samples, joints, 1], operator, || {
        format!("weight {weight} is not [{samples}, {joints}, 1], one for each joint of {prediction}")
    })
}

fn constants(prediction: &Shape) -> Vec<(&'static str, f64)> {
    let samples = prediction.extents()[0];
    vec![("JOINTS", (prediction.elements() / 2) as f64), ("SCALE", 1.0 / samples as f64)]
}

impl Operator for CoordinateLoss {
    fn name(&self) -> &'static str {
        "coordinate_loss"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [prediction, target, weight] = take(self.name(), inputs)?;
        check(self.name(), prediction, target, weight)?;
        Ok(vec![[1].into()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dloss) = output_gradients[0] else { return Ok(vec![None; 3]) };
        let inputs = [dloss, node.inputs[0], node.inputs[1], node.inputs[2]];
        Ok(vec![Some(graph.apply_one(CoordinateLossGradient, &inputs)?), None, None])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let bindings = vec![Input(0), Input(1), Input(2), Output(0)];
        vec![Variant::new("plain", vec![Dispatch::per_workgroup(&FORWARD, 1, constants(case.inputs[0]), bindings)])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let mut sum = 0.0;
        for (joint, weight) in inputs[2].iter().enumerate() {
            for axis in [2 * joint, 2 * joint + 1] {
                sum += weight * (inputs[0][axis] - inputs[1][axis]).abs();
            }
        }
        vec![vec![sum / shapes[0].extents()[0] as f64]]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        // The differences are those of exact numbers.
        self.reference(shapes, &[inputs[0], inputs[1], &absolute(inputs[2])])
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(4.0 * inputs[0].elements() as f64, inputs, outputs)
    }
}

impl Operator for CoordinateLossGradient {
    fn name(&self) -> &'static str {
        "coordinate_loss_backward"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dloss, prediction, target, weight] = take(self.name(), inputs)?;
        ShapeError::unless(dloss.extents() == [1], self.name(), || format!("gradient {dloss} of the loss is not [1]"))?;
        check(self.name(), prediction, target, weight)?;
        Ok(vec![prediction.clone()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let prediction = case.inputs[1];
        let bindings = vec![Input(0), Input(1), Input(2), Input(3), Output(0)];
        let joints = prediction.elements() / 2;
        let dispatch = Dispatch::per_invocation(&BACKWARD, joints, constants(prediction), bindings);
        vec![Variant::new("plain", vec![dispatch])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let scale = inputs[0][0] / shapes[1].extents()[0] as f64;
        let of_axis = |(axis, (prediction, target)): (usize, (&f64, &f64))| {
            let error = prediction - target;
            scale * inputs[3][axis / 2] * if error == 0.0 { 0.0 } else { error.signum() }
        };
        vec![inputs[1].iter().zip(inputs[2]).enumerate().map(of_axis).collect()]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![absolute(&self.reference(shapes, inputs)[0])]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(3.0 * inputs[1].elements() as f64, inputs, outputs)
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::{AwayFromZero, Given, Uniform, Weights};
    let forward = |[n, j]: [usize; 2]| {
        let shapes: [Shape; 3] = [[n, j, 2].into(), [n, j, 2].into(), [n, j, 1].into()];
        OperatorCase::new(CoordinateLoss, &shapes)
    };
    let backward = |[n, j]: [usize; 2]| {
        let shapes: [Shape; 4] = [[1].into(), [n, j, 2].into(), [n, j, 2].into(), [n, j, 1].into()];
        OperatorCase::new(CoordinateLossGradient, &shapes)
    };
    vec![
        // |p| >= 1/2 and |t| <= 1/4 keep the differences away from the kink.
        forward([3, 5])
            .fill(0, AwayFromZero(0.5))
            .fill(1, Uniform(-0.25, 0.25))
            .fill(2, Uniform(0.5, 1.5))
            .differentiate(&[0]),
        forward([32, 17]).fill(2, Weights),
        forward([1, 1]),
        backward([3, 5]),
        backward([32, 17]).fill(3, Weights),
        // A difference of 0 has no slope.
        backward([1, 2]).fill(1, Given(vec![0.25, 0.5, -0.5, 0.0])).fill(2, Given(vec![0.25, 0.25, -0.25, 0.0])),
    ]
}
