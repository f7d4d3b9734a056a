//! Other extents for the same elements.

use crate::ir::Argument::{Input, Output};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, take};

use super::shaders::kernels;
use super::{OperatorCase, list};

kernels! { "reshape":
    COPY, "copy", "y = x, whatever the extents of both";
}

/// x -> y of these extents: the same elements in the same order.
///
/// Where both are stored in one type, y is a view of x: nothing runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reshape {
    /// The extents of y.
    pub extents: Vec<usize>,
}

impl Operator for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn attributes(&self) -> String {
        format!("extents={}", list(&self.extents))
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(self.name(), inputs)?;
        let y = Shape::new(self.extents.clone());
        ShapeError::unless(x.elements() == y.elements(), self.name(), || {
            format!("{x} has {} elements, {y} has {}", x.elements(), y.elements())
        })?;
        Ok(vec![y])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None]) };
        let extents = graph.shape(node.inputs[0]).extents().to_vec();
        Ok(vec![Some(graph.apply_one(Self { extents }, &[dy])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let copy = Dispatch::elementwise(&COPY, case.outputs[0].elements(), vec![Input(0), Output(0)]);
        let mut variants = vec![Variant::new("copy", vec![copy])];
        if case.dtypes.input(0) == case.dtypes.output(0) {
            variants.insert(0, Variant::view());
        }
        variants
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![inputs[0].to_vec()]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(0.0, inputs, outputs)
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    let case = |x: Shape, y: &[usize]| OperatorCase::new(Reshape { extents: y.to_vec() }, &[x]);
    vec![
        case([2, 3, 5, 7].into(), &[2, 105]).differentiate(&[0]),
        case([6, 4].into(), &[1, 3, 8, 1]).differentiate(&[0]),
        case([1].into(), &[1, 1, 1, 1]),
    ]
}
