//! A network in training on a device.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::exchange::{Communication, Exchange};
use super::micro_batches::Update;
use super::{LOSS_SCALE, Network, NetworkError, Precision, Spread, Training, TrainingStep};
use crate::gpu::{Gpu, Readback};
use crate::graph::{Choices, Plan, Session, Store, Tensor};
use crate::ir::ValueId;
use crate::ops::loss_scale;
use crate::ranks::{Alone, Communicator};

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
    /// What a step of several micro-batches has besides.
    split: Option<Split>,
}

/// How a step of several micro-batches goes on behind each of them.
struct Split {
    update: Session,
    /// The input that is 0 for the first micro-batch of a step and 1 for the others.
    keep: ValueId,
    /// Micro-batches of the step under way that have been submitted.
    submitted: usize,
    /// `None` where there is one rank.
    exchange: Option<Exchange>,
}

/// The state of dynamic loss scaling.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// What the gradients are multiplied by.
    pub scale: f32,
    /// Steps so far that changed nothing because a gradient overflowed.
    pub skipped_steps: u64,
}

/// A submitted step or micro-batch, whose outputs are on their way to the host.
pub struct PendingStep {
    /// Number of the step, from 0, or of that which the micro-batch is a part of.
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
        Ok(outputs?)
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
        let alone: Rc<dyn Communicator> = Rc::new(Alone);
        Self::with_ranks(gpu, step, choices, &alone)
    }

    /// As [`Trainer::with_choices`], of one of several ranks that train one network together. All have the same step, which is
    /// [spread](Training::spread) over as many ranks as `ranks` has, the same initial values, and submit the same number of
    /// micro-batches, each with its own inputs.
    ///
    /// # Errors
    /// As [`Trainer::new`]; [`NetworkError::Ranks`] where the step is for another number of ranks.
    pub fn with_ranks(
        gpu: &Arc<Gpu>,
        step: TrainingStep,
        choices: &Choices,
        ranks: &Rc<dyn Communicator>,
    ) -> Result<Self, NetworkError> {
        let (expected, given) = (step.training.spread.ranks, ranks.size());
        if expected != given {
            return Err(NetworkError::Ranks { expected, given });
        }
        let mut store = Store::new(gpu);
        // The update first: it says where the tensors lie together.
        let update = step.update_plan(gpu.capabilities(), choices)?;
        let update = update.map(|plan| Session::new(gpu, plan, &mut store)).transpose()?;
        let plan = step.plan(gpu.capabilities(), choices)?;
        let session = Session::in_parts(gpu, plan, &mut store, |step| given > 1 && Exchange::is_pause(step))?;
        let hyper = step.hyper();
        let TrainingStep { training, seeds, initial, update: of_graph, .. } = step;
        let split = match update.zip(of_graph) {
            None => None,
            Some((update, Update { keep, .. })) => {
                let exchange = (given > 1).then(|| Exchange::new(gpu, ranks, &session)).transpose()?;
                Some(Split { update, keep, submitted: 0, exchange })
            }
        };
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
        Ok(Self { gpu: Arc::clone(gpu), store, session, training, hyper, steps: 0, split })
    }

    /// Uploads an input of the next steps, in the words that it is stored in: `f32`, or `u32` for labels.
    ///
    /// # Errors
    /// [`SessionError`](crate::graph::SessionError) where there are more words than the input has.
    pub fn write<T: bytemuck::NoUninit>(&self, input: ValueId, words: &[T]) -> Result<(), NetworkError> {
        Ok(self.session.write(input, words)?)
    }

    /// Waits for submitted steps and copies a parameter, state or one of [`Training::outputs`] to the host, row-major.
    ///
    /// # Errors
    /// [`SessionError::NotAnOutput`](crate::graph::SessionError::NotAnOutput) for what is not kept; device errors.
    pub fn read(&self, value: ValueId) -> Result<Vec<f32>, NetworkError> {
        Ok(self.session.read(value)?)
    }

    /// Runs a step, or a micro-batch of one, and waits for it: the weighted sum of its losses, before its update.
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
    /// Of a step of several micro-batches it submits the next of them, and behind the last the update with this learning rate.
    /// With other ranks, that waits for what they have computed.
    ///
    /// # Errors
    /// Device errors.
    pub fn submit(&mut self, learning_rate: f64) -> Result<PendingStep, NetworkError> {
        let step = self.steps;
        let hyper = self.training.optimizer.hyper(step + 1, learning_rate);
        let is_last = match &mut self.split {
            None => {
                self.session.write(self.hyper, &hyper)?;
                self.session.run()?;
                true
            }
            Some(split) => split.run(&self.session, self.training.spread)?,
        };
        let outputs: Result<Vec<_>, _> =
            self.session.plan().outputs.iter().map(|&output| self.session.read_later(output)).collect();
        if is_last {
            if let Some(split) = &mut self.split {
                split.update(self.hyper, &hyper)?;
            }
            self.steps += 1;
        }
        Ok(PendingStep { step, outputs: outputs? })
    }

    /// What exchanging with other ranks has taken so far; `None` without others.
    pub fn communication(&self) -> Option<Communication> {
        Some(self.split.as_ref()?.exchange.as_ref()?.spent())
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
    /// [`NetworkError::Missing`] or [`SessionError::OtherShape`](crate::graph::SessionError::OtherShape) for the state of
    /// another network; then nothing is changed.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), NetworkError> {
        let halves = state.get(STEP).ok_or_else(|| NetworkError::Missing(STEP.to_string()))?;
        let [high, low] = halves.data[..] else { return Err(NetworkError::Missing(STEP.to_string())) };
        self.store.load(state)?;
        if let Some(split) = &mut self.split {
            split.submitted = 0;
        }
        self.steps = ((high as u64) << 24).saturating_add(low as u64);
        Ok(())
    }

    /// Runs the last step, of one micro-batch and one rank, once more with time stamps (and so updates the parameters): seconds
    /// of each dispatch.
    ///
    /// # Errors
    /// Device errors.
    pub fn profile(&self) -> Result<Vec<(String, f64)>, NetworkError> {
        let mut times = self.session.profile()?;
        times.extend(self.split.as_ref().map(|split| split.update.profile()).transpose()?.unwrap_or_default());
        Ok(times)
    }
}

impl Split {
    /// Submits a micro-batch: whether it is the step's last.
    fn run(&mut self, session: &Session, spread: Spread) -> Result<bool, NetworkError> {
        let is_first = self.submitted == 0;
        self.submitted += 1;
        let is_last = self.submitted == spread.accumulate;
        session.write(self.keep, &[if is_first { 0.0_f32 } else { 1.0 }])?;
        match &mut self.exchange {
            None => session.run()?,
            Some(exchange) => exchange.run(session, is_last)?,
        }
        Ok(is_last)
    }

    /// Updates from the sums of all micro-batches.
    fn update(&mut self, input: ValueId, hyper: &[f32; 8]) -> Result<(), NetworkError> {
        self.update.write(input, hyper)?;
        self.update.run()?;
        self.submitted = 0;
        Ok(())
    }
}
