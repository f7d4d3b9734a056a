//! One training step as one plan: crop, targets, network, losses, gradients and optimizer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::data::Batch;
use crate::gpu::{Gpu, Readback};
use crate::graph::{Plan, Session, SessionError, Store, Tensor, differentiate, fuse};
use crate::ir::{ShapeError, ValueId};
use crate::models::ModelConfig;
use crate::nn::{Mode, Network, PictureInputs};
use crate::ops::adamw::{AdamW, AdamWSettings};
use crate::ops::loss::{LossKind, MapLoss};
use crate::ops::targets::{BoneTargets, JointTargets};
use crate::predict::predictor::{NetworkError, Predictor, upload};

/// Steps that may be on their way on the device before [`Trainer::submit`] waits for the oldest.
const IN_FLIGHT: usize = 2;
/// The tensor of a checkpoint that counts the optimizer's steps.
const STEP: &str = "optimizer.step";

/// What a training step computes.
#[derive(Debug, Clone, PartialEq)]
pub struct StepConfig {
    /// Height and width of the network's input.
    pub size: [usize; 2],
    /// Pictures a step.
    pub batch: usize,
    /// Loss of the joint heat maps.
    pub loss: LossKind,
    /// Loss of the bone heat maps.
    pub bone_loss: LossKind,
    /// Lambda of Equation 10: total = joints + bone_weight * bones.
    pub bone_weight: f32,
    /// Deviation of the targets in heat-map pixels.
    pub sigma: f32,
    /// The optimizer's constants.
    pub optimizer: AdamWSettings,
}

/// The losses of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepLoss {
    /// Number of the step, from 0.
    pub step: u64,
    /// Loss of the joint heat maps.
    pub joints: f32,
    /// Loss of the bone heat maps; 0 for networks without.
    pub bones: f32,
    /// joints + bone_weight * bones.
    pub total: f32,
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
    joint_loss: ValueId,
    bone_loss: Option<ValueId>,
    step: u64,
    pending: VecDeque<PendingLoss>,
    finished: Vec<StepLoss>,
}

/// Losses on their way to the host.
struct PendingLoss {
    step: u64,
    joints: Readback,
    bones: Option<Readback>,
}

impl Trainer {
    /// Builds, plans and compiles the step and draws the initial values from `seed`.
    ///
    /// # Errors
    /// [`NetworkError`] where the network does not fit the size or the step does not fit the adapter.
    pub fn new(gpu: &Arc<Gpu>, model: &ModelConfig, config: &StepConfig, seed: u64) -> Result<Self, NetworkError> {
        let mut net = Network::new(Mode::Training);
        let (pictures, image) = net.pictures(config.batch, config.size)?;
        let joints = net.graph.input("joints", [config.batch, model.skeleton.joints.len(), 3]);
        let maps = model.build(&mut net, image)?;

        let [height, width] = config.size.map(|side| side / 4);
        let sigma = config.sigma;
        let one = net.graph.input("gradient of the joint loss", [1]);
        let targets = net.graph.apply(JointTargets { height, width, sigma }, &[joints])?;
        let loss = MapLoss { kind: config.loss };
        let joint_loss = net.graph.apply_one(loss, &[maps.joints, targets[0], targets[1]])?;
        let mut seeds = vec![(joint_loss, one)];
        let mut bone_loss = None;
        if let Some(bones) = maps.bones {
            let operator = BoneTargets { height, width, sigma, bones: model.skeleton.bones.to_vec() };
            let targets = net.graph.apply(operator, &[joints])?;
            let loss = net.graph.apply_one(MapLoss { kind: config.bone_loss }, &[bones, targets[0], targets[1]])?;
            seeds.push((loss, net.graph.input("gradient of the bone loss", [1])));
            bone_loss = Some(loss);
        }
        let outputs: Vec<ValueId> = seeds.iter().map(|&(loss, _)| loss).collect();

        fuse(&mut net.graph, &outputs);
        let hyper = append_optimizer(&mut net, &seeds)?;
        let mut store = Store::new(gpu);
        let initial = net.initial().clone();
        let plan = Plan::new(net.graph, &outputs, gpu.capabilities())?;
        let session = Session::new(gpu, plan, &mut store)?;
        for (name, initial) in initial {
            let elements = store.elements(&name)?;
            store.write(&name, &initial.draw(seed, &name, elements))?;
        }
        // The total is joints + bone_weight * bones: its gradients for the two are 1 and bone_weight.
        for (&(_, gradient), value) in seeds.iter().zip([1.0, config.bone_weight]) {
            session.write(gradient, &[value])?;
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
            joint_loss,
            bone_loss,
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
            joints: self.session.read_later(self.joint_loss)?,
            bones: self.bone_loss.map(|loss| self.session.read_later(loss)).transpose()?,
        });
        self.step += 1;
        Ok(())
    }

    fn finish_oldest(&mut self) -> Result<(), NetworkError> {
        let Some(PendingLoss { step, joints, bones }) = self.pending.pop_front() else { return Ok(()) };
        let first = |readback: Readback| -> Result<f32, SessionError> {
            Ok(readback.wait()?.first().copied().unwrap_or(f32::NAN))
        };
        let joints = first(joints)?;
        let bones = bones.map(first).transpose()?.unwrap_or(0.0);
        self.finished.push(StepLoss { step, joints, bones, total: joints + self.config.bone_weight * bones });
        Ok(())
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

    /// Everything that the next step depends on: parameters and running statistics by their public names, the
    /// optimizer's moments as `optimizer.m.NAME` and `optimizer.v.NAME`, and its step count as `optimizer.step`.
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

    /// A predictor that shares this trainer's weights as they change.
    ///
    /// # Errors
    /// As [`Predictor::new`].
    pub fn predictor(&mut self, flip_test: bool) -> Result<Predictor, NetworkError> {
        let &StepConfig { size, batch, .. } = &self.config;
        Predictor::sharing(&self.gpu, &self.model, size, batch, flip_test, &mut self.store)
    }

    /// Runs the last step once more with time stamps (and so updates the parameters): seconds of each dispatch.
    ///
    /// # Errors
    /// Device errors.
    pub fn profile(&self) -> Result<Vec<(String, f64)>, NetworkError> {
        Ok(self.session.profile()?)
    }
}

/// Appends the gradients of the seeds and an update of every parameter; returns the input of the optimizer's numbers.
fn append_optimizer(net: &mut Network, seeds: &[(ValueId, ValueId)]) -> Result<ValueId, ShapeError> {
    let graph = &mut net.graph;
    let hyper = graph.input("hyper", [8]);
    let parameters = graph.parameters();
    let gradients = differentiate(graph, seeds, &parameters)?;
    for (parameter, gradient) in parameters.into_iter().zip(gradients) {
        let Some(gradient) = gradient else { continue };
        let (name, shape) = (graph.value(parameter).name.clone(), graph.shape(parameter).clone());
        let first = graph.state(&format!("optimizer.m.{name}"), shape.clone());
        let second = graph.state(&format!("optimizer.v.{name}"), shape);
        graph.scoped_as(&name, |graph| graph.apply(AdamW, &[parameter, gradient, first, second, hyper]))?;
    }
    Ok(hyper)
}
