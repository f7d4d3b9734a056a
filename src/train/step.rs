//! One training step as one plan: crop, targets, network, losses, gradients and optimizer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::accuracy::Accuracy;
use super::objective::{Losses, Objective, Targets, append_gradients, append_optimizer};
use crate::data::{Batch, Size};
use crate::gpu::{Gpu, Readback};
use crate::graph::{Choices, Plan, Session, SessionError, Store, Tensor, fuse, store_activations_as_f16};
use crate::ir::{Capabilities, ShapeError, ValueId};
use crate::models::ModelConfig;
use crate::nn::{Mode, Network, PictureInputs};
use crate::ops::adamw::AdamWSettings;
use crate::ops::decode::Decode;
use crate::ops::loss_scale;
use crate::ops::targets::{BoneTargets, JointTargets};
use crate::predict::network::upload;
use crate::predict::{DecodeOptions, NetworkError, PoseNetwork};

/// Steps that may be on their way on the device before [`Trainer::submit`] waits for the oldest.
const IN_FLIGHT: usize = 2;
/// The tensor of a checkpoint that counts the optimizer's steps.
const STEP: &str = "optimizer.step";
/// The tensor of a checkpoint that holds the state of the loss scale.
const LOSS_SCALE: &str = "optimizer.loss_scale";

/// How a training step stores feature maps and their gradients. Kernels compute in float32 either way; parameters, sums and
/// losses are always float32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As float32.
    #[default]
    F32,
    /// As F16, with a [loss scale](loss_scale): half the memory and traffic.
    F16,
}

/// What a training step computes.
#[derive(Debug, Clone, PartialEq)]
pub struct StepConfig {
    /// The size of the network's input.
    pub size: Size,
    /// Pictures a step.
    pub batch: usize,
    /// What is minimised.
    pub objective: Objective,
    /// Deviation of the targets in heat-map pixels.
    pub sigma: f32,
    /// The optimizer's constants.
    pub optimizer: AdamWSettings,
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
    /// The names of its pictures.
    pub pictures: Vec<String>,
    /// Loss of the joint heat maps.
    pub joints: f32,
    /// Loss of the bone heat maps; 0 for networks without.
    pub bones: f32,
    /// joints + bone_weight * bones.
    pub total: f32,
    /// The joints found in its pictures.
    pub accuracy: Accuracy,
}

/// The scale of the loss in half precision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// What the gradients are multiplied by.
    pub scale: f32,
    /// Steps so far that changed nothing because a gradient overflowed.
    pub skipped_steps: u64,
}

/// One training step as a graph, with the values through which the host speaks to it.
pub(super) struct StepGraph {
    pub net: Network,
    pub pictures: PictureInputs,
    /// `[N, J, 3]`: position in heat-map pixels and weight of each joint.
    pub joints: ValueId,
    pub hyper: ValueId,
    pub losses: Losses,
    /// `[N, J, 3]`: the joints found in the maps.
    pub found: ValueId,
}

impl StepGraph {
    pub fn new(model: &ModelConfig, config: &StepConfig) -> Result<Self, ShapeError> {
        let mut net = Network::new(Mode::Training);
        let (pictures, image) = net.pictures(config.batch, config.size.extents())?;
        let joints = net.graph.input("joints", [config.batch, model.skeleton.joints.len(), 3]);
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
        fuse(graph, &outputs(&losses, found));
        let loss_scale = match config.precision {
            Precision::F32 => None,
            Precision::F16 => Some(graph.state(LOSS_SCALE, [loss_scale::INITIAL.len()])),
        };
        let gradients = append_gradients(graph, &losses, loss_scale)?;
        let hyper = append_optimizer(graph, &gradients, loss_scale)?;
        Ok(Self { net, pictures, joints, hyper, losses, found })
    }

