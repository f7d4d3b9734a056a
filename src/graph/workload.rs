//! An operator at shapes, taken out of its network: what kernels are chosen for, checked and timed by.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::ir::{Capabilities, Case, DType, DTypes, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant};

/// An operator with the shapes and dtypes of its tensors.
#[derive(Debug, Clone)]
pub struct Workload {
    /// The operator with its attributes.
    pub operator: Arc<dyn Operator>,
    /// Shapes of its inputs.
    pub inputs: Vec<Shape>,
    /// Whether each input stays the same from run to run.
    pub constant: Vec<bool>,
    /// How its tensors are stored.
    pub dtypes: DTypes,
}

impl Workload {
    /// The operator of a node in its case.
    pub fn new(node: &Node, case: &Case) -> Self {
        let inputs = case.inputs.iter().map(|&shape| shape.clone()).collect();
        let (constant, dtypes) = (case.constant.to_vec(), case.dtypes.clone());
        Self { operator: Arc::clone(&node.operator), inputs, constant, dtypes }
    }

    /// An operator all of whose inputs change from run to run and whose tensors are float32.
    pub fn of_operator(operator: Arc<dyn Operator>, inputs: Vec<Shape>) -> Self {
        let constant = vec![false; inputs.len()];
        Self { operator, inputs, constant, dtypes: DTypes::default() }
    }

    /// What tells it from others, in a line: the operator's [name](Operator::name) and [attributes](Operator::attributes),
    /// then the shape of each input, with `f16` where that is its dtype and `constant` where it stays the same, and `-> 0 f16`
    /// for an output that is stored as F16:
    ///
    /// ```text
    /// conv2d stride=1x1 padding=1x1 groups=1 [2, 32, 32, 32] f16 [32, 32, 3, 3] constant -> 0 f16
    /// ```
    ///
    /// Files of [`Choices`](super::Choices) hold it.
    pub fn key(&self) -> String {
        let attributes = self.operator.attributes();
        let space = if attributes.is_empty() { "" } else { " " };
        let mut key = format!("{}{space}{attributes}", self.operator.name());
        // Writing to a String cannot fail.
        for (number, (shape, &constant)) in self.inputs.iter().zip(&self.constant).enumerate() {
            let f16 = if self.dtypes.input(number) == DType::F16 { " f16" } else { "" };
            let _ = write!(key, " {shape}{f16}{}", if constant { " constant" } else { "" });
        }
        for (number, &dtype) in self.dtypes.outputs.iter().enumerate() {
            let _ = if dtype == DType::F16 { write!(key, " -> {number} f16") } else { Ok(()) };
        }
        key
    }

    /// The ways to compute it with `capabilities`, the one to prefer first.
    ///
    /// # Errors
    /// [`ShapeError`] where the operator does not take the shapes.
    pub fn variants(&self, capabilities: &Capabilities) -> Result<Vec<Variant>, ShapeError> {
        let mut variants = self.every_variant(capabilities)?;
        variants.retain(|variant| variant.accepts(&self.dtypes));
        Ok(variants)
    }

    /// The same with those that do not take the dtypes.
    ///
    /// # Errors
    /// As [`Workload::variants`].
    pub fn every_variant(&self, capabilities: &Capabilities) -> Result<Vec<Variant>, ShapeError> {
        let inputs: Vec<&Shape> = self.inputs.iter().collect();
        let outputs = self.operator.output_shapes(&inputs)?;
        let outputs: Vec<&Shape> = outputs.iter().collect();
        let (constant, dtypes) = (&self.constant, &self.dtypes);
        let case = Case { inputs: &inputs, outputs: &outputs, constant, dtypes, capabilities };
        Ok(self.operator.variants(&case))
    }

    /// A graph of this operator alone, with its inputs and outputs. Constant inputs are parameters.
    ///
    /// # Errors
    /// [`ShapeError`] where the operator does not take the shapes.
    pub fn graph(&self) -> Result<(Graph, Vec<ValueId>, Vec<ValueId>), ShapeError> {
        let mut graph = Graph::new();
        let add = |(number, (shape, &constant)): (usize, (&Shape, &bool))| {
            let (name, shape) = (format!("input {number}"), shape.clone());
            if constant { graph.parameter(&name, shape) } else { graph.input(&name, shape) }
        };
        let inputs: Vec<ValueId> = self.inputs.iter().zip(&self.constant).enumerate().map(add).collect();
        let outputs = graph.apply_shared(Arc::clone(&self.operator), &inputs)?;
        let dtypes = self.dtypes.inputs.iter().zip(&inputs).chain(self.dtypes.outputs.iter().zip(&outputs));
        dtypes.for_each(|(&dtype, &value)| graph.set_dtype(value, dtype));
        Ok((graph, inputs, outputs))
    }
}
