//! A network's inference as plans, with weights that are computed as far as they depend on nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use super::bundle::{Bundle, Tensors};
use super::numbers::{PRINT, distance, fingerprint, nudged};
use super::plan::PlanFile;
use super::target::Target;
use super::{Examples, WebError};
use crate::data::Batch;
use crate::gpu::Gpu;
use crate::graph::{Plan, Session, Store, Tensor, freeze, fuse};
use crate::ir::{Graph, Role, ValueId};
use crate::nn::checkpoint::{State, network_of};
use crate::nn::{NetworkError, PictureInputs, Precision};
use crate::predict::TrainedNetwork;
use crate::predict::network::{PoseGraph, upload};

/// A [`fingerprint`].
pub(super) type Print = [f32; PRINT];

/// What `bundle.json` says of it.
#[derive(Serialize)]
pub(super) struct Inference {
    /// Trained numbers of the network.
    #[serde(skip)]
    pub parameters: usize,
    plans: Vec<String>,
    weights: Weights,
    vectors: &'static str,
}

#[derive(Serialize)]
struct Weights {
    file: &'static str,
    bytes: usize,
    dtype: &'static str,
}

/// Adds plans for every target, the weights, and what a batch of one person gives.
pub(super) fn add(
    bundle: &mut Bundle,
    gpu: &Arc<Gpu>,
    trained: &TrainedNetwork,
    weights: Precision,
    examples: &Examples,
) -> Result<Inference, WebError> {
    const WEIGHTS: &str = "tensors/weights.safetensors";
    const VECTORS: &str = "tensors/inference.safetensors";
    let TrainedNetwork { model, size, decode, state, path } = trained;
    let state = network_of(path, &model.shapes(*size).map_err(NetworkError::from)?, state)?;
    let PoseGraph { net, pictures, decoded, maps } = PoseGraph::new(model, *size, 1, *decode)?;
    let named = PoseGraph::outputs(decoded, &maps);
    let outputs: Vec<ValueId> = named.iter().map(|&(_, id)| id).collect();
    let mut graph = net.graph;
    let trained_numbers = graph.parameters().iter().map(|&id| graph.shape(id).elements()).sum();
    fuse(&mut graph, &outputs);
    // Weights of 16 bits stay as they are, for the first run to fold: rounded afterwards they would be another network's.
    let parameters = match weights {
        Precision::F32 => {
            let whole = graph.clone();
            let frozen = freeze(&mut graph, &outputs);
            computed(gpu, whole, &frozen, &graph, &state)?
        }
        Precision::F16 => rounded(state),
    };

    let mut plans = Vec::new();
    let names: Vec<(String, ValueId)> = named.iter().map(|&(name, id)| (name.to_owned(), id)).collect();
    let title = format!("inference at {}x{}", size.height, size.width);
    for target in [Target::subgroups_of_8(), Target::default_limits()] {
        let plan = Plan::new(graph.clone(), &outputs, &target.capabilities)?;
        // Those that there are fingerprints of.
        let is_last = target == Target::default_limits();
        let prints = if is_last { print_numbers(&plan) } else { HashMap::new() };
        let file = format!("plans/inference{}.json", target.suffix);
        bundle.plan(&file, &PlanFile::new(&title, &target, &plan, &names, &prints))?;
        plans.push(file);
        if is_last {
            let batch = examples.for_inference(trained)?;
            let vectors = vectors(gpu, plan, &named, decoded, &pictures, &parameters, &batch)?;
            bundle.tensors(VECTORS, &vectors)?;
        }
    }
    let mut tensors = Tensors::default();
    let used = used_parameters(&graph);
    for (name, Tensor { shape, data }) in parameters.into_iter().filter(|(name, _)| used.contains(name)) {
        match weights {
            Precision::F16 => tensors.halves(name, shape, &data)?,
            Precision::F32 => tensors.floats(name, shape, &data),
        }
    }
    let bytes = bundle.tensors(WEIGHTS, &tensors)?;
    let dtype = if weights == Precision::F16 { "f16" } else { "f32" };
    Ok(Inference {
        parameters: trained_numbers,
        plans,
        weights: Weights { file: WEIGHTS, bytes, dtype },
        vectors: VECTORS,
    })
}

/// The tensors, rounded to 16 bits.
fn rounded(mut state: State) -> State {
    let round = |number: &mut f32| *number = half::f16::from_f32(*number).to_f32();
    state.values_mut().flat_map(|tensor| &mut tensor.data).for_each(round);
    state
}

/// All parameters of the frozen graph: `frozen` computed by the graph as it was, the others from the checkpoint.
fn computed(gpu: &Arc<Gpu>, whole: Graph, frozen: &[ValueId], graph: &Graph, state: &State) -> Result<State, WebError> {
    let mut parameters = state.clone();
    let mut store = Store::new(gpu);
    let session = Session::new(gpu, Plan::new(whole, frozen, gpu.capabilities())?, &mut store)?;
    store.load(state)?;
    session.run()?;
    for &id in frozen {
        let value = graph.value(id);
        let tensor = Tensor { shape: value.shape.extents().to_vec(), data: session.read(id)? };
        parameters.insert(value.name.clone(), tensor);
    }
    Ok(parameters)
}

