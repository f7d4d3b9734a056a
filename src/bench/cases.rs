//! The cases of kernels: the distinct nodes of the networks' training steps.

use std::collections::HashMap;
use std::sync::Arc;

use super::measure::{seconds_a_run, session};
use super::{BenchError, Ceiling, KernelTime, LEAST, Settings};
use crate::data::Size;
use crate::data::skeleton::MPII;
use crate::gpu::Gpu;
use crate::graph::{Choices, GraphError, Plan, Workload};
use crate::ir::{Capabilities, Cost, Shape};
use crate::models::ModelConfig;
use crate::nn::Precision;
use crate::train::config::Config;
use crate::train::memory::training_plan;
use crate::train::step::StepConfig;

/// Operators whose inputs are no plain numbers, or that a step has once at most and hardly feels.
const LEFT_OUT: [&str; 3] = ["crop", "targets", "decode"];

/// An operator at shapes that a training step has.
pub struct KernelCase {
    /// What runs.
    pub workload: Workload,
    /// The operator's folder of shaders.
    pub operator: &'static str,
    /// forward, backward, backward_input, ...: as [`KernelTime::pass`].
    pub pass: &'static str,
    /// The shapes: as [`KernelTime::case`].
    pub name: String,
    /// What it costs.
    pub cost: Cost,
    /// How often the training steps have it.
    pub count: usize,
}

impl KernelCase {
    /// What it is in a line: operator, pass and shapes.
    pub fn describe(&self) -> String {
        format!("{} {} {}", self.operator, self.pass, self.name)
    }

    /// The names of the ways to compute it on an adapter, the one to prefer first.
    ///
    /// # Errors
    /// [`BenchError`] where the operator does not take the shapes.
    pub fn variants(&self, capabilities: &Capabilities) -> Result<Vec<&'static str>, BenchError> {
        let variants = self.workload.variants(capabilities).map_err(GraphError::from)?;
        Ok(variants.iter().map(|variant| variant.name).collect())
    }

    /// Measures its variant number `number`: the median of `samples`.
    ///
    /// # Errors
    /// [`BenchError`] where it does not fit the adapter, or the device fails.
    pub fn time(
        &self,
        gpu: &Arc<Gpu>,
        number: usize,
        samples: usize,
        ceiling: &Ceiling,
    ) -> Result<KernelTime, BenchError> {
        let session = session(gpu, &self.workload, number)?;
        let seconds = seconds_a_run(gpu, &session, samples, LEAST)?;
        let variant = session.plan().steps.first().map_or("", |step| step.variant.name);
        Ok(KernelTime {
            operator: self.operator.to_string(),
            pass: self.pass.to_string(),
            case: self.name.clone(),
            variant: variant.to_string(),
            seconds,
            gflops: self.cost.flops / seconds * 1e-9,
            gbps: self.cost.bytes / seconds * 1e-9,
            share: ceiling.share(self.cost, seconds),
            count: self.count,
        })
    }
}

/// The network of this name.
pub(super) fn network(name: &str) -> Result<ModelConfig, BenchError> {
    ModelConfig::named(name, &MPII).ok_or_else(|| BenchError::UnknownNetwork(name.to_string()))
}

/// A training step of this size with the paper's losses.
pub(super) fn step_config(size: Size, batch: usize, precision: Precision) -> StepConfig {
    let mut config = Config::default();
    (config.train.size, config.train.batch) = (size, batch);
    config.train.precision = precision;
    config.step_config()
}

/// The distinct cases of the settings' training steps, planned by these choices, the one first that should take the longest
/// of the steps' time.
///
/// # Errors
/// [`BenchError`] where a network is unknown or does not fit the adapter.
pub fn kernel_cases(
    capabilities: &Capabilities,
    settings: &Settings,
    choices: &Choices,
    ceiling: &Ceiling,
) -> Result<Vec<KernelCase>, BenchError> {
    if settings.top == 0 {
        return Ok(Vec::new());
    }
    let mut cases: HashMap<String, KernelCase> = HashMap::new();
    for name in &settings.models {
        let config = step_config(settings.size, settings.batch, settings.precision);
        let plan = training_plan(&network(name)?, &config, capabilities, choices)?;
        collect(&plan, settings, &mut cases);
    }
    let mut cases: Vec<KernelCase> = cases.into_values().collect();
    let expected = |case: &KernelCase| case.count as f64 * ceiling.share(case.cost, 1.0);
    // Names are not of one case each: gradients with and without a residual share theirs.
    let name = |case: &KernelCase| (case.name.clone(), case.workload.key());
    cases.sort_by(|a, b| expected(b).total_cmp(&expected(a)).then_with(|| name(a).cmp(&name(b))));
    cases.truncate(settings.top);
    Ok(cases)
}

fn collect(plan: &Plan, settings: &Settings, cases: &mut HashMap<String, KernelCase>) {
    for step in &plan.steps {
        let name = step.node.operator.name();
        let operator = step.variant.dispatches.first().map_or(name, |dispatch| dispatch.kernel.folder());
        let wanted = settings.operator.as_ref().is_none_or(|wanted| wanted == operator || wanted == name);
        if !wanted || LEFT_OUT.contains(&operator) {
            continue;
        }
        let workload = plan.workload(step);
        let case = cases.entry(workload.key()).or_insert_with(|| {
            let inputs: Vec<&Shape> = workload.inputs.iter().collect();
            let label = workload.operator.label(&inputs);
            KernelCase { workload, operator, pass: pass(name), name: label, cost: step.cost, count: 0 }
        });
        case.count += 1;
    }
    cases.retain(|_, case| settings.case.as_ref().is_none_or(|wanted| case.name.contains(wanted)));
}

/// What an operator of this name computes: `forward`, or from `backward` on what its name says.
fn pass(name: &'static str) -> &'static str {
    name.find("backward").map_or("forward", |at| &name[at..])
}
