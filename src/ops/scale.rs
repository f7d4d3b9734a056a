//! Multiplication by a constant: y = k x.

use crate::ir::Argument::{Input, Output};
use crate::ir::{Case, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, take};

use super::OperatorCase;
use super::shaders::kernels;

kernels! { "scale":
    FORWARD, "forward", "y = k x";
}

/// y = k x for a tensor of any shape and a constant k.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// k, finite.
    pub factor: f32,
}

impl Operator for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn attributes(&self) -> String {
        format!("factor={:e}", self.factor)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(self.name(), inputs)?;
        ShapeError::unless(self.factor.is_finite(), self.name(), || format!("{} is not finite", self.factor))?;
        Ok(vec![x.clone()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        _: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None]) };
        Ok(vec![Some(graph.apply_one(*self, &[dy])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let elements = case.outputs[0].elements();
        let constants = vec![("FACTOR", f64::from(self.factor)), ("ELEMENTS", elements as f64)];
        let dispatch = Dispatch::per_invocation(&FORWARD, elements, constants, vec![Input(0), Output(0)]);
        vec![Variant::new("plain", vec![dispatch])]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![inputs[0].iter().map(|x| f64::from(self.factor) * x).collect()]
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    vec![
        OperatorCase::new(Scale { factor: 0.1 }, &[[2, 3, 5, 7]]).differentiate(&[0]),
        OperatorCase::new(Scale { factor: -3.0 }, &[[1]]).differentiate(&[0]),
    ]
}
