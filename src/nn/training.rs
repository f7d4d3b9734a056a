//! A training step as a graph: losses, gradients and updates, planned without a device.

use std::collections::BTreeMap;

use super::{Initial, Network, NetworkError, Optimizer, Precision};
use crate::graph::{Choices, Plan, differentiate, flatten, fuse, fuse_backward, recompute, store_activations_as_f16};
use crate::ir::{Capabilities, Graph, ShapeError, ValueId};
use crate::ops::loss_scale::{self, ScaledSeed};

/// The tensor of a checkpoint that holds the state of the loss scale.
pub const LOSS_SCALE: &str = "optimizer.loss_scale";

/// What training minimises, how, and what it starts from.
///
/// ```
/// # use ditn::ir::ValueId;
/// # use ditn::nn::{Precision, Training};
/// # fn example(joints: ValueId, bones: ValueId, maps: ValueId) -> Training {
/// Training::minimize(joints).plus(bones, 0.5).keep(&[maps]).precision(Precision::F16).seed(7)
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Training {
    losses: Vec<(ValueId, f32)>,
    kept: Vec<ValueId>,
    pub(super) optimizer: Optimizer,
    pub(super) precision: Precision,
    pub(super) seed: u64,
}

impl Training {
    /// Minimises a loss `[1]` by AdamW in float32 from the initial values of seed 0.
    pub fn minimize(loss: ValueId) -> Self {
        Self {
            losses: vec![(loss, 1.0)],
            kept: Vec::new(),
            optimizer: Optimizer::default(),
            precision: Precision::default(),
            seed: 0,
        }
    }

    /// Adds another loss `[1]` times `weight` to what is minimised.
    #[must_use]
    pub fn plus(mut self, loss: ValueId, weight: f32) -> Self {
        self.losses.push((loss, weight));
        self
    }

    /// Keeps these values, beside the losses, to be read after a step.
    #[must_use]
    pub fn keep(mut self, values: &[ValueId]) -> Self {
        self.kept.extend(values);
        self
    }

    /// With another optimizer.
    #[must_use]
    pub fn optimizer(self, optimizer: impl Into<Optimizer>) -> Self {
        Self { optimizer: optimizer.into(), ..self }
    }

    /// With this dtype of feature maps.
    #[must_use]
    pub fn precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// With the initial values that this seed gives.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The losses with their weights in what is minimised.
    pub fn losses(&self) -> &[(ValueId, f32)] {
        &self.losses
    }

    /// What can be read after a step: the losses, then what else is kept.
    pub fn outputs(&self) -> Vec<ValueId> {
        self.losses.iter().map(|&(loss, _)| loss).chain(self.kept.iter().copied()).collect()
    }
}

/// The backward pass of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// Each parameter that the losses depend on, with its gradient.
    pub pairs: Vec<(ValueId, ValueId)>,
    /// The inputs from which the backward pass starts, with the number to upload to each, once.
    pub seeds: Vec<(ValueId, f32)>,
}

impl Gradients {
    /// Fuses what `graph` computes so far, then appends the gradients of the weighted sum of `losses` for all parameters.
    ///
    /// The losses and `kept` stay readable. Gradients are added up in the kernels that compute them [where these
    /// can](fuse_backward). Normalised values are [recomputed](recompute) for the backward pass instead of
    /// being kept for it. With the state of a [loss scale](loss_scale) the gradients are that many times as large.
    ///
    /// # Errors
    /// [`ShapeError`] where a loss is not `[1]` or an operator has no gradient rule.
    pub fn append(
        graph: &mut Graph,
        losses: &[(ValueId, f32)],
        kept: &[ValueId],
        loss_scale: Option<ValueId>,
    ) -> Result<Self, ShapeError> {
        let keep: Vec<ValueId> = losses.iter().map(|&(loss, _)| loss).chain(kept.iter().copied()).collect();
        fuse(graph, &keep);
        let parameters = graph.parameters();
        let forward = graph.nodes().len();
        let mut seeds = Vec::new();
        let mut starts = Vec::new();
        for (number, &(loss, weight)) in losses.iter().enumerate() {
            let seed = graph.input(&format!("gradient of loss {number}"), [1]);
            let start = match loss_scale {
                None => seed,
                Some(state) => graph.scoped_as("loss scale", |graph| graph.apply_one(ScaledSeed, &[seed, state]))?,
            };
            seeds.push((seed, weight));
            starts.push((loss, start));
        }
        let gradients = differentiate(graph, &starts, &parameters)?;
        let wanted: Vec<ValueId> = gradients.iter().flatten().copied().collect();
        fuse_backward(graph, forward, &wanted);
        recompute(graph, forward)?;
        let pairs = parameters.into_iter().zip(gradients);
        let pairs = pairs.filter_map(|(parameter, gradient)| Some((parameter, gradient?))).collect();
        Ok(Self { pairs, seeds })
    }
}

/// A network with its losses, gradients and updates in one graph: what a [`Trainer`](super::Trainer) runs.
pub struct TrainingStep {
    graph: Graph,
    pub(super) training: Training,
    pub(super) seeds: Vec<(ValueId, f32)>,
    pub(super) hyper: ValueId,
    pub(super) initial: BTreeMap<String, Initial>,
}

impl TrainingStep {
    /// The step of `net`, which holds the values that `training` names.
    ///
    /// # Errors
    /// [`ShapeError`] as from [`Gradients::append`], and where the losses depend on no parameter.
    pub fn new(net: Network, training: Training) -> Result<Self, ShapeError> {
        let initial = net.initial().clone();
        let mut graph = net.graph;
        let loss_scale = match training.precision {
            Precision::F32 => None,
            Precision::F16 => Some(graph.state(LOSS_SCALE, [loss_scale::INITIAL.len()])),
        };
        let Gradients { pairs, seeds } = Gradients::append(&mut graph, &training.losses, &training.kept, loss_scale)?;
        ShapeError::unless(!pairs.is_empty(), "training", || "the losses depend on no parameter".into())?;
        let hyper = training.optimizer.append(&mut graph, &pairs, loss_scale)?;
        Ok(Self { graph, training, seeds, hyper, initial })
    }

    /// What can be read after a step: [`Training::outputs`].
    pub fn outputs(&self) -> Vec<ValueId> {
        self.training.outputs()
    }

    /// The inputs from which the backward pass starts, with the number to upload to each, once.
    pub fn seeds(&self) -> &[(ValueId, f32)] {
        &self.seeds
    }

    /// The input of [`Optimizer::hyper`].
    pub fn hyper(&self) -> ValueId {
        self.hyper
    }

    /// How each tensor starts, by name; the others are zero.
    pub fn initial(&self) -> &BTreeMap<String, Initial> {
        &self.initial
    }

    /// The plan of the step. Parameters, their gradients and the optimizer's state lie in [flat](flatten) values: one update
    /// for all parameters, and one of all running statistics.
    ///
    /// # Errors
    /// [`NetworkError::NoF16`], or [`NetworkError::Plan`] where a tensor does not fit the adapter.
    pub fn plan(&self, capabilities: &Capabilities, choices: &Choices) -> Result<Plan, NetworkError> {
        let mut graph = self.graph.clone();
        let outputs = self.outputs();
        if self.training.precision == Precision::F16 {
            if !capabilities.shader_f16 {
                return Err(NetworkError::NoF16);
            }
            store_activations_as_f16(&mut graph, &outputs, capabilities);
        }
        flatten(&mut graph, capabilities)?;
        Ok(Plan::with_choices(graph, &outputs, capabilities, choices)?)
    }
}
