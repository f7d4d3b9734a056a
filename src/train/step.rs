//! One step of pose training: crop, targets and losses around the network, and the joints that it found.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::accuracy::Accuracy;
use super::objective::{LossTerm, LossValues, Losses, Objective, Targets};
use crate::data::{Batch, Size};
use crate::gpu::Gpu;
use crate::graph::{Choices, Plan, SessionError, Tensor};
use serde::{Deserialize, Serialize};

use crate::ir::{Graph, ShapeError, ValueId};
use crate::models::{HeatMaps, ModelConfig};
use crate::nn::{self, Communication, Mode, Network, NetworkError, PendingStep, PictureInputs, Spread, TrainingStep};
use crate::ops::decode::Decode;
use crate::ops::targets::{BlurredTargets, BoneTargets, CoordinateTargets, JointTargets};
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
    /// What the targets of the joint maps look like.
    pub targets: TargetMaps,
    /// Deviation of Gaussian targets in heat-map pixels.
    pub sigma: f32,
    /// How parameters follow their gradients.
    pub optimizer: nn::Optimizer,
    /// How feature maps and their gradients are stored.
    pub precision: Precision,
}

/// Targets of joint heat maps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetMaps {
    /// [`JointTargets`], the same for all maps.
    #[default]
    Gaussian,
    /// [`BlurredTargets`], of which coarse maps have wider ones: CPN's and RSN's.
    Blurred,
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
    /// Its losses.
    pub losses: LossValues,
    /// What is minimised: the weighted sum of the losses.
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
    /// `[N, J, 3]`: position in heat-map pixels and flag of each joint, as in [`Batch::joints`].
    pub joints: ValueId,
    /// The losses.
    pub losses: Losses,
}

impl StepGraph {
    /// Its outputs are the losses in their order, and the joints found in the maps, `[N, J, 3]`. `seed` is that of the initial
    /// values.
    ///
    /// # Errors
    /// [`ShapeError`] where the network does not fit the size.
    pub fn new(model: &ModelConfig, config: &StepConfig, seed: u64) -> Result<Self, ShapeError> {
        let mut net = Network::new(Mode::Training);
        let (pictures, image) = net.pictures(config.batch, config.size.extents(), model.normalization.constants())?;
        let joints = net.input("joints", [config.batch, model.skeleton.joints.len(), 3]);
        let maps = model.build(&mut net, image)?;
        let mut targets = TargetGraph { joints, model, config, joint_targets: Vec::new() };
        let graph = &mut net.graph;
        let losses = config.objective.append(graph, &maps, |graph, term| targets.of(graph, &maps, term))?;
        let decode = if model.integral { Decode::Expectation } else { Decode::Quarter };
        let found = graph.apply_one(decode, &[maps.joints])?;
        let training = losses.training().keep(&[found]);
        let training =
            training.optimizer(config.optimizer).precision(config.precision).spread(config.spread).seed(seed);
        Ok(Self { step: TrainingStep::new(net, training)?, pictures, joints, losses })
    }
}

/// Targets on their way into a graph.
struct TargetGraph<'a> {
    /// `[N, J, 3]`.
    joints: ValueId,
    model: &'a ModelConfig,
    config: &'a StepConfig,
    /// Those of joint maps that are there, by blur and whether they are coarse.
    joint_targets: Vec<((usize, bool), Targets)>,
}

