//! A network in training on a device.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::training::LOSS_SCALE;
use super::{Network, NetworkError, Precision, Training, TrainingStep};
use crate::gpu::{Gpu, Readback};
use crate::graph::{Choices, Plan, Session, SessionError, Store, Tensor};
use crate::ir::ValueId;
use crate::ops::loss_scale;

/// The tensor of a checkpoint that counts the optimizer's steps.
const STEP: &str = "optimizer.step";

/// Runs training steps: uploads, forward pass, backward pass and updates.
///
/// ```no_run
/// # use ditn::gpu::Gpu;
/// # use ditn::ir::ValueId;
/// # use ditn::nn::{Network, NetworkError, Trainer, Training};
/// # use ditn::ops::sgd::SgdSettings;
/// # fn example(
/// #     gpu: &std::sync::Arc<Gpu>, net: Network, loss: ValueId, pictures: ValueId, batches: &[Vec<f32>],
/// # ) -> Result<(), NetworkError> {
/// let training = Training::minimize(loss).optimizer(SgdSettings { momentum: 0.9, weight_decay: 1e-4 });
/// let mut trainer = Trainer::new(gpu, net, training)?;
/// for batch in batches {
///     trainer.write(pictures, batch)?;
///     println!("{}", trainer.step(0.1)?);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Trainer {
    gpu: Arc<Gpu>,
    store: Store,
    session: Session,
    training: Training,
    hyper: ValueId,
    steps: u64,
}

/// The state of dynamic loss scaling.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// What the gradients are multiplied by.
    pub scale: f32,
    /// Steps so far that changed nothing because a gradient overflowed.
    pub skipped_steps: u64,
}

/// A submitted step, whose outputs are on their way to the host.
pub struct PendingStep {
    /// Number of the step, from 0.
    pub step: u64,
    outputs: Vec<Readback>,
}

impl PendingStep {
    /// Waits for the step: the contents of [`Training::outputs`], in their order.
    ///
    /// # Errors
    /// Device errors.
    pub fn wait(self) -> Result<Vec<Vec<f32>>, NetworkError> {
        let outputs: Result<Vec<_>, _> = self.outputs.into_iter().map(Readback::wait).collect();
        Ok(outputs.map_err(SessionError::from)?)
    }
}

impl Trainer {
    /// Differentiates, plans and compiles the step of `net` and draws the initial values. Kernels are those of the
    /// adapter's tuned [`Choices`].
    ///
    /// # Errors
    /// [`NetworkError`] where a loss is not `[1]` or has no gradient, or the step does not fit the adapter.
    pub fn new(gpu: &Arc<Gpu>, net: Network, training: Training) -> Result<Self, NetworkError> {
        Self::with_choices(gpu, TrainingStep::new(net, training)?, &Choices::of(gpu)?)
    }

