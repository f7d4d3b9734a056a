//! Layers from operators: what gives operators their parameters, names and initial values.
//!
//! A [`Network`] is a graph under construction. Layers take a name; names nest by [`Network::scope`] into those of the
//! public PyTorch checkpoints (`stage2.0.branches.0.0.conv1.weight`). A layer that is built a second time under the
//! same name shares its parameters with the first. [`WeightFile`] reads tensors that others have saved, [`Matching`]
//! says which of them are the network's.

pub mod checkpoint;
mod initial;
mod input;
mod layers;
mod matching;
mod weight_file;

pub use initial::{Initial, Weights};
pub use input::PictureInputs;
pub use layers::{Conv2dLayer, EPS, MOMENTUM};
pub use matching::{Matching, OPTIMIZER, OtherShape, Shapes};
pub use weight_file::{WeightFile, WeightFileError};

use std::collections::BTreeMap;

use crate::ir::{Graph, Role, Shape, ShapeError, ValueId};

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
    /// Initial weights of convolutions that do not say their own.
    pub body_weights: Weights,
    mode: Mode,
    tensors: BTreeMap<String, ValueId>,
    initial: BTreeMap<String, Initial>,
}

impl Network {
    /// An empty network.
    pub fn new(mode: Mode) -> Self {
        Self {
            graph: Graph::new(),
            body_weights: Weights::default(),
            mode,
            tensors: BTreeMap::new(),
            initial: BTreeMap::new(),
        }
    }

    /// What it is built for.
    pub fn mode(&self) -> Mode {
        self.mode
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

    /// The tensor `name` of the current scope: a new one, or the one that is already there under this name.
    fn tensor(&mut self, name: &str, shape: impl Into<Shape>, role: Role, initial: Initial) -> ValueId {
        let name = format!("{}.{name}", self.graph.scope());
        let graph = &mut self.graph;
        self.initial.entry(name.clone()).or_insert(initial);
        *self.tensors.entry(name).or_insert_with_key(|name| match role {
            Role::State => graph.state(name, shape),
            _ => graph.parameter(name, shape),
        })
    }
}
