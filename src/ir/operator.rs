//! What an operator must tell about itself.

use std::any::Any;
use std::fmt::Debug;

use super::{Capabilities, DTypes, Graph, Node, Shape, ShapeError, ValueId, Variant};

/// Work that an operator does, for the cost table and for ceilings.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations; a multiply-add counts as 2.
    pub flops: f64,
    /// Bytes that must be read and written at least: each input and output once.
    pub bytes: f64,
}

impl Cost {
    /// `flops` operations that touch each of these tensors once.
    pub fn new(flops: f64, inputs: &[&Shape], outputs: &[&Shape]) -> Self {
        let elements: usize = inputs.iter().chain(outputs).map(|shape| shape.elements()).sum();
        Self { flops, bytes: 4.0 * elements as f64 }
    }
}

/// One operator at the shapes of one node, on one adapter.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// Shapes of the inputs.
    pub inputs: &'a [&'a Shape],
    /// Shapes of the outputs.
    pub outputs: &'a [&'a Shape],
    /// Whether each input stays the same from run to run.
    pub constant: &'a [bool],
    /// How the elements of the inputs and outputs are stored.
    pub dtypes: &'a DTypes,
    /// What kernels may rely on.
    pub capabilities: &'a Capabilities,
}

/// An operator of the graph: shape rule, gradient rule, kernels, float64 twin and cost.
///
/// Operators are values that hold their attributes (stride, padding, ...). The methods that take shapes or data may
/// rely on [`Operator::output_shapes`] having accepted them.
pub trait Operator: Any + Debug + Send + Sync {
    /// Name of the operator, the same as of its folder under `shaders/`.
    fn name(&self) -> &'static str;

    /// Shapes of the outputs.
    ///
    /// # Errors
    /// [`ShapeError`] where the inputs do not fit the operator or each other.
    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError>;

    /// Appends the nodes that compute the gradients of `node`'s inputs from those of its outputs.
    ///
    /// One entry an input; `None` for what has no gradient. `output_gradients` holds `None` for outputs that nothing
    /// differentiates through; at least one is `Some`. Nodes whose results nobody uses are dropped later.
    ///
    /// # Errors
    /// [`ShapeError`] as from any node that is added.
    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError>;

    /// The ways to compute it in this case, the one to prefer first; never empty.
    fn variants(&self, case: &Case) -> Vec<Variant>;

    /// The float64 twin: the outputs from the inputs, in plain loops. For an operator that overwrites inputs, the
    /// new contents of those (in the order of [`Operator::overwrites`]) instead.
    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>>;

    /// What it costs.
    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost;

    /// Numbers of the inputs that it overwrites in place (state such as parameters and running statistics).
    fn overwrites(&self) -> &'static [usize] {
        &[]
    }
}
