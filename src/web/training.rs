//! Training of a small network on synthetic people as plans, with the people, and what one step gives.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use super::bundle::{Bundle, Tensors};
use super::examples::People;
use super::inference::{Print, add_batch, add_prints, fingerprints, print_numbers};
use super::numbers::{fingerprint, initial_values, nudged};
use super::plan::PlanFile;
use super::target::Target;
use super::{Examples, WebError};
use crate::data::skeleton::MPII;
use crate::gpu::Gpu;
use crate::graph::{Choices, Plan, Session, Store};
use crate::ir::{Role, ValueId};
use crate::nn::{self, Initial};
use crate::ops::adamw::AdamWSettings;
use crate::predict::network::upload;
use crate::train::config::{Config, LossName, embedded};
use crate::train::step::StepGraph;

/// The losses of the joints' maps that can be chosen.
const LOSSES: [LossName; 3] = [LossName::Mse, LossName::FocalL2, LossName::Ohkm];

/// What `bundle.json` says of it.
#[derive(Serialize)]
pub(super) struct Training {
    plans: BTreeMap<String, Vec<String>>,
    loss: LossName,
    batch: usize,
    size: [usize; 2],
    heat_map: [usize; 2],
    joints: Vec<String>,
    bones: Vec<(usize, usize)>,
    optimizer: Optimizer,
    learning_rate: f64,
    warm_up: u64,
    seeds: Vec<Seed>,
    initial: BTreeMap<String, Start>,
    people: People,
    vectors: &'static str,
    after: BTreeMap<String, usize>,
}

#[derive(Serialize)]
struct Optimizer {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
}

