//! Whole networks: inference and training steps.

use std::sync::Arc;
use std::time::Instant;

use super::cases::{network, step_config};
use super::measure::seconds_a_run;
use super::{BenchError, Ceiling, LEAST, NetworkTime, Settings};
use crate::data::Size;
use crate::gpu::Gpu;
use crate::graph::{Choices, GraphError, Plan, Session, SessionError, Store};
use crate::ir::{Capabilities, Cost};
use crate::models::ModelConfig;
use crate::nn::NetworkError;
use crate::nn::{Mode, Network};
use crate::train::memory::training_plan;

/// A kernel that reaches less of the binding ceiling is slow.
const SLOW: f64 = 0.3;

/// Measures one pass ("infer" or "train") of a network. Weights and pictures are zero, which no kernel cares about.
pub(super) fn measure(
    gpu: &Arc<Gpu>,
    settings: &Settings,
    name: &str,
    pass: &str,
    batch: usize,
    ceiling: &Ceiling,
) -> Result<NetworkTime, BenchError> {
    let choices = Choices::of(gpu).map_err(NetworkError::from)?;
    let plan = match pass {
        "train" => training_plan(&network(name)?, &step_config(settings, batch), gpu.capabilities(), &choices)?,
        _ => inference_plan(&network(name)?, settings.size, batch, gpu.capabilities(), &choices)?,
    };
    let held = gpu.held_bytes();
    let mut store = Store::new(gpu);
    let session = Session::new(gpu, plan, &mut store).map_err(GraphError::from)?;
    let peak_bytes = gpu.held_bytes() - held;
    let seconds = seconds_a_run(gpu, &session, settings.samples, LEAST)?;
    let start = Instant::now();
    session.run().map_err(GraphError::from)?;
    let host_seconds = start.elapsed().as_secs_f64();
    let slow_share = slow_share(&session, ceiling).map_err(GraphError::from)?;
    let (name, pass) = (name.to_string(), pass.to_string());
    let dispatches = session.dispatches();
    Ok(NetworkTime {
        name,
        size: settings.size,
        batch,
        pass,
        seconds,
        peak_bytes,
        dispatches,
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
    let mut net = Network::new(Mode::Inference);
    let [height, width] = size.extents();
    let image = net.graph.input("image", [batch, 3, height, width]);
    let outputs = [model.build(&mut net, image)?.joints];
    net.plan(&outputs, capabilities, choices)
}

/// Share of a run's time that goes to slow kernels, by time stamps.
fn slow_share(session: &Session, ceiling: &Ceiling) -> Result<Option<f64>, SessionError> {
    let mut times = session.profile()?.into_iter().map(|(_, seconds)| seconds);
    let (mut slow, mut all) = (0.0, 0.0);
    for step in &session.plan().steps {
        let seconds: f64 = times.by_ref().take(step.variant.dispatches.len() - step.once).sum();
        let Cost { flops, bytes } = step.cost;
        all += seconds;
        slow += if ceiling.share(Cost { flops, bytes }, seconds) < SLOW { seconds } else { 0.0 };
    }
    Ok((all > 0.0).then_some(slow / all))
}
