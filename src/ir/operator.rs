//! What an operator must tell about itself.

use std::any::Any;
use std::fmt::Debug;

use super::{Capabilities, DTypes, Graph, Node, Shape, ShapeError, ValueId, Variant};

/// Work that an operator does, for the cost table and for rooflines.
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

/// The largest relative error of rounding to float32: 2^-24.
pub const UNIT_ROUNDOFF: f64 = 1.0 / 16_777_216.0;

/// The absolute values of these numbers.
pub fn absolute(numbers: &[f64]) -> Vec<f64> {
    numbers.iter().map(|number| number.abs()).collect()
}

/// The inputs of an operator as an array of the number that it takes.
///
/// # Errors
/// [`ShapeError`] where there are more or fewer.
pub fn take<'a, const N: usize>(operator: &'static str, inputs: &[&'a Shape]) -> Result<[&'a Shape; N], ShapeError> {
    inputs.try_into().map_err(|_| ShapeError::new(operator, format!("takes {N} inputs, not {}", inputs.len())))
}

/// An operator of the graph: shape rule, gradient rule, kernels, float64 reference and cost.
///
/// Operators are values that hold their attributes (stride, padding, ...). The methods that take shapes or data may
/// rely on [`Operator::output_shapes`] having accepted them.
pub trait Operator: Any + Debug + Send + Sync {
    /// Its name, which no other type of operator has: that of its folder under `shaders/`, with `_` and what tells it from
    /// the folder's others behind it where there are several: `conv2d`, `conv2d_backward_weight`. The name of a gradient
    /// says `backward`.
    fn name(&self) -> &'static str;

    /// Its attributes as a text, `stride=1x1 padding=1x1 groups=1 relu`: `name=value` each, flags by their name where they
    /// hold, with spaces between. Empty for an operator without any.
    ///
    /// Two operators of one name compute the same if and only if these texts are the same. Files hold it
    /// ([`Workload::key`](crate::graph::Workload::key)): changing the text loses the measurements of existing files.
    fn attributes(&self) -> String {
        String::new()
    }

    /// The operator at these shapes in a word, as benchmarks name it: its name and the largest input unless the shapes are
    /// better told in another way.
    fn label(&self, inputs: &[&Shape]) -> String {
        let largest = inputs.iter().max_by_key(|shape| shape.elements());
        let extents = largest.map(|shape| shape.extents().iter().map(ToString::to_string).collect::<Vec<_>>());
        format!("{}_{}", self.name(), extents.unwrap_or_default().join("x"))
    }

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
    /// An operator that does not say otherwise cannot be differentiated: most gradients, and what only inference or the
    /// optimizer uses.
    ///
    /// # Errors
    /// [`ShapeError`] as from any node that is added, and where the operator cannot be differentiated.
    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let _ = (graph, node, output_gradients);
        Err(ShapeError::new(self.name(), "cannot be differentiated"))
    }

    /// The ways to compute it in this case, the one to prefer first; never empty.
    fn variants(&self, case: &Case) -> Vec<Variant>;

    /// The float64 reference: the outputs from the inputs, in plain loops. For an operator that overwrites inputs, the
    /// new contents of those (in the order of [`Operator::overwrites`]) instead.
    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>>;

    /// What the rounding of float32 is relative to in each element of the outputs: the sum of the absolute values of the
    /// terms that the element is computed from. Never less than the size of the element; where it is 0, so is the element.
    ///
    /// The default, the reference of the inputs' absolute values, is right for sums of products. What subtracts, divides,
    /// selects or has a constant term overrides it.
    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let inputs: Vec<Vec<f64>> = inputs.iter().map(|input| absolute(input)).collect();
        let outputs = self.reference(shapes, &inputs.iter().map(Vec::as_slice).collect::<Vec<_>>());
        outputs.iter().map(|output| absolute(output)).collect()
    }

    /// What it costs: one operation for each element of the outputs, and each tensor read or written once, unless it says
    /// otherwise.
    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(outputs.iter().map(|shape| shape.elements()).sum::<usize>() as f64, inputs, outputs)
    }

    /// Numbers of the inputs that it overwrites in place (state such as parameters and running statistics).
    fn overwrites(&self) -> &'static [usize] {
        &[]
    }
}
