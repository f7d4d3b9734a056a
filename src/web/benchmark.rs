//! What the benchmark page runs: the ceilings' probes, the kernels of a training step, and networks.

use std::collections::HashMap;

use serde::Serialize;

use super::WebError;
use super::bundle::Bundle;
use super::plan::PlanFile;
use super::target::Target;
use crate::bench::{Ceiling, KernelCase, NetworkRun, Settings, inference_plan, kernel_cases, probe};
use crate::data::Size;
use crate::data::skeleton::MPII;
use crate::graph::{Choices, Plan, Workload};
use crate::ir::Capabilities;
use crate::nn::Precision;
use crate::train::config::embedded;
use crate::train::memory::training_plan;

/// The network whose training step gives the kernels, as in `ditn bench`.
const MODEL: &str = "ditn-w32";
/// Its input.
const SIZE: Size = Size { width: 256, height: 256 };
/// Pictures a step.
const BATCH: usize = 2;
/// Kernels, those that should take the longest.
const KERNELS: usize = 24;
/// Whatever takes longer to load or more memory than this is asked for first, in bytes on the device.
const SMALL: u64 = 64 << 20;

/// A GPU of the middle, to order kernels by the time that they should take.
const EXPECTED: Ceiling = Ceiling { gflops: 10_000.0, gbps: 400.0 };

#[derive(Serialize)]
struct Benchmark {
    settings: Settings,
    ceilings: Ceilings,
    kernels: Vec<Kernel>,
    networks: Vec<Network>,
}

#[derive(Serialize)]
struct Ceilings {
    gpu: Probes,
    cpu: Probes,
}

#[derive(Serialize)]
struct Probes {
    arithmetic: Probe,
    copy: Probe,
}

#[derive(Serialize)]
struct Probe {
    flops: f64,
    bytes: f64,
    plan: PlanFile,
}

#[derive(Serialize)]
struct Kernel {
    operator: &'static str,
    pass: &'static str,
    case: String,
    variant: &'static str,
    count: usize,
    flops: f64,
    bytes: f64,
    plan: PlanFile,
}

#[derive(Serialize)]
struct Network {
    name: String,
    size: Size,
    batch: usize,
    pass: &'static str,
    plan: String,
    /// On the device.
    bytes: u64,
    /// Of the plan's file.
    download: usize,
    dispatches: usize,
    flops: f64,
    /// Whether it is asked for before it is loaded.
    ask: bool,
}

/// Adds `benchmark.json` and the networks' plans.
pub(super) fn add(bundle: &mut Bundle, path: &str) -> Result<(), WebError> {
    let target = Target::default_limits();
    let settings = Settings {
        models: vec![MODEL.to_owned()],
        size: SIZE,
        batch: BATCH,
        precision: Precision::F32,
        operator: None,
        case: None,
        top: KERNELS,
        all_variants: false,
        networks: true,
        samples: 5,
    };
    let mut kernels = Vec::new();
    for case in kernel_cases(&target.capabilities, &settings, &Choices::default(), &EXPECTED)? {
        kernels.push(kernel(bundle, &target, case)?);
    }
    let cpu = Target::subgroups_of_8().capabilities;
    let ceilings =
        Ceilings { gpu: probes(bundle, &target, &target.capabilities)?, cpu: probes(bundle, &target, &cpu)? };
    let run = |name: &str, train: bool, batch: usize| NetworkRun {
        name: name.to_owned(),
        size: SIZE,
        train,
        batch,
        precision: Precision::F32,
    };
    let mut networks = small_networks(bundle, &target)?;
    for run in [run("hrnet-w32", false, 1), run(MODEL, false, 1), run(MODEL, true, BATCH)] {
        let plan = run.plan(&target.capabilities, &Choices::default())?;
        networks.push(network(bundle, &target, run, &plan)?);
    }
    bundle.json(path, &Benchmark { settings, ceilings, kernels, networks })
}

/// The network of `ditn train` without arguments.
fn small_networks(bundle: &mut Bundle, target: &Target) -> Result<Vec<Network>, WebError> {
    let config = embedded()?;
    let (model, step) = (config.model_config(&MPII), config.step_config());
    let (name, size, precision) = (config.name, step.size, step.precision);
    let inference = inference_plan(&model, size, 1, &target.capabilities, &Choices::default())?;
    let training = training_plan(&model, &step, &target.capabilities, &Choices::default())?;
    let inferred = NetworkRun { name, size, train: false, batch: 1, precision };
    let trained = NetworkRun { train: true, batch: step.batch, ..inferred.clone() };
    Ok(vec![network(bundle, target, inferred, &inference)?, network(bundle, target, trained, &training)?])
}

/// A plan of one operator by the first of its variants.
fn plan_of(
    bundle: &mut Bundle,
    target: &Target,
    name: &str,
    workload: &Workload,
) -> Result<(Plan, PlanFile), WebError> {
    let (graph, _, outputs) = workload.graph()?;
    let plan = Plan::new(graph, &outputs, &target.capabilities)?;
    let file = PlanFile::new(name, target, &plan, &[], &HashMap::new());
    bundle.kernels(file.kernels());
    Ok((plan, file))
}

/// The probes in the sizes that suit an adapter like that.
fn probes(bundle: &mut Bundle, target: &Target, adapter: &Capabilities) -> Result<Probes, WebError> {
    let [arithmetic, copy] = probe::workloads(adapter);
    let mut probe = |name: &str, workload: &Workload| -> Result<Probe, WebError> {
        let (plan, file) = plan_of(bundle, target, name, workload)?;
        Ok(Probe { flops: plan.cost().flops, bytes: plan.cost().bytes, plan: file })
    };
    Ok(Probes { arithmetic: probe("arithmetic", &arithmetic)?, copy: probe("copy", &copy)? })
}

fn kernel(bundle: &mut Bundle, target: &Target, case: KernelCase) -> Result<Kernel, WebError> {
    let (plan, file) = plan_of(bundle, target, &case.describe(), &case.workload)?;
    let KernelCase { operator, pass, name, cost, count, .. } = case;
    let variant = plan.steps.first().map_or("", |step| step.variant.name);
    Ok(Kernel { operator, pass, case: name, variant, count, flops: cost.flops, bytes: cost.bytes, plan: file })
}

fn network(bundle: &mut Bundle, target: &Target, run: NetworkRun, plan: &Plan) -> Result<Network, WebError> {
    let NetworkRun { name, size, train, batch, .. } = run;
    let pass = if train { "train" } else { "infer" };
    let file = PlanFile::new(&format!("{name} {pass} batch {batch}"), target, plan, &[], &HashMap::new());
    let path = format!("plans/{name}_{pass}_{batch}.json");
    let download = bundle.plan(&path, &file)?;
    Ok(Network {
        bytes: file.bytes(),
        dispatches: file.dispatches(),
        flops: plan.cost().flops,
        ask: file.bytes() > SMALL,
        plan: path,
        name,
        size,
        batch,
        pass,
        download,
    })
}
