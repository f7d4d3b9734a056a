//! Addition of two tensors of one shape.

use crate::ir::Argument::{Input, Output};
use crate::ir::{Case, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, take};

use super::OperatorCase;
use super::shaders::kernels;

kernels! { "add":
    FORWARD, "forward", "y = a + b";
    FORWARD_VEC4, "forward_vec4", "y = a + b, four elements an invocation";
}

/// (a, b) -> a + b, both of one shape. Autodiff also adds up gradients with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Add;

impl Operator for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [a, b] = take(self.name(), inputs)?;
        ShapeError::unless(a == b, self.name(), || format!("{a} and {b} differ"))?;
        Ok(vec![a.clone()])
    }

    fn gradient(
        &self,
        _: &mut Graph,
        _: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        Ok(vec![output_gradients[0]; 2])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let elements = case.outputs[0].elements();
        let bindings = vec![Input(0), Input(1), Output(0)];
        let mut variants =
            vec![Variant::new("plain", vec![Dispatch::elementwise(&FORWARD, elements, bindings.clone())])];
        if elements.is_multiple_of(4) {
            let constants = vec![("ELEMENTS", elements as f64)];
            let vec4 = Dispatch::per_invocation(&FORWARD_VEC4, elements / 4, constants, bindings);
            variants.insert(0, Variant::new("vec4", vec![vec4]));
        }
        variants
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![inputs[0].iter().zip(inputs[1]).map(|(a, b)| a + b).collect()]
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    vec![
        OperatorCase::new(Add, &[[2, 3, 5, 7]; 2]).differentiate(&[0, 1]),
        OperatorCase::new(Add, &[[1, 3, 4, 5]; 2]),
        OperatorCase::new(Add, &[[1]; 2]),
    ]
}