    /// As [`Trainer::new`] with these choices of kernels.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn with_choices(gpu: &Arc<Gpu>, step: TrainingStep, choices: &Choices) -> Result<Self, NetworkError> {
        let plan = step.plan(gpu.capabilities(), choices)?;
        let mut store = Store::new(gpu);
        let session = Session::new(gpu, plan, &mut store)?;
        let TrainingStep { training, seeds, hyper, initial, .. } = step;
        for (name, initial) in initial {
            let elements = store.elements(&name)?;
            store.write(&name, &initial.draw(training.seed, &name, elements))?;
        }
        if training.precision == Precision::F16 {
            store.write(LOSS_SCALE, &loss_scale::INITIAL)?;
        }
        for (seed, weight) in seeds {
            session.write(seed, &[weight])?;
        }
        Ok(Self { gpu: Arc::clone(gpu), store, session, training, hyper, steps: 0 })
    }

    /// Uploads an input of the next steps, in the words that it is stored in: `f32`, or `u32` for labels.
    ///
    /// # Errors
    /// [`SessionError`] where there are more words than the input has.
    pub fn write<T: bytemuck::NoUninit>(&self, input: ValueId, words: &[T]) -> Result<(), NetworkError> {
        Ok(self.session.write(input, words)?)
    }

    /// Waits for submitted steps and copies a parameter, state or one of [`Training::outputs`] to the host, row-major.
    ///
    /// # Errors
    /// [`SessionError::NotAnOutput`] for what is not kept; device errors.
    pub fn read(&self, value: ValueId) -> Result<Vec<f32>, NetworkError> {
        Ok(self.session.read(value)?)
    }

    /// Runs a step and waits for it: the weighted sum of its losses, before its update.
    ///
    /// # Errors
    /// Device errors.
    pub fn step(&mut self, learning_rate: f64) -> Result<f32, NetworkError> {
        let outputs = self.submit(learning_rate)?.wait()?;
        let losses = self.training.losses().iter().zip(outputs);
        Ok(losses.map(|(&(_, weight), loss)| weight * loss[0]).sum())
    }

    /// Submits a step without waiting for it. Wait for each after a few more at the latest: what is submitted takes
    /// memory.
    ///
    /// # Errors
    /// Device errors.
    pub fn submit(&mut self, learning_rate: f64) -> Result<PendingStep, NetworkError> {
        let step = self.steps;
        self.session.write(self.hyper, &self.training.optimizer.hyper(step + 1, learning_rate))?;
        self.session.run()?;
        self.steps += 1;
        let outputs: Result<Vec<_>, _> =
            self.session.plan().outputs.iter().map(|&output| self.session.read_later(output)).collect();
        Ok(PendingStep { step, outputs: outputs? })
    }

    /// Steps submitted so far, those before a [`Trainer::restore`] included.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The session that runs the step, to upload inputs that vary in length and to read values.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The planned step.
    pub fn plan(&self) -> &Plan {
        self.session.plan()
    }

    /// The parameters, running statistics and the optimizer's state, by name.
    pub fn store(&mut self) -> &mut Store {
        &mut self.store
    }

    /// A session that computes `outputs` of `net` with the parameters of this trainer, as they are at each run. Build
    /// `net` for [`Mode::Inference`](super::Mode), with the names that the trained network has.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn inference(&mut self, net: Network, outputs: &[ValueId]) -> Result<Session, NetworkError> {
        let plan = net.plan(outputs, self.gpu.capabilities(), &Choices::of(&self.gpu)?)?;
        Ok(Session::new(&self.gpu, plan, &mut self.store)?)
    }

    /// Number of trained parameters.
    pub fn parameters(&self) -> usize {
        let graph = &self.plan().graph;
        graph.parameters().iter().map(|&id| graph.shape(id).elements()).sum()
    }

    /// The loss scale after all submitted steps; `None` in float32, which needs none.
    ///
    /// # Errors
    /// Device errors.
    pub fn loss_scale(&self) -> Result<Option<LossScale>, NetworkError> {
        if self.training.precision == Precision::F32 {
            return Ok(None);
        }
        let state = self.store.read(LOSS_SCALE)?.data;
        Ok(Some(LossScale { scale: state[0], skipped_steps: state[2] as u64 }))
    }

    /// Everything that the next step depends on: parameters and running statistics by their names, the optimizer's state as
    /// `optimizer.KIND.NAME`, its step count as `optimizer.step`, and in half precision the loss scale as
    /// `optimizer.loss_scale`.
    ///
    /// # Errors
    /// Device errors.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, NetworkError> {
        let mut state = self.store.read_all()?;
        // Two halves of 24 bits, which float32 holds exactly.
        let halves = [(self.steps >> 24) as f32, (self.steps & 0xff_ffff) as f32];
        state.insert(STEP.to_string(), Tensor { shape: vec![2], data: halves.to_vec() });
        Ok(state)
    }

    /// Continues from a [`Trainer::state`].
    ///
    /// # Errors
    /// [`NetworkError::Missing`] or [`SessionError::OtherShape`] for the state of another network; then nothing is
    /// changed.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), NetworkError> {
        let halves = state.get(STEP).ok_or_else(|| NetworkError::Missing(STEP.to_string()))?;
        let [high, low] = halves.data[..] else { return Err(NetworkError::Missing(STEP.to_string())) };
        self.store.load(state)?;
        self.steps = ((high as u64) << 24).saturating_add(low as u64);
        Ok(())
    }

    /// Runs the last step once more with time stamps (and so updates the parameters): seconds of each dispatch.
    ///
    /// # Errors
    /// Device errors.
    pub fn profile(&self) -> Result<Vec<(String, f64)>, NetworkError> {
        Ok(self.session.profile()?)
    }
}
