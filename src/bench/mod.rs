//! Benchmarks: what the adapter can do, what each kernel does of it, and what whole networks take. Commands call it; it
//! measures through the same plans and sessions as everybody else, and nothing else of the crate depends on it.
//!
//! Everything is measured in one run, the adapter's ceilings first, so that ratios between figures hold where the
//! figures themselves depend on the machine and what else it does. The kernels' cases are taken from the training steps
//! of real networks.

mod cases;
mod compare;
mod measure;
mod networks;
pub mod probe;
mod roofline;
mod tune;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::data::Size;
use crate::gpu::{AdapterReport, Gpu};
use crate::graph::{Choices, GraphError, Workload};
use crate::ir::Cost;
use crate::nn::NetworkError;
use crate::train::step::Precision;

pub use cases::{KernelCase, kernel_cases};
pub use compare::{Comparison, compare};
pub use measure::{seconds_a_run, variant_names};
pub use networks::{NetworkRun, PlanTime, inference_plan, time_network, time_plan};
pub use roofline::roofline;
pub use tune::{Tuned, tune};

/// A benchmark that could not be run.
#[derive(Debug, Error)]
pub enum BenchError {
    /// A kernel cannot be run on its own.
    #[error(transparent)]
    Kernel(#[from] GraphError),
    /// A network does not fit the size or the adapter.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// No network of this name.
    #[error("there is no network '{0}'; `ditn summary` lists them")]
    UnknownNetwork(String),
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Networks, by the names of [`crate::models::NAMES`].
    pub models: Vec<String>,
    /// Height and width of their input.
    pub size: Size,
    /// Pictures a step, for kernels and for the networks' training.
    pub batch: usize,
    /// How the training step stores feature maps.
    #[serde(default)]
    pub precision: Precision,
    /// Kernels: only the cases of this folder of operators, or of the operator of this name.
    pub operator: Option<String>,
    /// Kernels: the cases whose name has this in it only.
    #[serde(default)]
    pub case: Option<String>,
    /// Kernels: so many cases, those that should take the longest; 0 for none.
    pub top: usize,
    /// Kernels: every variant, not only the one that would be chosen.
    pub all_variants: bool,
    /// Whether whole networks are measured.
    pub networks: bool,
    /// Measurements a figure, of which the median counts.
    pub samples: usize,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The adapter.
    pub adapter: AdapterReport,
    /// What was asked for.
    pub settings: Settings,
    /// What the adapter can do.
    pub ceiling: Ceiling,
    /// What kernels do.
    pub kernels: Vec<KernelTime>,
    /// What networks take.
    pub networks: Vec<NetworkTime>,
}

/// The most that the adapter does of one thing alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// 10^9 float32 operations a second in fused multiply-adds, each counting as two.
    pub gflops: f64,
    /// 10^9 bytes a second in a copy, reads and writes together.
    pub gbps: f64,
}

impl Ceiling {
    /// Share of the binding ceiling that work of this cost reaches in these seconds.
    pub fn share(&self, cost: Cost, seconds: f64) -> f64 {
        (cost.flops * 1e-9 / self.gflops).max(cost.bytes * 1e-9 / self.gbps) / seconds
    }
}

/// One variant of one operator at shapes that a network has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KernelTime {
    /// The operator's folder of shaders.
    pub operator: String,
    /// forward, backward, backward_input, ...: from `backward` on what the operator's name says.
    pub pass: String,
    /// The shapes: `n4_c64_o64_64x64_k3_s1_g1` for convolutions.
    pub case: String,
    /// The variant.
    pub variant: String,
    /// Median time of a run.
    pub seconds: f64,
    /// 10^9 operations a second, counted as those of the direct computation.
    pub gflops: f64,
    /// 10^9 bytes a second, each tensor counted once.
    pub gbps: f64,
    /// Share of the ceiling that binds: of operations or of bytes.
    pub share: f64,
    /// How often the networks' training steps have it.
    pub count: usize,
}

/// A whole network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkTime {
    /// The network.
    pub name: String,
    /// Height and width of the input.
    pub size: Size,
    /// Pictures a run.
    pub batch: usize,
    /// infer or train.
    pub pass: String,
    /// Median time of a run.
    pub seconds: f64,
    /// Bytes on the device: parameters, optimizer, activations.
    pub peak_bytes: u64,
    /// Dispatches of a run.
    pub dispatches: usize,
    /// Seconds that the host takes to record and submit a run.
    pub host_seconds: f64,
    /// Share of a run's time in kernels under 30 % of the binding ceiling; absent without time stamps.
    pub slow_share: Option<f64>,
}

/// Time that one measurement fills at least.
const LEAST: Duration = Duration::from_millis(20);

/// Measures; `progress` hears what comes next.
///
/// # Errors
/// [`BenchError`] where something does not fit the adapter.
pub fn run(gpu: &Arc<Gpu>, settings: &Settings, mut progress: impl FnMut(&str)) -> Result<Report, BenchError> {
    progress("ceilings");
    let ceiling = ceiling(gpu, settings.samples)?;
    let choices = Choices::of(gpu).map_err(NetworkError::from)?;
    let mut kernels = Vec::new();
    for case in kernel_cases(gpu.capabilities(), settings, &choices, &ceiling)? {
        let variants = case.variants(gpu.capabilities())?;
        let wanted = if settings.all_variants { variants.len() } else { 1 };
        for (number, variant) in variants.into_iter().enumerate().take(wanted) {
            progress(&format!("{} {variant}", case.describe()));
            kernels.push(case.time(gpu, number, settings.samples, &ceiling)?);
        }
    }
    let mut networks = Vec::new();
    for name in settings.models.iter().filter(|_| settings.networks) {
        let inference =
            NetworkRun { name: name.clone(), size: settings.size, train: false, batch: 1, precision: Precision::F32 };
        let training =
            NetworkRun { train: true, batch: settings.batch, precision: settings.precision, ..inference.clone() };
        for run in [inference, training] {
            let pass = if run.train { "train" } else { "infer" };
            progress(&format!("{name} {pass} batch {}", run.batch));
            networks.push(time_network(gpu, &run, &choices, settings.samples, &ceiling)?);
        }
    }
    Ok(Report { adapter: gpu.report().clone(), settings: settings.clone(), ceiling, kernels, networks })
}

/// Measures the adapter itself.
///
/// # Errors
/// [`BenchError`] where the device fails.
pub fn ceiling(gpu: &Arc<Gpu>, samples: usize) -> Result<Ceiling, BenchError> {
    let [arithmetic, copy] = probe::workloads(gpu.capabilities());
    let rate = |workload: &Workload| -> Result<(f64, f64), BenchError> {
        let session = measure::session(gpu, workload, 0)?;
        let seconds = seconds_a_run(gpu, &session, samples, LEAST)?;
        let cost = session.plan().cost();
        Ok((cost.flops / seconds * 1e-9, cost.bytes / seconds * 1e-9))
    };
    Ok(Ceiling { gflops: rate(&arithmetic)?.0, gbps: rate(&copy)?.1 })
}
