//! The runs that compute what a dump holds, group by group.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Dump, VerifyError};
use crate::gpu::Gpu;
use crate::graph::Choices;
use crate::graph::{Plan, Session, SessionError, Store, Tensor, fuse};
use crate::ir::{Graph, Role, ValueId};
use crate::models::HeatMaps;
use crate::nn::{Mode, Network};
use crate::ops::adamw::AdamWSettings;
use crate::train::objective::{Losses, Targets, append_gradients, append_optimizer};

/// The learning rate of the steps that all use the dump's gradients.
const AFTER_RATE: f64 = 1e-3;
/// The learning rate of the true training steps.
const TRAJECTORY_RATE: f64 = 1e-4;

/// Everything that a dump promises, under the dump's names.
pub(super) fn run_all(gpu: &Arc<Gpu>, dump: &Dump, choices: &Choices) -> Result<BTreeMap<String, Tensor>, VerifyError> {
    let mut computed = inference(gpu, dump, choices)?;
    computed.append(&mut training(gpu, dump, choices)?);
    computed.append(&mut optimizer(gpu, dump, choices)?);
    computed.append(&mut trajectory(gpu, dump, choices)?);
    Ok(computed)
}

/// Copies a value of a session to the host.
fn tensor(session: &Session, value: ValueId) -> Result<Tensor, SessionError> {
    let shape = session.plan().graph.shape(value).extents().to_vec();
    Ok(Tensor { shape, data: session.read(value)? })
}

/// eval.*: heat maps with running statistics.
fn inference(gpu: &Arc<Gpu>, dump: &Dump, choices: &Choices) -> Result<BTreeMap<String, Tensor>, VerifyError> {
    let mut net = Network::new(Mode::Inference);
    let image = net.graph.input("image", dump.required("input.image").shape());
    let maps = dump.model.build(&mut net, image)?;
    let outputs: Vec<ValueId> = [Some(maps.joints), maps.bones].into_iter().flatten().collect();
    fuse(&mut net.graph, &outputs);
    let mut store = Store::new(gpu);
    let session = Session::new(gpu, Plan::with_choices(net.graph, &outputs, gpu.capabilities(), choices)?, &mut store)?;
    store.load(&dump.with_prefix("param."))?;
    session.write(image, &dump.required("input.image").data)?;
    session.run()?;
    heat_maps(&session, "eval", maps)
}

fn heat_maps(session: &Session, group: &str, maps: HeatMaps) -> Result<BTreeMap<String, Tensor>, VerifyError> {
    let mut found = BTreeMap::from([(format!("{group}.joints"), tensor(session, maps.joints)?)]);
    if let Some(bones) = maps.bones {
        found.insert(format!("{group}.bones"), tensor(session, bones)?);
    }
    Ok(found)
}

/// A network in training with the dump's targets as inputs.
struct TrainingGraph {
    net: Network,
    maps: HeatMaps,
    losses: Losses,
    /// Each input with the dump's tensor that goes there.
    inputs: Vec<(ValueId, &'static str)>,
}

fn training_graph(dump: &Dump) -> Result<TrainingGraph, VerifyError> {
    let mut net = Network::new(Mode::Training);
    let image = net.graph.input("image", dump.required("input.image").shape());
    let maps = dump.model.build(&mut net, image)?;
    let mut inputs = vec![(image, "input.image")];
    let mut input = |graph: &mut Graph, name: &'static str| {
        let value = graph.input(name, dump.required(name).shape());
        inputs.push((value, name));
        value
    };
    let graph = &mut net.graph;
    let joints = Targets { maps: input(graph, "target.joints"), weights: input(graph, "weight.joints") };
    let losses = dump.objective.append(graph, maps, joints, |graph| {
        Ok(Targets { maps: input(graph, "target.bones"), weights: input(graph, "weight.bones") })
    })?;
    let keep: Vec<ValueId> = [Some(maps.joints), maps.bones].into_iter().flatten().chain(losses.values()).collect();
    fuse(graph, &keep);
    Ok(TrainingGraph { net, maps, losses, inputs })
}

/// A session of the graph at the dump's parameters, inputs uploaded.
fn start(
    gpu: &Arc<Gpu>,
    dump: &Dump,
    training: &TrainingGraph,
    outputs: &[ValueId],
    choices: &Choices,
) -> Result<(Session, Store), VerifyError> {
    let mut store = Store::new(gpu);
    let plan = Plan::with_choices(training.net.graph.clone(), outputs, gpu.capabilities(), choices)?;
    let session = Session::new(gpu, plan, &mut store)?;
    // The optimizer's moments stay zero: the dump has none.
    for (name, tensor) in dump.with_prefix("param.") {
        store.write(&name, &tensor.data)?;
    }
    for &(value, name) in &training.inputs {
        session.write(value, &dump.required(name).data)?;
    }
    for (seed, share) in training.losses.shares(&dump.objective) {
        session.write(seed, &[share])?;
    }
    Ok((session, store))
}

