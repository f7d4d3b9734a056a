//! The plans, and what each dispatch of them costs.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clap::ValueEnum;
use ditn::data::Skeleton;
use ditn::graph::{Choices, Plan, Step};
use ditn::ir::{Argument, Capabilities, DType, Dispatch, F16Bindings, ValueId};
use ditn::models::ModelConfig;
use ditn::nn::{Mode, Network};
use ditn::ops::decode::Decode;
use ditn::train::Config;
use ditn::train::memory::training_plan;
use serde::{Deserialize, Serialize};

use crate::PlanArguments;

/// What is planned of a network.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    Training,
    Inference,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Training => "training",
            Kind::Inference => "inference",
        }
    }
}

/// The plan that an adapter of these capabilities would run.
pub fn plan(arguments: &PlanArguments, capabilities: &Capabilities) -> Result<Plan> {
    let skeleton = Skeleton::by_name("mpii").context("the skeleton of MPII")?;
    let model = ModelConfig::named(&arguments.network, skeleton)
        .with_context(|| format!("known networks are {}", ditn::models::NAMES.join(", ")))?;
    match arguments.plan {
        Kind::Training => {
            let mut config = Config::default();
            (config.train.size, config.train.batch) = (arguments.size, arguments.batch);
            config.train.precision = arguments.precision;
            Ok(training_plan(&model, &config.step_config(), capabilities, &Choices::default())?)
        }
        Kind::Inference => {
            let mut net = Network::new(Mode::Inference);
            let (_, image) =
                net.pictures(arguments.batch, arguments.size.extents(), model.normalization.constants())?;
            let maps = model.build(&mut net, image)?;
            let decoded = net.graph.apply_one(Decode::Quarter, &[maps.joints])?;
            let outputs: Vec<ValueId> = [Some(decoded), Some(maps.joints), maps.bones].into_iter().flatten().collect();
            Ok(net.plan_stored_as(arguments.precision, &outputs, capabilities, &Choices::default())?)
        }
    }
}

/// One dispatch of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlannedDispatch {
    /// The kernel, and the variant where a kernel has several tiles.
    pub item: String,
    /// Names its pipeline.
    pub pipeline: String,
    /// Operations of the step, given to its heaviest dispatch.
    pub flops: f64,
    /// Bytes of the tensors that it binds, each once.
    pub bytes: f64,
    pub workgroups: u64,
}

/// The dispatches of every run: without those that run again only where parameters have changed.
pub fn dispatches(plan: &Plan) -> Vec<PlannedDispatch> {
    plan.steps.iter().flat_map(|step| of_step(plan, step)).collect()
}

fn of_step(plan: &Plan, step: &Step) -> Vec<PlannedDispatch> {
    let all: Vec<_> = step.dispatches().collect();
    let sizes: Vec<f64> = all.iter().map(|(dispatch, _)| bytes(plan, step, dispatch)).collect();
    let largest = (0..all.len()).max_by(|&a, &b| sizes[a].total_cmp(&sizes[b]));
    let heaviest = all.iter().position(|(dispatch, _)| dispatch.kernel.name.contains("gemm")).or(largest);
    let planned = |(number, (dispatch, f16)): (usize, &(&Dispatch, F16Bindings))| PlannedDispatch {
        item: item(dispatch),
        pipeline: key_of(dispatch, *f16),
        flops: if heaviest == Some(number) { step.cost.flops } else { 0.0 },
        bytes: sizes[number],
        workgroups: dispatch.workgroups.iter().map(|&count| u64::from(count)).product(),
    };
    all.iter().enumerate().skip(step.once).map(planned).collect()
}

/// A line of the report: the kernel, with the tile of a matrix product.
fn item(dispatch: &Dispatch) -> String {
    let constant = |name: &str| dispatch.constants.iter().find(|&&(known, _)| known == name).map(|&(_, value)| value);
    match (constant("ROWS"), constant("COLUMNS")) {
        (Some(rows), Some(columns)) if dispatch.kernel.name.contains("gemm") => {
            format!("{} {rows}x{columns}", dispatch.kernel.name)
        }
        _ => dispatch.kernel.name.to_owned(),
    }
}

/// Name, constants and F16 bindings: what tells pipelines apart.
pub fn key_of(dispatch: &Dispatch, f16: F16Bindings) -> String {
    let mut key = dispatch.kernel.name.to_owned();
    for (name, value) in &dispatch.constants {
        key += &format!(" {name}={value}");
    }
    let halves: Vec<String> = (0..32).filter(|&it| f16.contains(it)).map(|it| it.to_string()).collect();
    if halves.is_empty() { key } else { format!("{key} f16:{}", halves.join(",")) }
}

/// Multiply-adds of a lane for a slice of a matrix product, the pass of its main loop.
pub fn fma_a_pass(constants: &BTreeMap<String, f64>) -> Option<u32> {
    let depth = constants.get("DEPTH").unwrap_or(&16.0);
    constants.get("COLUMNS_A_LANE").map(|columns| (8.0 * columns * depth) as u32)
}

fn bytes(plan: &Plan, step: &Step, dispatch: &Dispatch) -> f64 {
    let of_value = |id: ValueId| {
        let value = plan.graph.value(id);
        (if value.dtype == DType::F16 { 2.0 } else { 4.0 }) * value.shape.elements() as f64
    };
    let mut seen = Vec::new();
    let distinct = dispatch.bindings.iter().filter(|&&argument| {
        let new = !seen.contains(&argument);
        seen.push(argument);
        new
    });
    distinct
        .map(|&argument| match argument {
            Argument::Input(number) => of_value(step.node.inputs[number]),
            Argument::Output(number) => of_value(step.node.outputs[number]),
            Argument::Scratch(number) => 4.0 * step.variant.scratch[number] as f64,
            Argument::Table(number) => 4.0 * step.variant.tables[number].len() as f64,
        })
        .sum()
}
