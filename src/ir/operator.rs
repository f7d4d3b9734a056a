//! What an operator must tell about itself.

use std::any::Any;
use std::fmt::Debug;

use super::{Graph, Node, Shape, ShapeError, ValueId};
use crate::gpu::{Capabilities, Dispatch};

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
    /// What kernels may rely on.
    pub capabilities: &'a Capabilities,
}

/// One way to compute an operator: some dispatches in a row, with scratch memory between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Name of the way: `plain`, `tiled`, ...
    pub name: &'static str,
    /// Elements of each scratch tensor.
    pub scratch: Vec<usize>,
    /// Words that dispatches bind as [`Argument::Table`](crate::gpu::Argument::Table): attributes of the operator that
    /// are too long for `override` constants. Uploaded once.
    pub tables: Vec<Vec<u32>>,
    /// What runs, in order.
    pub dispatches: Vec<Dispatch>,
    /// What can be left out of all runs but the first where some inputs stay the same.
    pub preparation: Preparation,
}

/// The first dispatches of a [`Variant`], which read nothing but some inputs and write nothing but some scratch tensors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preparation {
    /// How many dispatches.
    pub dispatches: usize,
    /// Numbers of the inputs that they read.
    pub inputs: Vec<usize>,
    /// Numbers of the scratch tensors that they write, and that nothing else does.
    pub scratch: Vec<usize>,
}

impl Variant {
    /// A variant that needs no scratch memory and no tables.
    pub fn new(name: &'static str, dispatches: Vec<Dispatch>) -> Self {
        Self { name, scratch: Vec::new(), tables: Vec::new(), dispatches, preparation: Preparation::default() }
    }

    /// The same with scratch tensors of these many elements.
    #[must_use]
    pub fn with_scratch(mut self, scratch: Vec<usize>) -> Self {
        self.scratch = scratch;
        self
    }

    /// The same with a preparation.
    #[must_use]
    pub fn with_preparation(mut self, preparation: Preparation) -> Self {
        self.preparation = preparation;
        self
    }

    /// The same with these tables.
    #[must_use]
    pub fn with_tables(mut self, tables: Vec<Vec<u32>>) -> Self {
        self.tables = tables;
        self
    }
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
