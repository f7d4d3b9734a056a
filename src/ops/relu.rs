//! Rectified linear unit: y = max(x, 0).

use crate::ir::Argument::{Input, Output};
use crate::ir::{Case, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, absolute, take};

use super::OperatorCase;
use super::shaders::kernels;

kernels! { "relu":
    FORWARD, "forward", "y = max(x, 0)";
    BACKWARD_INPUT, "backward_input", "dx = dy where y > 0, else 0";
}

/// y = max(x, 0) for a tensor of any shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relu;

impl Operator for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(self.name(), inputs)?;
        Ok(vec![x.clone()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None]) };
        Ok(vec![Some(graph.apply_one(ReluInputGradient, &[dy, node.outputs[0]])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let elements = case.outputs[0].elements();
        vec![Variant::new("plain", vec![Dispatch::elementwise(&FORWARD, elements, vec![Input(0), Output(0)])])]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![inputs[0].iter().map(|x| x.max(0.0)).collect()]
    }
}

/// (dy, y) -> dx = dy where y > 0, else 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReluInputGradient;

impl Operator for ReluInputGradient {
    fn name(&self) -> &'static str {
        "relu_backward"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy, y] = take(self.name(), inputs)?;
        ShapeError::unless(dy == y, self.name(), || format!("gradient {dy} does not match output {y}"))?;
        Ok(vec![dy.clone()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let elements = case.outputs[0].elements();
        let bindings = vec![Input(0), Input(1), Output(0)];
        vec![Variant::new("plain", vec![Dispatch::elementwise(&BACKWARD_INPUT, elements, bindings)])]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (dy, y) = (inputs[0], inputs[1]);
        vec![dy.iter().zip(y).map(|(dy, y)| if *y > 0.0 { *dy } else { 0.0 }).collect()]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        self.reference(shapes, &[&absolute(inputs[0]), inputs[1]])
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::AwayFromZero;
    vec![
        OperatorCase::new(Relu, &[[2, 3, 5, 7]]).fill(0, AwayFromZero(0.05)).differentiate(&[0]),
        OperatorCase::new(Relu, &[[1, 1, 1, 1]]),
        OperatorCase::new(ReluInputGradient, &[[2, 3, 5, 7]; 2]),
    ]
}
