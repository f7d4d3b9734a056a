//! The cases of kernels: the distinct nodes of the networks' training steps.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use super::{BenchError, Ceiling, Settings};
use crate::data::skeleton::MPII;
use crate::gpu::Gpu;
use crate::graph::{Choices, Plan, Workload};
use crate::ir::{Cost, Operator, Shape};
use crate::models::ModelConfig;
use crate::ops::conv2d::{Conv2d, Conv2dInputGradient, Conv2dStatistics, Conv2dWeightGradient};
use crate::predict::NetworkError;
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
        let operator = step.node.operator.name();
        let wanted = settings.operator.as_ref().is_none_or(|wanted| wanted == operator);
        if !wanted || LEFT_OUT.contains(&operator) {
            continue;
        }
        let workload = plan.workload(step);
        let case = cases.entry(workload.key()).or_insert_with(|| {
            let (pass, name) = describe(workload.operator.as_ref(), &workload.inputs);
            KernelCase { workload, operator, pass, name, cost: step.cost, count: 0 }
        });
        case.count += 1;
    }
    cases.retain(|_, case| settings.case.as_ref().is_none_or(|wanted| case.name.contains(wanted)));
}

/// The pass, and the shapes in a word.
fn describe(operator: &dyn Operator, inputs: &[Shape]) -> (&'static str, String) {
    let any: &dyn Any = operator;
    let extents = |shape: &Shape| -> Vec<usize> { shape.extents().to_vec() };
    // Extents of x, of the weight, stride and groups.
    let with_statistics = any.downcast_ref::<Conv2dStatistics>().map(|operator| &operator.convolution);
    let convolution = if let Some(conv) = any.downcast_ref::<Conv2d>().or(with_statistics) {
        Some(("forward", extents(&inputs[0]), extents(&inputs[1]), conv.stride, conv.groups))
    } else if let Some(conv) = any.downcast_ref::<Conv2dInputGradient>() {
        let (dy, weight) = (extents(&inputs[0]), extents(&inputs[1]));
        let x = vec![dy[0], weight[1] * conv.groups, conv.size[0], conv.size[1]];
        Some(("backward_input", x, weight, conv.stride, conv.groups))
    } else if let Some(conv) = any.downcast_ref::<Conv2dWeightGradient>() {
        let (dy, x) = (extents(&inputs[0]), extents(&inputs[1]));
        let weight = vec![dy[1], x[1] / conv.groups, conv.kernel[0], conv.kernel[1]];
        Some(("backward_weight", x, weight, conv.stride, conv.groups))
    } else {
        None
    };
    if let Some((pass, x, weight, stride, groups)) = convolution {
        let (n, c, h, w, o, k, s) = (x[0], x[1], x[2], x[3], weight[0], weight[2], stride[0]);
        return (pass, format!("n{n}_c{c}_o{o}_{h}x{w}_k{k}_s{s}_g{groups}"));
    }
    let attributes = format!("{operator:?}");
    let pass = if attributes.contains("Gradient") { "backward" } else { "forward" };
    let largest = inputs.iter().max_by_key(|shape| shape.elements()).map(extents).unwrap_or_default();
    let kind = attributes.split([' ', '{', '(']).next().unwrap_or_default().to_lowercase();
    let shape: Vec<String> = largest.iter().map(ToString::to_string).collect();
    (pass, format!("{kind}_{}", shape.join("x")))
}
