//! The graph: values, and the nodes that compute them.

use std::collections::HashSet;
use std::sync::Arc;

use super::{DType, DTypes, Operator, Shape, ShapeError};

/// A value of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// The value's number.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a value's contents come from and how long they stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Uploaded by the host before a run.
    Input,
    /// Trained: kept between runs and in checkpoints, has a gradient.
    Parameter,
    /// Kept between runs and in checkpoints, has no gradient (running statistics, optimizer moments).
    State,
    /// Computed by a node.
    Computed,
    /// The memory of other values, its [parts](Part), one behind the other with zeros between them: kept with them where
    /// they are parameters and state, reserved by the session where nodes compute them.
    Flat,
}

/// Parts of a flat value start at multiples of so many 4-byte words: 256 bytes, which every adapter accepts for a binding.
pub const ALIGNMENT: usize = 64;

/// Where a value lies that has no memory of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Part {
    /// The [flat](Role::Flat) value that it is a part of.
    pub of: ValueId,
    /// Its first 4-byte word there.
    pub offset: usize,
}

/// A tensor of the graph.
#[derive(Debug, Clone)]
pub struct Value {
    /// Unique for parameters, state and inputs; for computed values the name of the node.
    pub name: String,
    /// Extents.
    pub shape: Shape,
    /// Where it comes from.
    pub role: Role,
    /// How its elements are stored.
    pub dtype: DType,
    /// Where it lies, if [`Graph::lay_flat`] has said so.
    pub part: Option<Part>,
}

impl Value {
    /// 4-byte words that it takes.
    pub fn words(&self) -> usize {
        self.dtype.words(self.shape.elements())
    }
}

/// An operator applied to values.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where in the network it stands, for messages and profiles: `stage2.0.branches.0.0.conv1`.
    pub name: String,
    /// What it computes.
    pub operator: Arc<dyn Operator>,
    /// What it reads (and overwrites, where the operator says so).
    pub inputs: Vec<ValueId>,
    /// What it computes.
    pub outputs: Vec<ValueId>,
}

