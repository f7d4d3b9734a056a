//! A training step as a graph: losses, gradients and updates, planned without a device.

use std::collections::BTreeMap;

use super::micro_batches::Update;
use super::{BUCKET_BYTES, Initial, LOSS_SCALE, Network, NetworkError, Optimizer, Precision, Spread};
use crate::graph::{
    Choices, Plan, differentiate, flatten_in_chunks, fuse, fuse_backward, recompute, store_activations_as_f16,
    synchronise,
};
use crate::ir::{Capabilities, Graph, ShapeError, ValueId};
use crate::ops::loss_scale::{self, ScaledSeed};

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
    pub(super) spread: Spread,
}

impl Training {
    /// Minimises a loss `[1]` by AdamW in float32 from the initial values of seed 0.
    pub fn minimize(loss: ValueId) -> Self {
        Self::minimize_all(vec![(loss, 1.0)])
    }

    /// As [`Training::minimize`], the sum of losses `[1]`, each times its weight.
    pub fn minimize_all(losses: Vec<(ValueId, f32)>) -> Self {
        Self {
            losses,
            kept: Vec::new(),
            optimizer: Optimizer::default(),
            precision: Precision::default(),
            seed: 0,
            spread: Spread::default(),
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

    /// With steps of several micro-batches, of which each is normalised by its own statistics. What is minimised is the mean of
    /// their losses.
    #[must_use]
    pub fn spread(self, spread: Spread) -> Self {
        Self { spread, ..self }
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
    /// being kept for it. With the state of a [loss scale](loss_scale) the gradients are that many times as large. With
    /// `synchronised` ranks, batch normalisations [use the statistics of all](synchronise).
    ///
    /// # Errors
    /// [`ShapeError`] where a loss is not `[1]` or an operator has no gradient rule.
    pub fn append(
        graph: &mut Graph,
        losses: &[(ValueId, f32)],
        kept: &[ValueId],
        loss_scale: Option<ValueId>,
        synchronised: Option<usize>,
    ) -> Result<Self, ShapeError> {
        let keep: Vec<ValueId> = losses.iter().map(|&(loss, _)| loss).chain(kept.iter().copied()).collect();
        fuse(graph, &keep);
        synchronised.map_or(Ok(()), |ranks| synchronise(graph, ranks))?;
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

/// A network with its losses, gradients and updates: what a [`Trainer`](super::Trainer) runs. They are one graph, or where a
/// step has several micro-batches two: that of a micro-batch, and the updates.
pub struct TrainingStep {
    graph: Graph,
    pub(super) training: Training,
    pub(super) seeds: Vec<(ValueId, f32)>,
    hyper: ValueId,
    pub(super) initial: BTreeMap<String, Initial>,
    pub(super) update: Option<Update>,
}

impl TrainingStep {
    /// The step of `net`, which holds the values that `training` names.
    ///
    /// # Errors
    /// [`ShapeError`] as from [`Gradients::append`], and where the losses depend on no parameter.
    pub fn new(net: Network, training: Training) -> Result<Self, ShapeError> {
        let initial = net.initial().clone();
        let mut graph = net.graph;
        let scaled = training.precision == Precision::F16;
        let loss_scale = scaled.then(|| graph.state(LOSS_SCALE, [loss_scale::INITIAL.len()]));
        let Spread { ranks, sync_batch_norm, .. } = training.spread;
        let synchronised = (sync_batch_norm && ranks > 1).then_some(ranks);
        let Gradients { pairs, mut seeds } =
            Gradients::append(&mut graph, &training.losses, &training.kept, loss_scale, synchronised)?;
        ShapeError::unless(!pairs.is_empty(), "training", || "the losses depend on no parameter".into())?;
        let micro_batches = training.spread.micro_batches();
        seeds.iter_mut().for_each(|(_, weight)| *weight /= micro_batches as f32);
        let (update, hyper) = if micro_batches > 1 {
            let update = Update::split_off(&mut graph, &pairs, micro_batches, &training.optimizer, scaled)?;
            let hyper = update.hyper;
            (Some(update), hyper)
        } else {
            (None, training.optimizer.append(&mut graph, &pairs, loss_scale)?)
        };
        Ok(Self { graph, training, seeds, hyper, initial, update })
    }

    /// What can be read after a step: [`Training::outputs`].
    pub fn outputs(&self) -> Vec<ValueId> {
        self.training.outputs()
    }

    /// The inputs from which the backward pass starts, with the number to upload to each, once.
    pub fn seeds(&self) -> &[(ValueId, f32)] {
        &self.seeds
    }

    /// The input of [`Optimizer::hyper`], of the graph that updates.
    pub fn hyper(&self) -> ValueId {
        self.hyper
    }

    /// How each tensor starts, by name; the others are zero.
    pub fn initial(&self) -> &BTreeMap<String, Initial> {
        &self.initial
    }

    /// The plan of the step. Parameters, their gradients and the optimizer's state lie in [flat](flatten_in_chunks) values: one update
    /// for all parameters, and one of all running statistics. Of a step of several micro-batches it is the plan of one of these.
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
        flatten_in_chunks(&mut graph, capabilities, self.most_bytes())?;
        Ok(Plan::with_choices(graph, &outputs, capabilities, choices)?)
    }

    /// The plan of the update behind all micro-batches of a step; `None` where there is one, whose plan has it.
    ///
    /// # Errors
    /// As [`TrainingStep::plan`].
    pub fn update_plan(&self, capabilities: &Capabilities, choices: &Choices) -> Result<Option<Plan>, NetworkError> {
        let Some(Update { graph, .. }) = &self.update else { return Ok(None) };
        let mut graph = graph.clone();
        flatten_in_chunks(&mut graph, capabilities, self.most_bytes())?;
        Ok(Some(Plan::with_choices(graph, &[], capabilities, choices)?))
    }

    /// Most bytes of a flat value.
    fn most_bytes(&self) -> u64 {
        if self.update.is_some() { BUCKET_BYTES } else { u64::MAX }
    }
}
