//! Whole networks: inference and training steps.

use std::sync::Arc;
use std::time::Instant;

use super::cases::{network, step_config};
use super::measure::seconds_a_run;
use super::{BenchError, Ceiling, LEAST, NetworkTime};
use crate::data::Size;
use crate::gpu::Gpu;
use crate::graph::{Choices, GraphError, Plan, Session, SessionError, Store};
use crate::ir::{Capabilities, Cost};
use crate::models::ModelConfig;
use crate::nn::{Mode, Network, NetworkError, Precision};
use crate::train::memory::training_plan;

/// A kernel that reaches less of the binding ceiling is slow.
const SLOW: f64 = 0.3;

/// A run of a network that can be measured.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkRun {
    /// One of [`crate::models::NAMES`].
    pub name: String,
    /// Height and width of its input.
    pub size: Size,
    /// A training step, or inference.
    pub train: bool,
    /// Pictures.
    pub batch: usize,
    /// How feature maps are stored.
    pub precision: Precision,
}

impl NetworkRun {
    /// What runs, by these choices of kernels.
    ///
    /// # Errors
    /// [`BenchError`] where there is no such network, or it does not fit the size or the adapter.
    pub fn plan(&self, capabilities: &Capabilities, choices: &Choices) -> Result<Plan, BenchError> {
        let model = network(&self.name)?;
        Ok(if self.train {
            training_plan(&model, &step_config(self.size, self.batch, self.precision), capabilities, choices)?
        } else {
            inference(&model, self.size, self.batch, self.precision, capabilities, choices)?
        })
    }
}

/// Measures a run of a network: the median of `samples`. Weights and pictures are zero, which no kernel cares about.
///
/// # Errors
/// [`BenchError`] where it does not fit the adapter, or the device fails.
pub fn time_network(
    gpu: &Arc<Gpu>,
    run: &NetworkRun,
    choices: &Choices,
    samples: usize,
    ceiling: &Ceiling,
) -> Result<NetworkTime, BenchError> {
    let plan = run.plan(gpu.capabilities(), choices)?;
    let held = gpu.held_bytes();
    let mut store = Store::new(gpu);
    let session = Session::new(gpu, plan, &mut store).map_err(GraphError::from)?;
    let peak_bytes = gpu.held_bytes() - held;
    let seconds = seconds_a_run(gpu, &session, samples, LEAST)?;
    let start = Instant::now();
    session.run().map_err(GraphError::from)?;
    let host_seconds = start.elapsed().as_secs_f64();
    let slow_share = slow_share(&session, ceiling).map_err(GraphError::from)?;
    Ok(NetworkTime {
        name: run.name.clone(),
        size: run.size,
        batch: run.batch,
        pass: if run.train { "train" } else { "infer" }.to_string(),
        seconds,
        peak_bytes,
        dispatches: session.dispatches(),
        host_seconds,
        slow_share,
    })
}

/// The plan of an inference: image `[batch, 3, H, W]` -> joint heat maps.
///
/// # Errors
/// [`NetworkError`] where the network does not fit the size or the adapter.
pub fn inference_plan(
    model: &ModelConfig,
    size: Size,
    batch: usize,
    capabilities: &Capabilities,
    choices: &Choices,
) -> Result<Plan, NetworkError> {
    inference(model, size, batch, Precision::F32, capabilities, choices)
}

/// As [`inference_plan`], with feature maps stored at this precision.
fn inference(
    model: &ModelConfig,
    size: Size,
    batch: usize,
    precision: Precision,
    capabilities: &Capabilities,
    choices: &Choices,
) -> Result<Plan, NetworkError> {
    let mut net = Network::new(Mode::Inference);
    let [height, width] = size.extents();
    let image = net.graph.input("image", [batch, 3, height, width]);
    let outputs = [model.build(&mut net, image)?.joints];
    net.plan_stored_as(precision, &outputs, capabilities, choices)
}

/// Share of a run's time that goes to slow kernels, by time stamps.
fn slow_share(session: &Session, ceiling: &Ceiling) -> Result<Option<f64>, SessionError> {
    let (mut slow, mut all) = (0.0, 0.0);
    for (step, seconds) in session.plan().steps.iter().zip(stamped(session)?) {
        let Cost { flops, bytes } = step.cost;
        all += seconds;
        slow += if ceiling.share(Cost { flops, bytes }, seconds) < SLOW { seconds } else { 0.0 };
    }
    Ok((all > 0.0).then_some(slow / all))
}

/// Seconds of each step of a session's plan by time stamps; none where the adapter has no time stamps.
fn stamped(session: &Session) -> Result<Vec<f64>, SessionError> {
    let times = session.profile()?;
    if times.is_empty() {
        return Ok(Vec::new());
    }
    let mut times = times.into_iter().map(|(_, seconds)| seconds);
    let steps = session.plan().steps.iter();
    Ok(steps.map(|step| times.by_ref().take(step.variant.dispatches.len() - step.once).sum()).collect())
}

/// How long a plan takes.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanTime {
    /// Seconds of a run.
    pub seconds: f64,
    /// Seconds of each of its steps by time stamps, which make a run slower; none where the adapter has no time stamps.
    pub steps: Vec<f64>,
}

/// Measures a plan: medians of `samples`. Weights and pictures are zero, which no kernel cares about.
///
/// # Errors
/// [`BenchError`] where the plan does not fit the adapter, or the device fails.
pub fn time_plan(gpu: &Arc<Gpu>, plan: Plan, samples: usize) -> Result<PlanTime, BenchError> {
    let session = Session::new(gpu, plan, &mut Store::new(gpu)).map_err(GraphError::from)?;
    let seconds = seconds_a_run(gpu, &session, samples, LEAST)?;
    let profiles = (0..samples.max(1)).map(|_| stamped(&session)).collect::<Result<Vec<_>, _>>();
    let profiles = profiles.map_err(GraphError::from)?;
    let median = |step: usize| {
        let mut seconds: Vec<f64> = profiles.iter().map(|profile| profile[step]).collect();
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    };
    Ok(PlanTime { seconds, steps: (0..profiles[0].len()).map(median).collect() })
}