/// The losses of the last run: joints, bones, total.
fn losses_of(dump: &Dump, session: &Session, losses: &Losses) -> Result<[f32; 3], VerifyError> {
    let joints = session.read(losses.joints)?[0];
    let bones = match losses.bones {
        Some(bones) => session.read(bones)?[0],
        None => 0.0,
    };
    Ok([joints, bones, dump.objective.total(joints, bones)])
}

/// train.*, loss.*, grad.* and stats.*: one training step without its update.
fn training(gpu: &Arc<Gpu>, dump: &Dump, choices: &Choices) -> Result<BTreeMap<String, Tensor>, VerifyError> {
    let mut training = training_graph(dump)?;
    let gradients = append_gradients(&mut training.net.graph, &training.losses, None)?;
    let mut outputs = training.losses.values();
    outputs.extend([Some(training.maps.joints), training.maps.bones].into_iter().flatten());
    outputs.extend(gradients.iter().map(|&(_, gradient)| gradient));
    let (session, store) = start(gpu, dump, &training, &outputs, choices)?;
    session.run()?;

    let mut found = heat_maps(&session, "train", training.maps)?;
    for (name, loss) in ["joints", "bones", "total"].into_iter().zip(losses_of(dump, &session, &training.losses)?) {
        found.insert(format!("loss.{name}"), Tensor { shape: Vec::new(), data: vec![loss] });
    }
    let graph = &session.plan().graph;
    for (parameter, gradient) in gradients {
        found.insert(format!("grad.{}", graph.value(parameter).name), tensor(&session, gradient)?);
    }
    for value in graph.values().iter().filter(|value| value.role == Role::State) {
        found.insert(format!("stats.{}", value.name), store.read(&value.name)?);
    }
    Ok(found)
}

/// after.*: parameters after AdamW steps that all use the dump's gradients.
fn optimizer(gpu: &Arc<Gpu>, dump: &Dump, choices: &Choices) -> Result<BTreeMap<String, Tensor>, VerifyError> {
    let mut graph = Graph::new();
    let mut pairs = Vec::new();
    let mut uploads = Vec::new();
    for (name, gradient) in dump.with_prefix("grad.") {
        let parameter = graph.parameter(&name, gradient.shape());
        let input = graph.input(&format!("gradient of {name}"), gradient.shape());
        pairs.push((parameter, input));
        uploads.push((input, gradient));
    }
    let hyper = append_optimizer(&mut graph, &pairs, None)?;
    let mut store = Store::new(gpu);
    let session = Session::new(gpu, Plan::with_choices(graph, &[], gpu.capabilities(), choices)?, &mut store)?;
    let parameters = dump.with_prefix("param.");
    for &(parameter, _) in &pairs {
        let name = &session.plan().graph.value(parameter).name;
        let tensor = parameters.get(name).ok_or_else(|| SessionError::Missing(name.clone()))?;
        store.write(name, &tensor.data)?;
    }
    for (input, gradient) in uploads {
        session.write(input, &gradient.data)?;
    }
    for step in 1..=dump.steps as u64 {
        session.write(hyper, &AdamWSettings::default().hyper(step, AFTER_RATE))?;
        session.run()?;
    }
    let graph = &session.plan().graph;
    pairs
        .iter()
        .map(|&(parameter, _)| {
            let name = &graph.value(parameter).name;
            Ok((format!("after.{name}"), store.read(name)?))
        })
        .collect()
}

/// trajectory.loss: the loss before each true training step.
fn trajectory(gpu: &Arc<Gpu>, dump: &Dump, choices: &Choices) -> Result<BTreeMap<String, Tensor>, VerifyError> {
    let mut training = training_graph(dump)?;
    let gradients = append_gradients(&mut training.net.graph, &training.losses, None)?;
    let hyper = append_optimizer(&mut training.net.graph, &gradients, None)?;
    let (session, _store) = start(gpu, dump, &training, &training.losses.values(), choices)?;
    let mut totals = Vec::with_capacity(dump.trajectory);
    for step in 1..=dump.trajectory as u64 {
        session.write(hyper, &AdamWSettings::default().hyper(step, TRAJECTORY_RATE))?;
        session.run()?;
        totals.push(losses_of(dump, &session, &training.losses)?[2]);
    }
    let shape = vec![totals.len()];
    Ok(BTreeMap::from([("trajectory.loss".to_string(), Tensor { shape, data: totals })]))
}