/// The names of the parameters and state that nodes read.
fn used_parameters(graph: &Graph) -> std::collections::HashSet<String> {
    let read = graph.nodes().iter().flat_map(|node| &node.inputs).map(|&id| graph.value(id));
    read.filter(|value| matches!(value.role, Role::Parameter | Role::State)).map(|value| value.name.clone()).collect()
}

/// A number for each value that stays as a node has computed it.
pub(super) fn print_numbers(plan: &Plan) -> HashMap<ValueId, usize> {
    let overwritten = |step: &crate::graph::Step| -> Vec<ValueId> {
        step.node.operator.overwrites().iter().map(|&number| step.node.inputs[number]).collect()
    };
    let overwritten: Vec<ValueId> =
        plan.steps.iter().flat_map(overwritten).flat_map(|id| plan.graph.overlapping(id)).collect();
    let computed = plan.steps.iter().filter(|step| !step.variant.is_view()).flat_map(|step| &step.node.outputs);
    let stays = computed.filter(|id| !overwritten.contains(id));
    stays.enumerate().map(|(number, &id)| (id, number)).collect()
}

/// The fingerprints of these values after a run, in the order of their numbers.
pub(super) fn fingerprints(session: &Session, prints: &HashMap<ValueId, usize>) -> Result<Vec<Print>, WebError> {
    let mut ids: Vec<(usize, ValueId)> = prints.iter().map(|(&id, &number)| (number, id)).collect();
    ids.sort_unstable();
    ids.into_iter().map(|(_, id)| Ok(fingerprint(&session.read(id)?))).collect()
}

/// Adds the fingerprints of a run, and how far those of a second run are from them whose parameters were [`nudged`]: what
/// rounding alone does.
pub(super) fn add_prints(tensors: &mut Tensors, prints: &[Print], nudged: &[Print]) {
    let noise: Vec<f32> = nudged.iter().zip(prints).map(|(nudged, print)| distance(nudged, print)).collect();
    tensors.floats("fingerprints".into(), vec![prints.len(), PRINT], prints.as_flattened());
    tensors.floats("noise".into(), vec![noise.len()], &noise);
}

/// The inputs of a batch.
pub(super) fn add_batch(tensors: &mut Tensors, batch: &Batch) {
    let n = batch.len();
    tensors.words("input.pixels".into(), vec![batch.pixels.len()], &batch.pixels);
    tensors.words("input.pictures".into(), vec![n, 4], batch.pictures.as_flattened());
    let lattice = batch.lattice.as_flattened();
    tensors.integers("input.lattice".into(), vec![n, lattice.len() / n / 2, 2], lattice);
}

fn vectors(
    gpu: &Arc<Gpu>,
    plan: Plan,
    named: &[(&'static str, ValueId)],
    joints: ValueId,
    pictures: &PictureInputs,
    parameters: &BTreeMap<String, Tensor>,
    batch: &Batch,
) -> Result<Tensors, WebError> {
    let prints = print_numbers(&plan);
    let capabilities = Target::default_limits().capabilities;
    // Everything stays readable.
    let all: Vec<ValueId> = prints.keys().copied().chain(plan.outputs.iter().copied()).collect();
    let plan = Plan::new(plan.graph, &all, &capabilities)?;
    let mut store = Store::new(gpu);
    let mut session = Session::new(gpu, plan, &mut store)?;
    upload(&mut session, pictures, batch)?;
    let mut other = parameters.clone();
    other.values_mut().for_each(|tensor| tensor.data = nudged(&tensor.data));
    store.load(&other)?;
    session.run()?;
    let of_nudged = fingerprints(&session, &prints)?;
    let joints_of_nudged = session.read(joints)?;
    store.load(parameters)?;
    session.run()?;
    let mut tensors = Tensors::default();
    add_batch(&mut tensors, batch);
    for &(name, id) in named {
        let shape = session.plan().graph.shape(id).extents().to_vec();
        tensors.floats(format!("output.{name}"), shape, &session.read(id)?);
    }
    let points = |numbers: &[f32]| numbers.as_chunks::<3>().0.to_vec();
    let moved = points(&session.read(joints)?).into_iter().zip(points(&joints_of_nudged));
    let moved: Vec<f32> = moved.map(|([x, y, _], [u, v, _])| (x - u).hypot(y - v)).collect();
    tensors.floats("noise.joints".into(), vec![moved.len()], &moved);
    add_prints(&mut tensors, &fingerprints(&session, &prints)?, &of_nudged);
    Ok(tensors)
}