#[derive(Serialize)]
struct Seed {
    input: String,
    value: f32,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Start {
    Constant(f32),
    Normal(f32),
    Uniform(f32),
}

/// Adds plans for every loss and target, the people, and what one step from the initial values of seed 0 gives.
pub(super) fn add(bundle: &mut Bundle, gpu: &Arc<Gpu>, examples: &Examples) -> Result<Training, WebError> {
    const VECTORS: &str = "tensors/training.safetensors";
    let config = embedded()?;
    let mut plans: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for loss in LOSSES {
        let step = step(&config, loss)?;
        let name = serde_json::to_value(loss).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default();
        for target in [Target::subgroups_of_8(), Target::default_limits()] {
            let plan = step.step.plan(&target.capabilities, &Choices::default())?;
            let file = format!("plans/training_{name}{}.json", target.suffix);
            // Those that there are fingerprints of.
            let is_compared = loss == config.loss.joints && target == Target::default_limits();
            let prints = if is_compared { print_numbers(&plan) } else { HashMap::new() };
            bundle.plan(&file, &PlanFile::new(&title(&config, &name), &target, &plan, &outputs(&step), &prints))?;
            plans.entry(name.clone()).or_default().push(file);
        }
    }
    let step = step(&config, config.loss.joints)?;
    let (vectors, after) = vectors(gpu, &config, &step, examples)?;
    bundle.tensors(VECTORS, &vectors)?;
    let plan = step.step.plan(&Target::default_limits().capabilities, &Choices::default())?;
    let seeds = step.step.seeds().iter();
    let initial = step.step.initial().iter();
    let nn::Optimizer::AdamW(settings) = config.optimizer.settings() else {
        return Err(WebError::Optimizer(config.optimizer.kind));
    };
    let AdamWSettings { beta1, beta2, eps, weight_decay } = settings;
    Ok(Training {
        plans,
        loss: config.loss.joints,
        batch: config.train.batch,
        size: config.train.size.extents(),
        heat_map: config.train.size.heat_map().extents(),
        joints: MPII.joints.clone(),
        bones: MPII.bones.clone(),
        optimizer: Optimizer { beta1, beta2, eps, weight_decay },
        learning_rate: config.optimizer.learning_rate,
        warm_up: config.schedule.warmup_steps,
        seeds: seeds.map(|&(id, value)| Seed { input: plan.graph.value(id).name.clone(), value }).collect(),
        initial: initial.map(|(name, &initial)| (name.clone(), initial.into())).collect(),
        people: examples.sheet(bundle, &config)?,
        vectors: VECTORS,
        after,
    })
}

impl From<Initial> for Start {
    fn from(initial: Initial) -> Self {
        match initial {
            Initial::Constant(value) => Self::Constant(value),
            Initial::Normal(deviation) => Self::Normal(deviation),
            Initial::Uniform(bound) => Self::Uniform(bound),
        }
    }
}

fn title(config: &Config, loss: &str) -> String {
    let [height, width] = config.train.size.extents();
    format!("training step of {} people at {height}x{width}, {loss}", config.train.batch)
}

fn step(config: &Config, loss: LossName) -> Result<StepGraph, WebError> {
    let mut config = config.clone();
    config.loss.joints = loss;
    Ok(StepGraph::new(&config.model_config(&MPII), &config.step_config(), 0)?)
}

/// What can be read after a step, by name.
fn outputs(StepGraph { step, losses, .. }: &StepGraph) -> Vec<(String, ValueId)> {
    let names = losses.0.iter().map(|(term, ..)| format!("loss.{term}")).chain(["found".to_owned()]);
    names.zip(step.outputs()).collect()
}

/// What goes in and comes out of one step, the fingerprints of all that it computes, and the numbers of those of parameters
/// and state after it.
fn vectors(
    gpu: &Arc<Gpu>,
    config: &Config,
    graph: &StepGraph,
    examples: &Examples,
) -> Result<(Tensors, BTreeMap<String, usize>), WebError> {
    let StepGraph { step, pictures, joints, .. } = graph;
    let capabilities = Target::default_limits().capabilities;
    let plan = step.plan(&capabilities, &Choices::default())?;
    let prints: HashMap<ValueId, usize> = print_numbers(&plan);
    // Everything stays readable.
    let all: Vec<ValueId> = prints.keys().copied().chain(plan.outputs.iter().copied()).collect();
    let plan = Plan::new(plan.graph, &all, &capabilities)?;
    let mut store = Store::new(gpu);
    let mut session = Session::new(gpu, plan, &mut store)?;
    for &(seed, value) in step.seeds() {
        session.write(seed, &[value])?;
    }
    let batch = examples.batch(config)?;
    upload(&mut session, pictures, &batch)?;
    session.write(*joints, batch.joints.as_flattened())?;
    let hyper = config.optimizer.settings().hyper(1, config.optimizer.learning_rate);
    session.write(step.hyper(), &hyper)?;
    let kept = session.plan().graph.values().iter().filter(|it| matches!(it.role, Role::Parameter | Role::State));
    let kept: Vec<String> = kept.map(|value| value.name.clone()).collect();
    let run = |change: fn(&[f32]) -> Vec<f32>| -> Result<Vec<Print>, WebError> {
        for name in &kept {
            let elements = store.elements(name)?;
            let initial = step.initial().get(name);
            let start = initial.map_or(vec![0.0; elements], |&it| change(&initial_values(it, elements, name, 0)));
            store.write(name, &start)?;
        }
        session.run()?;
        let mut all = fingerprints(&session, &prints)?;
        for name in &kept {
            all.push(fingerprint(&store.read(name)?.data));
        }
        Ok(all)
    };
    let of_nudged = run(nudged)?;
    let all = run(<[f32]>::to_vec)?;

    let mut tensors = Tensors::default();
    add_batch(&mut tensors, &batch);
    tensors.floats("input.joints".into(), vec![batch.len(), MPII.joints.len(), 3], batch.joints.as_flattened());
    for (name, id) in outputs(graph) {
        let shape = session.plan().graph.shape(id).extents().to_vec();
        tensors.floats(format!("output.{name}"), shape, &session.read(id)?);
    }
    add_prints(&mut tensors, &all, &of_nudged);
    let after = kept.into_iter().enumerate().map(|(number, name)| (name, prints.len() + number)).collect();
    Ok((tensors, after))
}