    /// The plan of the step.
    pub fn plan(
        &mut self,
        precision: Precision,
        capabilities: &Capabilities,
        choices: &Choices,
    ) -> Result<Plan, NetworkError> {
        let mut graph = std::mem::take(&mut self.net.graph);
        let outputs = outputs(&self.losses, self.found);
        if precision == Precision::F16 {
            if !capabilities.shader_f16 {
                return Err(NetworkError::NoF16);
            }
            store_activations_as_f16(&mut graph, &outputs, capabilities);
        }
        Ok(Plan::with_choices(graph, &outputs, capabilities, choices)?)
    }
}

fn outputs(losses: &Losses, found: ValueId) -> Vec<ValueId> {
    losses.values().into_iter().chain([found]).collect()
}

/// A network in training on a device.
pub struct Trainer {
    gpu: Arc<Gpu>,
    model: ModelConfig,
    config: StepConfig,
    store: Store,
    session: Session,
    pictures: PictureInputs,
    joints: ValueId,
    hyper: ValueId,
    losses: Losses,
    found: ValueId,
    step: u64,
    pending: VecDeque<PendingLoss>,
    finished: Vec<StepLoss>,
}

/// Losses and found joints on their way to the host.
struct PendingLoss {
    step: u64,
    learning_rate: f64,
    pictures: Vec<String>,
    joints: Readback,
    bones: Option<Readback>,
    found: Readback,
    /// The joints to be found.
    truth: Vec<[f32; 3]>,
}

impl Trainer {
    /// Builds, plans and compiles the step and draws the initial values from `seed`.
    ///
    /// # Errors
    /// [`NetworkError`] where the network does not fit the size or the step does not fit the adapter.
    pub fn new(gpu: &Arc<Gpu>, model: &ModelConfig, config: &StepConfig, seed: u64) -> Result<Self, NetworkError> {
        let mut step = StepGraph::new(model, config)?;
        let plan = step.plan(config.precision, gpu.capabilities(), &Choices::of(gpu)?)?;
        let StepGraph { net, pictures, joints, hyper, losses, found } = step;
        let initial = net.initial().clone();
        let mut store = Store::new(gpu);
        let session = Session::new(gpu, plan, &mut store)?;
        for (name, initial) in initial {
            let elements = store.elements(&name)?;
            store.write(&name, &initial.draw(seed, &name, elements))?;
        }
        if config.precision == Precision::F16 {
            store.write(LOSS_SCALE, &loss_scale::INITIAL)?;
        }
        for (seed, share) in losses.shares(&config.objective) {
            session.write(seed, &[share])?;
        }
        Ok(Self {
            gpu: Arc::clone(gpu),
            model: model.clone(),
            config: config.clone(),
            store,
            session,
            pictures,
            joints,
            hyper,
            losses,
            found,
            step: 0,
            pending: VecDeque::new(),
            finished: Vec::new(),
        })
    }

    /// The planned step.
    pub fn plan(&self) -> &Plan {
        self.session.plan()
    }

    /// Number of trained parameters.
    pub fn parameters(&self) -> usize {
        let graph = &self.session.plan().graph;
        graph.parameters().iter().map(|&id| graph.shape(id).elements()).sum()
    }

    /// Uploads a batch and submits one step. Does not wait for it, only for older ones where too many are on their way.
    ///
    /// # Errors
    /// [`NetworkError::Batch`] for a batch of another size; device errors.
    pub fn submit(&mut self, batch: &Batch, learning_rate: f64) -> Result<(), NetworkError> {
        if batch.len() != self.config.batch {
            return Err(NetworkError::Batch { expected: self.config.batch, given: batch.len() });
        }
        while self.pending.len() >= IN_FLIGHT {
            self.finish_oldest()?;
        }
        upload(&mut self.session, &self.pictures, batch)?;
        self.session.write(self.joints, batch.joints.as_flattened())?;
        self.session.write(self.hyper, &self.config.optimizer.hyper(self.step + 1, learning_rate))?;
        self.session.run()?;
        self.pending.push_back(PendingLoss {
            step: self.step,
            learning_rate,
            pictures: batch.people.iter().map(|person| person.name.clone()).collect(),
            joints: self.session.read_later(self.losses.joints)?,
            bones: self.losses.bones.map(|loss| self.session.read_later(loss)).transpose()?,
            found: self.session.read_later(self.found)?,
            truth: batch.joints.clone(),
        });
        self.step += 1;
        Ok(())
    }

