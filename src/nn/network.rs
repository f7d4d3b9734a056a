//! A graph under construction, with the names and initial values of its tensors.

use std::collections::BTreeMap;

use super::{Initial, NetworkError, Precision, Shapes, WeightInit};
use crate::graph::{Choices, Plan, fuse, store_activations_as_f16};
use crate::ir::{Capabilities, Graph, Role, Shape, ShapeError, ValueId};

/// What a network is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Batch statistics; the running ones are updated.
    Training,
    /// Running statistics; nothing is updated.
    Inference,
}

/// A network under construction.
pub struct Network {
    /// The graph so far.
    pub graph: Graph,
    /// Initial weights of layers that do not say their own.
    pub weight_init: WeightInit,
    mode: Mode,
    is_frozen: bool,
    tensors: BTreeMap<String, ValueId>,
    initial: BTreeMap<String, Initial>,
}

impl Network {
    /// An empty network, whose weights start as PyTorch's do: [`WeightInit::KaimingUniform`].
    pub fn new(mode: Mode) -> Self {
        Self {
            graph: Graph::new(),
            weight_init: WeightInit::KaimingUniform,
            mode,
            is_frozen: false,
            tensors: BTreeMap::new(),
            initial: BTreeMap::new(),
        }
    }

    /// What the part under construction is built for.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Builds a part that training leaves as it is. Its layers compute what they do in [`Mode::Inference`], batch
    /// normalisation with the running statistics; nothing of it is updated, no gradient is computed for it, and none for what
    /// lies before it unless that is trained.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn frozen<T>(&mut self, build: impl FnOnce(&mut Self) -> Result<T, ShapeError>) -> Result<T, ShapeError> {
        if self.mode == Mode::Inference {
            return build(self);
        }
        (self.mode, self.is_frozen) = (Mode::Inference, true);
        let result = build(self);
        (self.mode, self.is_frozen) = (Mode::Training, false);
        result
    }

    /// Adds a tensor that the host uploads before each run.
    pub fn input(&mut self, name: &str, shape: impl Into<Shape>) -> ValueId {
        self.graph.input(name, shape)
    }

    /// Builds a part whose names start with `name`.
    ///
    /// # Errors
    /// Those of `build`.
    pub fn scope<T>(
        &mut self,
        name: impl ToString,
        build: impl FnOnce(&mut Self) -> Result<T, ShapeError>,
    ) -> Result<T, ShapeError> {
        self.graph.enter(&name.to_string());
        let result = build(self);
        self.graph.leave();
        result
    }

    /// How each tensor starts, by name.
    pub fn initial(&self) -> &BTreeMap<String, Initial> {
        &self.initial
    }

    /// Names and shapes of the tensors that a checkpoint of the network holds: parameters and running statistics.
    pub fn shapes(&self) -> Shapes {
        let shape = |(name, &id): (&String, &ValueId)| (name.clone(), self.graph.shape(id).extents().to_vec());
        self.tensors.iter().map(shape).collect()
    }

    /// Fuses the network and plans a run that computes `outputs`. For training see [`Training`](super::Training).
    ///
    /// # Errors
    /// [`NetworkError::Plan`] where a tensor does not fit the adapter.
    pub fn plan(
        self,
        outputs: &[ValueId],
        capabilities: &Capabilities,
        choices: &Choices,
    ) -> Result<Plan, NetworkError> {
        self.plan_stored_as(Precision::F32, outputs, capabilities, choices)
    }

    /// As [`Network::plan`], with feature maps but `outputs` stored at this precision.
    ///
    /// # Errors
    /// As [`Network::plan`]; [`NetworkError::NoF16`] where the adapter lacks it.
    pub fn plan_stored_as(
        mut self,
        precision: Precision,
        outputs: &[ValueId],
        capabilities: &Capabilities,
        choices: &Choices,
    ) -> Result<Plan, NetworkError> {
        fuse(&mut self.graph, outputs);
        if precision == Precision::F16 {
            if !capabilities.shader_f16 {
                return Err(NetworkError::NoF16);
            }
            store_activations_as_f16(&mut self.graph, outputs, capabilities);
        }
        Ok(Plan::with_choices(self.graph, outputs, capabilities, choices)?)
    }

    /// A tensor `SCOPE.name` that is trained where it is not in a [frozen](Self::frozen) part: a new one, or the one that is
    /// already there under this name. For layers around operators of one's own.
    pub fn parameter(&mut self, name: &str, shape: impl Into<Shape>, initial: Initial) -> ValueId {
        let role = if self.is_frozen { Role::State } else { Role::Parameter };
        self.tensor(name, shape, role, initial)
    }

    /// A tensor `SCOPE.name` that stays between runs and is in checkpoints, but not trained: a new one, or the one that is
    /// already there under this name.
    pub fn state(&mut self, name: &str, shape: impl Into<Shape>, initial: Initial) -> ValueId {
        self.tensor(name, shape, Role::State, initial)
    }

    fn tensor(&mut self, name: &str, shape: impl Into<Shape>, role: Role, initial: Initial) -> ValueId {
        let name = format!("{}.{name}", self.graph.scope());
        let graph = &mut self.graph;
        self.initial.entry(name.clone()).or_insert(initial);
        *self.tensors.entry(name).or_insert_with_key(|name| match role {
            Role::State => graph.state(name, shape),
            _ => graph.parameter(name, shape),
        })
    }

    /// The weights `weight` of a layer of which each output sees `fan_in` inputs.
    pub(super) fn weight(&mut self, shape: impl Into<Shape>, fan_in: usize, init: Option<WeightInit>) -> ValueId {
        let initial = init.unwrap_or(self.weight_init).initial(fan_in);
        self.parameter("weight", shape, initial)
    }

    /// The biases `bias` of a layer, which start at 0.
    pub(super) fn bias(&mut self, outputs: usize) -> ValueId {
        self.parameter("bias", [outputs], Initial::Constant(0.0))
    }
}
