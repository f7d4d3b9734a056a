//! The runs that compute what a dump holds, group by group.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Dump, VerifyError, described};
use crate::gpu::Gpu;
use crate::graph::{Choices, Plan, Session, SessionError, Store, Tensor, store_activations_as_f16};
use crate::ir::{Graph, Role, Shape, ShapeError, Value, ValueId};
use crate::models::{Head, HeatMaps};
use crate::nn::{Gradients, LOSS_SCALE, Mode, Network, NetworkError, Optimizer, Precision, Trainer, TrainingStep};
use crate::ops::loss_scale;
use crate::train::objective::{LossTerm, Losses, Targets};

/// The learning rate of the steps that all use the dump's gradients.
const AFTER_RATE: f64 = 1e-3;
/// The learning rate of the true training steps.
pub(super) const TRAJECTORY_RATE: f64 = 1e-4;
/// What the largest gradient of a parameter is scaled below where gradients are stored as F16, which ends at 65504.
const LARGEST_F16_GRADIENT: f32 = 8192.0;

/// Everything that a dump promises, under the dump's names.
pub(super) fn run_all(
    gpu: &Arc<Gpu>,
    dump: &Dump,
    choices: &Choices,
    precision: Precision,
) -> Result<BTreeMap<String, Tensor>, VerifyError> {
    if precision == Precision::F16 && !gpu.capabilities().shader_f16 {
        return Err(NetworkError::NoF16.into());
    }
    let mut computed = inference(gpu, dump, choices, precision)?;
    computed.append(&mut training(gpu, dump, choices, precision)?);
    if precision == Precision::F16 {
        return Ok(computed);
    }
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
fn inference(
    gpu: &Arc<Gpu>,
    dump: &Dump,
    choices: &Choices,
    precision: Precision,
) -> Result<BTreeMap<String, Tensor>, VerifyError> {
    let mut net = Network::new(Mode::Inference);
    let image = net.graph.input("image", dump.image().shape());
    let maps = dump.model.build(&mut net, image)?;
    let maps = named_maps(&maps);
    let outputs: Vec<ValueId> = maps.iter().map(|&(_, id)| id).collect();
    let mut store = Store::new(gpu);
    let session = Session::new(gpu, net.plan_stored_as(precision, &outputs, gpu.capabilities(), choices)?, &mut store)?;
    store.load(&dump.with_prefix("param."))?;
    session.write(image, &dump.image().data)?;
    session.run()?;
    read_maps(&session, "eval", &maps)
}

/// What a network predicts, by the names that dumps have for it.
fn named_maps(maps: &HeatMaps) -> Vec<(String, ValueId)> {
    let named = |term: LossTerm, id| (term.to_string(), id);
    let sides = maps.sides.iter().enumerate().map(|(number, side)| named(LossTerm::Side(number), side.maps));
    let bones = maps.bones.map(|id| named(LossTerm::Bones, id));
    let coordinates = maps.coordinates.map(|id| named(LossTerm::Coordinates, id));
    std::iter::once(named(LossTerm::Joints, maps.joints)).chain(sides).chain(bones).chain(coordinates).collect()
}

fn read_maps(
    session: &Session,
    group: &str,
    maps: &[(String, ValueId)],
) -> Result<BTreeMap<String, Tensor>, VerifyError> {
    maps.iter().map(|(name, id)| Ok((format!("{group}.{name}"), tensor(session, *id)?))).collect()
}

/// A network in training with the dump's targets as inputs.
pub(super) struct TrainingGraph {
    pub net: Network,
    pub maps: Vec<(String, ValueId)>,
    pub losses: Losses,
    /// Each input with the dump's tensor that goes there.
    pub inputs: Vec<(ValueId, String)>,
}

/// The network for one of `shares` equal shares of the dump's batch.
pub(super) fn training_graph(dump: &Dump, shares: usize) -> Result<TrainingGraph, VerifyError> {
    let mut net = Network::new(Mode::Training);
    let shape = |name: &str| {
        let mut extents = dump.required(name)?.shape.clone();
        extents[0] /= shares;
        Ok::<Shape, ShapeError>(Shape::new(extents))
    };
    let image = net.graph.input("image", shape("input.image")?);
    let maps = dump.model.build(&mut net, image)?;
    let mut inputs = vec![(image, "input.image".to_string())];
    let mut known: Vec<(String, Targets)> = Vec::new();
    let losses = dump.objective.append(&mut net.graph, &maps, |graph, term| {
        // Side maps without targets of their own have those of the joints.
        let own = term.to_string();
        let name = if dump.tensors().contains_key(&format!("target.{own}")) { own } else { "joints".to_string() };
        if let Some((_, targets)) = known.iter().find(|(other, _)| *other == name) {
            return Ok(*targets);
        }
        let mut input = |kind: &str| {
            let name = format!("{kind}.{name}");
            let value = graph.input(&name, shape(&name)?);
            inputs.push((value, name));
            Ok::<ValueId, ShapeError>(value)
        };
        let targets = Targets { maps: input("target")?, weights: input("weight")? };
        known.push((name, targets));
        Ok(targets)
    })?;
    check_terms(dump, &maps, &losses)?;
    let maps = named_maps(&maps);
    Ok(TrainingGraph { net, maps, losses, inputs })
}

/// That the losses are those that the dump was made with.
fn check_terms(dump: &Dump, maps: &HeatMaps, losses: &Losses) -> Result<(), ShapeError> {
    let Some(terms) = &dump.terms else { return Ok(()) };
    let mut own: Vec<(LossTerm, f32)> = losses.0.iter().map(|&(term, _, weight)| (term, weight)).collect();
    // The joints' comes last there.
    own.sort_by_key(|(term, _)| *term == LossTerm::Joints);
    let of_maps = |kind: &str, expected| described::loss(kind).is_ok_and(|kind| kind == expected);
    let is_kind = |kind: &str, term: LossTerm| match term {
        LossTerm::Coordinates => kind == described::COORDINATES,
        LossTerm::Side(side) if maps.sides[side].coarse => of_maps(kind, dump.objective.coarse_loss),
        LossTerm::Side(_) | LossTerm::Joints => of_maps(kind, dump.objective.loss),
        LossTerm::Bones => of_maps(kind, dump.objective.bone_loss),
    };
    let mut pairs = terms.iter().zip(&own);
    let same = terms.len() == own.len() && pairs.all(|((kind, a), (term, b))| a == b && is_kind(kind, *term));
    ShapeError::unless(same, "dump", || format!("its terms {terms:?} are not those of its network: {own:?}"))
}

/// The losses of a run by the names that dumps have for them, and the total.
pub(super) fn named_losses(dump: &Dump, losses: &Losses, values: &[f32]) -> Vec<(String, f32)> {
    let mut named: Vec<(String, f32)> =
        losses.0.iter().zip(values).map(|((term, ..), &value)| (format!("loss.{term}"), value)).collect();
    named.push(("loss.total".to_string(), losses.total(values)));
    if dump.terms.is_none() && dump.model.head == Head::Convolution {
        // Where a network has no bones these dumps say that they cost nothing.
        named.push(("loss.bones".to_string(), 0.0));
    }
    named
}

/// train.*, loss.*, grad.* and stats.*: one training step without its update.
fn training(
    gpu: &Arc<Gpu>,
    dump: &Dump,
    choices: &Choices,
    precision: Precision,
) -> Result<BTreeMap<String, Tensor>, VerifyError> {
    let TrainingGraph { net, maps, losses, inputs } = training_graph(dump, 1)?;
    let mut graph = net.graph;
    let kept: Vec<ValueId> = maps.iter().map(|&(_, id)| id).collect();
    let training = losses.training().keep(&kept);
    let loss_scale = match precision {
        Precision::F32 => None,
        Precision::F16 => Some(graph.state(LOSS_SCALE, [loss_scale::INITIAL.len()])),
    };
    let Gradients { pairs, seeds } = Gradients::append(&mut graph, training.losses(), &kept, loss_scale, None)?;
    let mut outputs = training.outputs();
    outputs.extend(pairs.iter().map(|&(_, gradient)| gradient));
    if precision == Precision::F16 {
        store_activations_as_f16(&mut graph, &outputs, gpu.capabilities());
    }
    let mut store = Store::new(gpu);
    let session = Session::new(gpu, Plan::with_choices(graph, &outputs, gpu.capabilities(), choices)?, &mut store)?;
    for (name, tensor) in dump.with_prefix("param.") {
        store.write(&name, &tensor.data)?;
    }
    let scale = if loss_scale.is_some() { loss_scale_of(dump) } else { 1.0 };
    if loss_scale.is_some() {
        store.write(LOSS_SCALE, &[scale, 0.0, 0.0])?;
    }
    for (value, name) in inputs {
        session.write(value, &dump.required(&name)?.data)?;
    }
    for (seed, weight) in seeds {
        session.write(seed, &[weight])?;
    }
    session.run()?;

    let mut found = read_maps(&session, "train", &maps)?;
    let values =
        losses.0.iter().map(|&(_, loss, _)| Ok(session.read(loss)?[0])).collect::<Result<Vec<_>, SessionError>>()?;
    for (name, loss) in named_losses(dump, &losses, &values) {
        found.insert(name, Tensor { shape: Vec::new(), data: vec![loss] });
    }
    let graph = &session.plan().graph;
    for (parameter, gradient) in pairs {
        let mut gradient = tensor(&session, gradient)?;
        // A division by a power of two changes no bit but the exponent's.
        gradient.data.iter_mut().for_each(|x| *x /= scale);
        found.insert(format!("grad.{}", graph.value(parameter).name), gradient);
    }
    let is_statistic = |value: &&Value| value.role == Role::State && value.name != LOSS_SCALE;
    for value in graph.values().iter().filter(is_statistic) {
        found.insert(format!("stats.{}", value.name), store.read(&value.name)?);
    }
    Ok(found)
}

/// A power of two for the losses at which the dump's gradients fit F16, as a loss scale comes to in training.
fn loss_scale_of(dump: &Dump) -> f32 {
    let gradients = dump.tensors().iter().filter(|(name, _)| name.starts_with("grad."));
    let largest = gradients.flat_map(|(_, tensor)| &tensor.data).fold(f32::MIN_POSITIVE, |most, x| most.max(x.abs()));
    (LARGEST_F16_GRADIENT / largest).log2().floor().clamp(-16.0, 16.0).exp2()
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
    let optimizer = Optimizer::default();
    let hyper = optimizer.append(&mut graph, &pairs, None)?;
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
        session.write(hyper, &optimizer.hyper(step, AFTER_RATE))?;
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
    let TrainingGraph { net, losses, inputs, .. } = training_graph(dump, 1)?;
    let step = TrainingStep::new(net, losses.training())?;
    let mut trainer = Trainer::with_choices(gpu, step, choices)?;
    // The optimizer's moments stay zero: the dump has none.
    for (name, tensor) in dump.with_prefix("param.") {
        trainer.store().write(&name, &tensor.data)?;
    }
    for (value, name) in inputs {
        trainer.write(value, &dump.required(&name)?.data)?;
    }
    let mut totals = Vec::with_capacity(dump.trajectory);
    for _ in 0..dump.trajectory {
        let values = trainer.submit(TRAJECTORY_RATE)?.wait()?;
        totals.push(losses.total(&values.concat()));
    }
    let shape = vec![totals.len()];
    Ok(BTreeMap::from([("trajectory.loss".to_string(), Tensor { shape, data: totals })]))
}