impl TargetGraph<'_> {
    fn of(&mut self, graph: &mut Graph, maps: &HeatMaps, term: LossTerm) -> Result<Targets, ShapeError> {
        let [height, width] = self.config.size.heat_map().extents();
        let sigma = self.config.sigma;
        let outputs = match term {
            LossTerm::Joints => return self.of_joint_maps(graph, maps.blur, false),
            LossTerm::Side(number) => {
                let side = maps.sides[number];
                return self.of_joint_maps(graph, side.blur, side.coarse);
            }
            LossTerm::Bones => {
                let bones = self.model.skeleton.bones.clone();
                graph.apply(BoneTargets { height, width, sigma, bones }, &[self.joints])?
            }
            LossTerm::Coordinates => graph.apply(CoordinateTargets { height, width }, &[self.joints])?,
        };
        Ok(targets_of(&outputs))
    }

    fn of_joint_maps(&mut self, graph: &mut Graph, blur: usize, coarse: bool) -> Result<Targets, ShapeError> {
        let [height, width] = self.config.size.heat_map().extents();
        let key = match self.config.targets {
            TargetMaps::Gaussian => (0, false),
            TargetMaps::Blurred => (blur, coarse),
        };
        if let Some(&(_, targets)) = self.joint_targets.iter().find(|(known, _)| *known == key) {
            return Ok(targets);
        }
        let outputs = match self.config.targets {
            TargetMaps::Gaussian => {
                graph.apply(JointTargets { height, width, sigma: self.config.sigma }, &[self.joints])?
            }
            TargetMaps::Blurred => {
                graph.apply(BlurredTargets { height, width, blur, visible_only: coarse }, &[self.joints])?
            }
        };
        let targets = targets_of(&outputs);
        self.joint_targets.push((key, targets));
        Ok(targets)
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
    losses: Losses,
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
    losses: Vec<f32>,
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
        let StepGraph { step, pictures, joints, losses } = StepGraph::new(model, config, seed)?;
        Ok(Self {
            gpu: Arc::clone(gpu),
            model: model.clone(),
            config: config.clone(),
            ranks: Rc::clone(ranks),
            trainer: nn::Trainer::with_ranks(gpu, step, &Choices::of(gpu)?, ranks)?,
            pictures,
            joints,
            losses,
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
        let losses = losses.iter().map(|loss| loss.first().copied().unwrap_or(f32::NAN)).collect();
        let accuracy = Accuracy::of(found.as_chunks::<3>().0, &truth, self.config.size.heat_map());
        self.computed.push(BatchLoss { step: number, learning_rate, pictures, losses, accuracy, skipped });
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
        let bits = |losses: &[f32]| losses.iter().map(|loss| loss.to_bits()).collect::<Vec<u32>>();
        let given = |it: &BatchLoss| (bits(&it.losses), it.accuracy, it.skipped);
        let all = gather(&*self.ranks, &batches.iter().map(given).collect::<Vec<_>>()).concat();
        let mean = |loss: usize| {
            let losses = all.iter().map(|(losses, ..)| f64::from(f32::from_bits(losses[loss])));
            (losses.sum::<f64>() / all.len() as f64) as f32
        };
        let losses: Vec<f32> = (0..self.losses.0.len()).map(mean).collect();
        let total = self.losses.total(&losses);
        let mut accuracy = Accuracy::default();
        all.iter().for_each(|(_, of_batch, _)| accuracy.add(*of_batch));
        let skipped = all.iter().map(|(.., skipped)| skipped).sum();
        let of_ranks = all.chunks(self.config.spread.accumulate).enumerate();
        let is_bad = |losses: &[u32]| losses.iter().any(|&loss| !f32::from_bits(loss).is_finite());
        let bad = of_ranks.filter(|(_, batches)| batches.iter().any(|(losses, ..)| is_bad(losses)));
        let not_finite = bad.map(|(rank, _)| rank).collect();
        let names = |batches: &mut dyn Iterator<Item = BatchLoss>| batches.flat_map(|it| it.pictures).collect();
        let pictures: Vec<String> = if total.is_finite() || self.ranks.size() == 1 {
            names(&mut batches.into_iter())
        } else {
            gather(&*self.ranks, &names(&mut batches.into_iter().filter(|batch| is_bad(&given(batch).0)))).concat()
        };
        let losses = self.losses.named(&losses);
        Some(StepLoss { step, learning_rate, pictures, not_finite, losses, total, accuracy, skipped })
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
