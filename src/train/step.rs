//! One step of pose training: crop, targets and losses around the network, and the joints that it found.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::accuracy::Accuracy;
use super::objective::{Objective, Targets};
use crate::data::{Batch, Size};
use crate::gpu::Gpu;
use crate::graph::{Choices, Plan, SessionError, Tensor};
use crate::ir::{ShapeError, ValueId};
use crate::models::ModelConfig;
use crate::nn::{self, Communication, Mode, Network, NetworkError, PendingStep, PictureInputs, Spread, TrainingStep};
use crate::ops::decode::Decode;
use crate::ops::targets::{BoneTargets, JointTargets};
use crate::predict::network::upload;
use crate::predict::{DecodeOptions, PoseNetwork};
use crate::ranks::{Alone, Communicator, gather};

pub use crate::nn::{LossScale, Precision};

/// Batches that may be on their way on the device before [`Trainer::submit`] waits for the oldest.
const IN_FLIGHT: usize = 2;

/// What a training step computes.
#[derive(Debug, Clone, PartialEq)]
pub struct StepConfig {
    /// The size of the network's input.
    pub size: Size,
    /// Pictures at a time.
    pub batch: usize,
    /// How the batches of a step are spread.
    pub spread: Spread,
    /// What is minimised.
    pub objective: Objective,
    /// Deviation of the targets in heat-map pixels.
    pub sigma: f32,
    /// How parameters follow their gradients.
    pub optimizer: nn::Optimizer,
    /// How feature maps and their gradients are stored.
    pub precision: Precision,
}

/// The losses of one step, and what its network had learnt before it.
#[derive(Debug, Clone, PartialEq)]
pub struct StepLoss {
    /// Number of the step, from 0.
    pub step: u64,
    /// The learning rate that it was submitted with.
    pub learning_rate: f64,
    /// The names of this process's pictures; where a loss is not finite, of those of all that have such a loss.
    pub pictures: Vec<String>,
    /// The ranks that have a loss which is not finite.
    pub not_finite: Vec<usize>,
    /// Loss of the joint heat maps.
    pub joints: f32,
    /// Loss of the bone heat maps; 0 for networks without.
    pub bones: f32,
    /// joints + bone_weight * bones.
    pub total: f32,
    /// The joints found in its pictures.
    pub accuracy: Accuracy,
    /// People who could not be used and for whom others stood in.
    pub skipped: u64,
}

/// One training step as a graph, with the values through which the host speaks to it.
pub struct StepGraph {
    /// The step.
    pub step: TrainingStep,
    /// The inputs of its pictures.
    pub pictures: PictureInputs,
    /// `[N, J, 3]`: position in heat-map pixels and weight of each joint.
    pub joints: ValueId,
}

impl StepGraph {
    /// Its outputs are the loss of the joints, that of the bones where the network predicts them, and the joints found in
    /// the maps, `[N, J, 3]`. `seed` is that of the initial values.
    ///
    /// # Errors
    /// [`ShapeError`] where the network does not fit the size.
    pub fn new(model: &ModelConfig, config: &StepConfig, seed: u64) -> Result<Self, ShapeError> {
        let mut net = Network::new(Mode::Training);
        let (pictures, image) = net.pictures(config.batch, config.size.extents())?;
        let joints = net.input("joints", [config.batch, model.skeleton.joints.len(), 3]);
        let maps = model.build(&mut net, image)?;

        let [height, width] = config.size.heat_map().extents();
        let sigma = config.sigma;
        let graph = &mut net.graph;
        let joint_targets = graph.apply(JointTargets { height, width, sigma }, &[joints])?;
        let losses = config.objective.append(graph, maps, targets_of(&joint_targets), |graph| {
            let bones = model.skeleton.bones.to_vec();
            Ok(targets_of(&graph.apply(BoneTargets { height, width, sigma, bones }, &[joints])?))
        })?;
        let found = graph.apply_one(Decode::Quarter, &[maps.joints])?;
        let training = config.objective.training(&losses).keep(&[found]);
        let training =
            training.optimizer(config.optimizer).precision(config.precision).spread(config.spread).seed(seed);
        Ok(Self { step: TrainingStep::new(net, training)?, pictures, joints })
    }
}

/// A pose network in training on a device.
pub struct Trainer {
    gpu: Arc<Gpu>,
    model: ModelConfig,
    config: StepConfig,
    ranks: Rc<dyn Communicator>,
    trainer: nn::Trainer,
    pictures: PictureInputs,
    joints: ValueId,
    pending: VecDeque<PendingBatch>,
    /// The batches of the oldest step that have finished, where others have not.
    computed: Vec<BatchLoss>,
    finished: Vec<StepLoss>,
    /// Steps submitted whose losses nobody has been told.
    in_flight: u64,
}