    fn finish_oldest(&mut self) -> Result<(), NetworkError> {
        let Some(pending) = self.pending.pop_front() else { return Ok(()) };
        let PendingLoss { step, learning_rate, pictures, joints, bones, found, truth } = pending;
        let first = |readback: Readback| -> Result<f32, SessionError> {
            Ok(readback.wait()?.first().copied().unwrap_or(f32::NAN))
        };
        let joints = first(joints)?;
        let bones = bones.map(first).transpose()?.unwrap_or(0.0);
        let found: Vec<f32> = found.wait().map_err(SessionError::from)?;
        let accuracy = Accuracy::of(found.as_chunks::<3>().0, &truth, self.config.size.heat_map());
        let total = self.config.objective.total(joints, bones);
        self.finished.push(StepLoss { step, learning_rate, pictures, joints, bones, total, accuracy });
        Ok(())
    }

    /// Steps that were submitted and whose losses [`losses`](Self::losses) has not returned yet.
    pub fn in_flight(&self) -> u64 {
        (self.pending.len() + self.finished.len()) as u64
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
        Ok(std::mem::take(&mut self.finished))
    }

    /// The loss scale after all submitted steps; `None` in float32, which needs none.
    ///
    /// # Errors
    /// Device errors.
    pub fn loss_scale(&self) -> Result<Option<LossScale>, NetworkError> {
        if self.config.precision == Precision::F32 {
            return Ok(None);
        }
        let state = self.store.read(LOSS_SCALE)?.data;
        Ok(Some(LossScale { scale: state[0], skipped_steps: state[2] as u64 }))
    }

    /// Everything that the next step depends on: parameters and running statistics by their public names, the
    /// optimizer's moments as `optimizer.m.NAME` and `optimizer.v.NAME`, its step count as `optimizer.step`, and in half
    /// precision the loss scale as `optimizer.loss_scale`.
    ///
    /// # Errors
    /// Device errors.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, NetworkError> {
        let mut state = self.store.read_all()?;
        // Two halves of 24 bits, which float32 holds exactly.
        let halves = [(self.step >> 24) as f32, (self.step & 0xff_ffff) as f32];
        state.insert(STEP.to_string(), Tensor { shape: vec![2], data: halves.to_vec() });
        Ok(state)
    }

    /// Continues from a [`Trainer::state`].
    ///
    /// # Errors
    /// [`NetworkError::Missing`] or [`SessionError::OtherShape`] for the state of another network; then nothing is changed.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), NetworkError> {
        let halves = state.get(STEP).ok_or_else(|| NetworkError::Missing(STEP.to_string()))?;
        let [high, low] = halves.data[..] else { return Err(NetworkError::Missing(STEP.to_string())) };
        self.losses(true)?;
        self.store.load(state)?;
        self.step = ((high as u64) << 24) + low as u64;
        Ok(())
    }

    /// The network for inference, which shares this trainer's weights as they change.
    ///
    /// # Errors
    /// As [`PoseNetwork::new`].
    pub fn pose_network(&mut self, options: DecodeOptions) -> Result<PoseNetwork, NetworkError> {
        let &StepConfig { size, batch, .. } = &self.config;
        PoseNetwork::sharing(&self.gpu, &self.model, size, batch, options, &mut self.store)
    }

    /// Runs the last step once more with time stamps (and so updates the parameters): seconds of each dispatch.
    ///
    /// # Errors
    /// Device errors.
    pub fn profile(&self) -> Result<Vec<(String, f64)>, NetworkError> {
        Ok(self.session.profile()?)
    }
}

/// The two outputs of a target operator.
fn targets_of(outputs: &[ValueId]) -> Targets {
    Targets { maps: outputs[0], weights: outputs[1] }
}