/// A static graph in single-assignment form. Nodes stand in an order in which they can run.
///
/// A node that overwrites state runs after every other node that reads that state.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    values: Vec<Value>,
    nodes: Vec<Node>,
    scope: Vec<String>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value that the host uploads.
    pub fn input(&mut self, name: &str, shape: impl Into<Shape>) -> ValueId {
        self.push_value(name.to_string(), shape.into(), Role::Input)
    }

    /// Adds a trained tensor.
    pub fn parameter(&mut self, name: &str, shape: impl Into<Shape>) -> ValueId {
        self.push_value(name.to_string(), shape.into(), Role::Parameter)
    }

    /// Adds a tensor that stays between runs but is not trained.
    pub fn state(&mut self, name: &str, shape: impl Into<Shape>) -> ValueId {
        self.push_value(name.to_string(), shape.into(), Role::State)
    }

    /// Applies an operator and returns its outputs.
    ///
    /// # Errors
    /// [`ShapeError`] where the operator does not take these inputs.
    pub fn apply(&mut self, operator: impl Operator, inputs: &[ValueId]) -> Result<Vec<ValueId>, ShapeError> {
        self.apply_shared(Arc::new(operator), inputs)
    }

    /// Applies an operator that has one output.
    ///
    /// # Errors
    /// As [`Graph::apply`].
    pub fn apply_one(&mut self, operator: impl Operator, inputs: &[ValueId]) -> Result<ValueId, ShapeError> {
        let name = operator.name();
        let outputs = self.apply(operator, inputs)?;
        outputs.first().copied().ok_or_else(|| ShapeError::new(name, "the operator has no output"))
    }

    /// As [`Graph::apply`], for an operator that is shared already.
    ///
    /// # Errors
    /// As [`Graph::apply`].
    pub fn apply_shared(
        &mut self,
        operator: Arc<dyn Operator>,
        inputs: &[ValueId],
    ) -> Result<Vec<ValueId>, ShapeError> {
        let name = self.scope.join(".");
        let shapes: Vec<&Shape> = inputs.iter().map(|&input| self.shape(input)).collect();
        let shapes = operator.output_shapes(&shapes).map_err(|error| error.within(&name))?;
        let outputs: Vec<ValueId> =
            shapes.into_iter().map(|shape| self.push_value(name.clone(), shape, Role::Computed)).collect();
        self.nodes.push(Node { name, operator, inputs: inputs.to_vec(), outputs: outputs.clone() });
        Ok(outputs)
    }

    /// Appends `name` to the names of all nodes that are added until [`Graph::leave`].
    pub fn enter(&mut self, name: &str) {
        self.scope.push(name.to_string());
    }

    /// Ends what the last [`Graph::enter`] began.
    pub fn leave(&mut self) {
        self.scope.pop();
    }

    /// Runs `build` with `name` as the whole name of all nodes that it adds.
    pub fn scoped_as<T>(&mut self, name: &str, build: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.scope, vec![name.to_string()]);
        let result = build(self);
        self.scope = outer;
        result
    }

    /// The name that nodes added now get.
    pub fn scope(&self) -> String {
        self.scope.join(".")
    }

    /// All values, by number.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// All values with their numbers.
    pub fn value_ids(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values.iter().enumerate().map(|(index, value)| (ValueId(index as u32), value))
    }

    /// One value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// Says how a value's elements are stored.
    pub fn set_dtype(&mut self, id: ValueId, dtype: DType) {
        self.values[id.index()].dtype = dtype;
    }

    /// Makes a computed value a parameter of this name, which nothing computes any more.
    pub(crate) fn make_parameter(&mut self, id: ValueId, name: String) {
        let value = &mut self.values[id.index()];
        (value.name, value.role) = (name, Role::Parameter);
    }

    /// The dtypes of a node's tensors.
    pub fn dtypes(&self, node: &Node) -> DTypes {
        let of = |ids: &[ValueId]| ids.iter().map(|&id| self.value(id).dtype).collect();
        DTypes { inputs: of(&node.inputs), outputs: of(&node.outputs) }
    }

    /// Lays `values` one behind the other in the memory of a new one, `[N]`, N a multiple of [`ALIGNMENT`], which nodes can
    /// read and overwrite as a whole. Values keep their names, shapes and roles.
    ///
    /// A node must not read one and write another of them in one dispatch: a device tracks whole buffers. A plan refuses it.
    ///
    /// # Errors
    /// [`ShapeError`] unless all are float32, different ones and parts of nothing yet, and either all computed or all parameters and state.
    pub fn lay_flat(&mut self, name: &str, values: &[ValueId]) -> Result<ValueId, ShapeError> {
        let is_computed = |id: ValueId| self.value(id).role == Role::Computed;
        let mut seen = HashSet::new();
        for &id in values {
            let value = self.value(id);
            let fits = value.dtype == DType::F32
                && value.part.is_none()
                && seen.insert(id)
                && !matches!(value.role, Role::Input | Role::Flat)
                && is_computed(id) == is_computed(values[0]);
            ShapeError::unless(fits, "flat", || format!("'{}' cannot be a part of '{name}'", value.name))?;
        }
        let sizes = values.iter().map(|&id| self.value(id).words().next_multiple_of(ALIGNMENT));
        let of = self.push_value(name.to_string(), [sizes.sum::<usize>()].into(), Role::Flat);
        let mut offset = 0;
        for &id in values {
            let value = &mut self.values[id.index()];
            value.part = Some(Part { of, offset });
            offset += value.words().next_multiple_of(ALIGNMENT);
        }
        Ok(of)
    }

    /// The values whose memory is some of that of `id`: itself, then its parts or the value that it is a part of.
    pub fn overlapping(&self, id: ValueId) -> Vec<ValueId> {
        let value = self.value(id);
        let mut found = vec![id];
        found.extend(value.part.map(|part| part.of));
        if value.role == Role::Flat {
            let parts = self.value_ids().filter(|(_, value)| value.part.is_some_and(|part| part.of == id));
            found.extend(parts.map(|(part, _)| part));
        }
        found
    }

    /// Shape of a value.
    pub fn shape(&self, id: ValueId) -> &Shape {
        &self.values[id.index()].shape
    }

    /// Shapes of several values.
    pub fn shapes(&self, ids: &[ValueId]) -> Vec<&Shape> {
        ids.iter().map(|&id| self.shape(id)).collect()
    }

    /// All nodes, in an order in which they can run.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Replaces the nodes; `nodes` must be in an order in which they can run and compute what others still read.
    pub fn set_nodes(&mut self, nodes: Vec<Node>) {
        self.nodes = nodes;
    }

    /// The trained tensors, in the order in which they were added.
    pub fn parameters(&self) -> Vec<ValueId> {
        self.value_ids().filter(|(_, value)| value.role == Role::Parameter).map(|(id, _)| id).collect()
    }

    fn push_value(&mut self, name: String, shape: Shape, role: Role) -> ValueId {
        let id = ValueId(self.values.len() as u32);
        self.values.push(Value { name, shape, role, dtype: DType::F32, part: None });
        id
    }
}