/// A batch on its way on the device.
struct PendingBatch {
    step: PendingStep,
    learning_rate: f64,
    pictures: Vec<String>,
    /// The joints to be found.
    truth: Vec<[f32; 3]>,
    skipped: u64,
}

/// What a batch has given.
struct BatchLoss {
    step: u64,
    learning_rate: f64,
    pictures: Vec<String>,
    joints: f32,
    bones: f32,
    accuracy: Accuracy,
    skipped: u64,
}

impl Trainer {
    /// Builds, plans and compiles the step and draws the initial values from `seed`.
    ///
    /// # Errors
    /// [`NetworkError`] where the network does not fit the size or the step does not fit the adapter.
    pub fn new(gpu: &Arc<Gpu>, model: &ModelConfig, config: &StepConfig, seed: u64) -> Result<Self, NetworkError> {
        let alone: Rc<dyn Communicator> = Rc::new(Alone);
        Self::with_ranks(gpu, model, config, seed, &alone)
    }

    /// As [`Trainer::new`], of one of the ranks that the step is spread over. All of them submit the same steps, each its own
    /// batches of them, and ask for losses at the same places.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn with_ranks(
        gpu: &Arc<Gpu>,
        model: &ModelConfig,
        config: &StepConfig,
        seed: u64,
        ranks: &Rc<dyn Communicator>,
    ) -> Result<Self, NetworkError> {
        let StepGraph { step, pictures, joints } = StepGraph::new(model, config, seed)?;
        Ok(Self {
            gpu: Arc::clone(gpu),
            model: model.clone(),
            config: config.clone(),
            ranks: Rc::clone(ranks),
            trainer: nn::Trainer::with_ranks(gpu, step, &Choices::of(gpu)?, ranks)?,
            pictures,
            joints,
            pending: VecDeque::new(),
            computed: Vec::new(),
            finished: Vec::new(),
            in_flight: 0,
        })
    }

    /// The planned step.
    pub fn plan(&self) -> &Plan {
        self.trainer.plan()
    }

    /// Number of trained parameters.
    pub fn parameters(&self) -> usize {
        self.trainer.parameters()
    }

    /// Steps submitted so far, those before a [`Trainer::restore`] included.
    pub fn steps(&self) -> u64 {
        self.trainer.steps()
    }

    /// Uploads this process's batches of a step and submits it. Does not wait for it, only for older batches where too many are
    /// on their way, and for other ranks.
    ///
    /// # Errors
    /// [`NetworkError::Batch`] for another number of pictures; device errors.
    pub fn submit(&mut self, batches: &[Batch], learning_rate: f64) -> Result<(), NetworkError> {
        let (expected, given) = (self.config.batch, batches.iter().map(Batch::len));
        let all = expected * self.config.spread.accumulate;
        if batches.len() != self.config.spread.accumulate || given.clone().any(|given| given != expected) {
            return Err(NetworkError::Batch { expected: all, given: given.sum() });
        }
        for batch in batches {
            while self.pending.len() >= IN_FLIGHT {
                self.finish_oldest()?;
            }
            upload(self.trainer.session(), &self.pictures, batch)?;
            self.trainer.write(self.joints, batch.joints.as_flattened())?;
            self.pending.push_back(PendingBatch {
                step: self.trainer.submit(learning_rate)?,
                learning_rate,
                pictures: batch.people.iter().map(|person| person.name.clone()).collect(),
                truth: batch.joints.clone(),
                skipped: batch.skipped.len() as u64,
            });
        }
        self.in_flight += 1;
        Ok(())
    }

    fn finish_oldest(&mut self) -> Result<(), NetworkError> {
        let Some(pending) = self.pending.pop_front() else { return Ok(()) };
        let PendingBatch { step, learning_rate, pictures, truth, skipped } = pending;
        let (number, outputs) = (step.step, step.wait()?);
        let (found, losses) = outputs.split_last().ok_or_else(|| SessionError::Missing("found".to_string()))?;
        let loss = |number: usize| losses.get(number).and_then(|loss| loss.first()).copied();
        let (joints, bones) = (loss(0).unwrap_or(f32::NAN), loss(1).unwrap_or(0.0));
        let accuracy = Accuracy::of(found.as_chunks::<3>().0, &truth, self.config.size.heat_map());
        self.computed.push(BatchLoss { step: number, learning_rate, pictures, joints, bones, accuracy, skipped });
        if self.computed.len() == self.config.spread.accumulate {
            let batches = std::mem::take(&mut self.computed);
            let loss = self.step_loss(batches);
            self.finished.extend(loss);
        }
        Ok(())
    }

    /// The loss of a step from those of this process's batches, and of all ranks'.
    fn step_loss(&self, batches: Vec<BatchLoss>) -> Option<StepLoss> {
        let &BatchLoss { step, learning_rate, .. } = batches.first()?;
        // As bits: JSON has no numbers that are not finite.
        let given = |it: &BatchLoss| ([it.joints, it.bones].map(f32::to_bits), it.accuracy, it.skipped);
        let all = gather(&*self.ranks, &batches.iter().map(given).collect::<Vec<_>>()).concat();
        let mean = |loss: usize| {
            let losses = all.iter().map(|(losses, ..)| f64::from(f32::from_bits(losses[loss])));
            (losses.sum::<f64>() / all.len() as f64) as f32
        };
        let (joints, bones) = (mean(0), mean(1));
        let total = self.config.objective.total(joints, bones);
        let mut accuracy = Accuracy::default();
        all.iter().for_each(|&(_, of_batch, _)| accuracy.add(of_batch));
        let skipped = all.iter().map(|&(.., skipped)| skipped).sum();
        let of_ranks = all.chunks(self.config.spread.accumulate).enumerate();
        let is_bad = |losses: &[u32; 2]| losses.iter().any(|&loss| !f32::from_bits(loss).is_finite());
        let bad = of_ranks.filter(|(_, batches)| batches.iter().any(|(losses, ..)| is_bad(losses)));
        let not_finite = bad.map(|(rank, _)| rank).collect();
        let names = |batches: &mut dyn Iterator<Item = BatchLoss>| batches.flat_map(|it| it.pictures).collect();
        let pictures: Vec<String> = if total.is_finite() || self.ranks.size() == 1 {
            names(&mut batches.into_iter())
        } else {
            gather(&*self.ranks, &names(&mut batches.into_iter().filter(|batch| is_bad(&given(batch).0)))).concat()
        };
        Some(StepLoss { step, learning_rate, pictures, not_finite, joints, bones, total, accuracy, skipped })
    }

    /// Steps that were submitted and whose losses [`losses`](Self::losses) has not returned yet.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// The losses of the steps that have finished since the last call, in order; of all submitted ones where
    /// `wait_for_all`.
    ///
    /// # Errors
    /// Device errors.
    pub fn losses(&mut self, wait_for_all: bool) -> Result<Vec<StepLoss>, NetworkError> {
        while wait_for_all && !self.pending.is_empty() {
            self.finish_oldest()?;
        }
        self.in_flight -= self.finished.len() as u64;
        Ok(std::mem::take(&mut self.finished))
    }

    /// What exchanging with other ranks has taken so far; `None` without others.
    pub fn communication(&self) -> Option<Communication> {
        self.trainer.communication()
    }

    /// The loss scale after all submitted steps; `None` in float32, which needs none.
    ///
    /// # Errors
    /// Device errors.
    pub fn loss_scale(&self) -> Result<Option<LossScale>, NetworkError> {
        self.trainer.loss_scale()
    }

    /// Everything that the next step depends on; see [`nn::Trainer::state`].
    ///
    /// # Errors
    /// Device errors.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, NetworkError> {
        self.trainer.state()
    }

    /// Continues from a [`Trainer::state`].
    ///
    /// # Errors
    /// As [`nn::Trainer::restore`].
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), NetworkError> {
        self.losses(true)?;
        self.trainer.restore(state)
    }

    /// The network for inference, which shares this trainer's weights as they change.
    ///
    /// # Errors
    /// As [`PoseNetwork::new`].
    pub fn pose_network(&mut self, options: DecodeOptions) -> Result<PoseNetwork, NetworkError> {
        let &StepConfig { size, batch, .. } = &self.config;
        PoseNetwork::sharing(&self.gpu, &self.model, size, batch, options, self.trainer.store())
    }

    /// Runs the last step once more with time stamps (and so updates the parameters): seconds of each dispatch.
    ///
    /// # Errors
    /// Device errors.
    pub fn profile(&self) -> Result<Vec<(String, f64)>, NetworkError> {
        self.trainer.profile()
    }
}

/// The two outputs of a target operator.
fn targets_of(outputs: &[ValueId]) -> Targets {
    Targets { maps: outputs[0], weights: outputs[1] }
}
