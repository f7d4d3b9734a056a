//! The cases of kernels: the distinct nodes of the networks' training steps.

use std::collections::HashMap;
use std::sync::Arc;

use super::{BenchError, Ceiling, Settings};
use crate::data::skeleton::MPII;
use crate::gpu::Gpu;
use crate::graph::{Choices, Plan, Workload};
use crate::ir::{Cost, Shape};
use crate::models::ModelConfig;
use crate::nn::NetworkError;
use crate::train::config::Config;
use crate::train::memory::training_plan;
use crate::train::step::StepConfig;

/// Operators whose inputs are no plain numbers, or that a step has once at most and hardly feels.
const LEFT_OUT: [&str; 3] = ["crop", "targets", "decode"];

/// One case.
pub(super) struct KernelCase {
    pub workload: Workload,
    pub operator: &'static str,
    pub pass: &'static str,
    pub name: String,
    pub cost: Cost,
    pub count: usize,
}

/// The settings' network of this name.
pub(super) fn network(name: &str) -> Result<ModelConfig, BenchError> {
    ModelConfig::named(name, &MPII).ok_or_else(|| BenchError::UnknownNetwork(name.to_string()))
}

/// A training step of the settings' size with the paper's losses.
pub(super) fn step_config(settings: &Settings, batch: usize) -> StepConfig {
    let mut config = Config::default();
    (config.train.size, config.train.batch) = (settings.size, batch);
    config.train.precision = settings.precision;
    config.step_config()
}

/// The distinct cases, the one first that should take the longest of the steps' time.
pub(super) fn of_networks(
    gpu: &Arc<Gpu>,
    settings: &Settings,
    ceiling: &Ceiling,
) -> Result<Vec<KernelCase>, BenchError> {
    if settings.top == 0 {
        return Ok(Vec::new());
    }
    let mut cases: HashMap<String, KernelCase> = HashMap::new();
    let choices = Choices::of(gpu).map_err(NetworkError::from)?;
    for name in &settings.models {
        let config = step_config(settings, settings.batch);
        let plan = training_plan(&network(name)?, &config, gpu.capabilities(), &choices)?;
        collect(&plan, settings, &mut cases);
    }
    let mut cases: Vec<KernelCase> = cases.into_values().collect();
    let expected = |case: &KernelCase| case.count as f64 * ceiling.share(case.cost, 1.0);
    cases.sort_by(|a, b| expected(b).total_cmp(&expected(a)).then_with(|| a.name.cmp(&b.name)));
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
