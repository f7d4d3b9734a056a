//! Flat values: one update for all tensors of a network, where the layers describe one each.
//!
//! | nodes | become | on the flat values of |
//! |---|---|---|
//! | AdamW, or Adam, of each parameter | one | parameters, gradients, first and second moments |
//! | RMSprop of each parameter | one RMSprop | parameters, gradients, second moments |
//! | SGD of each parameter | one SGD | parameters, gradients, momenta |
//! | running statistics of each layer | one of all layers | running means and variances, the batch's means and variances |
//! | sum of each gradient, mean and variance over micro-batches | one of all | the sums, what is added to them |
//! | the loss scale's test of each gradient | a test of the flat gradients | gradients |
//!
//! Each tensor becomes a [part](crate::ir::Part) of a flat value and keeps its name and shape: other nodes, files and the
//! host see no difference, and each element is computed as before, to the bit. Where a flat value would not fit a binding of
//! the adapter there are several chunks.
//!
//! A device tracks whole buffers, so no dispatch may read one and write another part of a flat value. What such a kernel
//! computes is copied into its place by a node of its own, as is what has no place to be computed in: an input, or one
//! tensor that is the gradient of two parameters.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::fuse::as_type;
use crate::ir::{ALIGNMENT, Argument, Capabilities, Case, DType, Graph, Node, Operator, Role, ShapeError, ValueId};
use crate::ops::accumulate::{Accumulate, Quantity};
use crate::ops::adam::Adam;
use crate::ops::adamw::AdamW;
use crate::ops::batch_norm::{FlatRunningStatistics, RunningStatistics};
use crate::ops::loss_scale::NonFinite;
use crate::ops::reshape::Reshape;
use crate::ops::rmsprop::RmsProp;
use crate::ops::sgd::Sgd;

/// Lays what updates of one kind read and overwrite element by element into flat values, and replaces the updates by one for
/// each chunk that fits the adapter.
///
/// An update stays as it is where what it overwrites is not parameters and state, where another node overwrites it too, or
/// where it fills a binding by itself.
///
/// # Errors
/// None for a graph whose nodes were accepted; [`ShapeError`] otherwise.
pub fn flatten(graph: &mut Graph, capabilities: &Capabilities) -> Result<(), ShapeError> {
    flatten_in_chunks(graph, capabilities, u64::MAX)
}

/// As [`flatten`], in chunks of which no flat value has more than `most` bytes.
///
/// # Errors
/// As [`flatten`].
pub fn flatten_in_chunks(graph: &mut Graph, capabilities: &Capabilities, most: u64) -> Result<(), ShapeError> {
    let nodes = graph.nodes().to_vec();
    let chunks = chunks(graph, &nodes, most.min(capabilities.max_tensor_bytes()));
    if chunks.is_empty() {
        return Ok(());
    }
    let homes = homes(graph, &nodes, &chunks, capabilities);
    let mut rebuilt = Rebuilt { first: Vec::new(), behind: vec![Vec::new(); nodes.len()], flat: Vec::new() };
    for number in 0..chunks.len() {
        rebuilt.update(graph, &nodes, &chunks, number, &homes)?;
    }
    let updates = places(&chunks);
    let Rebuilt { first, behind, flat } = rebuilt;
    let mut all = first;
    for (place, (node, behind)) in nodes.into_iter().zip(behind).enumerate() {
        all.extend((!updates.contains(&place)).then_some(node));
        all.extend(behind);
    }
    let nodes = test_flat_values(graph, all, &flat)?;
    graph.set_nodes(nodes);
    Ok(())
}

/// What a node updates element by element: names of its inputs, from the first on. The inputs behind them are one for all
/// elements. None of what is no update.
fn columns(node: &Node) -> &'static [&'static str] {
    if as_type::<AdamW>(node).is_some() || as_type::<Adam>(node).is_some() {
        &["parameters", "gradients", "first moments", "second moments"]
    } else if as_type::<RmsProp>(node).is_some() {
        &["parameters", "gradients", "second moments"]
    } else if as_type::<Sgd>(node).is_some() {
        &["parameters", "gradients", "momenta"]
    } else if as_type::<RunningStatistics>(node).is_some() {
        &["running means", "running variances", "means", "variances"]
    } else if let Some(sum) = as_type::<Accumulate>(node) {
        match sum.of {
            Quantity::Gradients => &["sums of gradients", "gradients"],
            Quantity::Means => &["sums of means", "means"],
            Quantity::Variances => &["sums of variances", "variances"],
        }
    } else {
        &[]
    }
}

/// The operator that does at once what these nodes of one kind do.
fn merged(graph: &Graph, nodes: &[&Node]) -> Arc<dyn Operator> {
    let layers = nodes.iter().map(|node| Some((graph.shape(node.inputs[0]).elements(), *as_type(node)?)));
    match layers.collect::<Option<Vec<(usize, RunningStatistics)>>>() {
        Some(layers) => Arc::new(FlatRunningStatistics::new(layers)),
        None => Arc::clone(&nodes[0].operator),
    }
}

/// Updates that become one.
struct Chunk {
    columns: &'static [&'static str],
    /// Places of the nodes.
    nodes: Vec<usize>,
    words: usize,
}

/// The places of all nodes of some chunks.
fn places(chunks: &[Chunk]) -> HashSet<usize> {
    chunks.iter().flat_map(|chunk| chunk.nodes.iter().copied()).collect()
}

/// The updates of each kind and of the same further inputs, in chunks of which no flat value has more than `limit` bytes.
fn chunks(graph: &Graph, nodes: &[Node], limit: u64) -> Vec<Chunk> {
    let mut writers: HashMap<ValueId, usize> = HashMap::new();
    for node in nodes {
        for &number in node.operator.overwrites() {
            *writers.entry(node.inputs[number]).or_default() += 1;
        }
    }
    let is_alone = |id: &ValueId| {
        let value = graph.value(*id);
        let is_kept = matches!(value.role, Role::Parameter | Role::State);
        is_kept && value.dtype == DType::F32 && value.part.is_none() && writers[id] == 1
    };
    let bytes = |words: usize| 4 * words as u64;
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut open: HashMap<(&str, &[&str], &[ValueId]), usize> = HashMap::new();
    for (place, node) in nodes.iter().enumerate() {
        let columns = columns(node);
        if columns.is_empty() || !node.operator.overwrites().iter().all(|&number| is_alone(&node.inputs[number])) {
            continue;
        }
        let words = graph.value(node.inputs[0]).words().next_multiple_of(ALIGNMENT);
        if bytes(words) > limit {
            continue;
        }
        let kind = (node.operator.name(), columns, &node.inputs[columns.len()..]);
        let fits = |&chunk: &usize| bytes(chunks[chunk].words + words) <= limit;
        match open.get(&kind).copied().filter(fits) {
            Some(chunk) => {
                chunks[chunk].nodes.push(place);
                chunks[chunk].words += words;
            }
            None => {
                open.insert(kind, chunks.len());
                chunks.push(Chunk { columns, nodes: vec![place], words });
            }
        }
    }
    chunks
}

/// A flat value to be: number of the chunk, number of the column.
type Home = (usize, usize);

/// The tensors that can be parts themselves; what the chunks read beside them has to be copied.
fn homes(graph: &Graph, nodes: &[Node], chunks: &[Chunk], capabilities: &Capabilities) -> HashMap<ValueId, Home> {
    let mut homes: HashMap<ValueId, Home> = HashMap::new();
    let mut twice: HashSet<ValueId> = HashSet::new();
    for (number, chunk) in chunks.iter().enumerate() {
        for node in chunk.nodes.iter().map(|&place| &nodes[place]) {
            for (column, &id) in node.inputs[..chunk.columns.len()].iter().enumerate() {
                let value = graph.value(id);
                let is_movable = matches!(value.role, Role::Computed | Role::State);
                let is_movable = is_movable && value.dtype == DType::F32 && value.part.is_none();
                let can_be_a_part = is_movable || node.operator.overwrites().contains(&column);
                if can_be_a_part && homes.insert(id, (number, column)).is_some() {
                    twice.insert(id);
                }
            }
        }
    }
    homes.retain(|id, _| !twice.contains(id));
    let updates = places(chunks);
    for (_, node) in nodes.iter().enumerate().filter(|(place, _)| !updates.contains(place)) {
        while let Some(home) = mixed(graph, node, &homes, capabilities) {
            homes.retain(|id, other| *other != home || !node.outputs.contains(id));
        }
    }
    homes
}

/// A flat value that a kernel of one of the node's variants would read and write at once.
fn mixed(graph: &Graph, node: &Node, homes: &HashMap<ValueId, Home>, capabilities: &Capabilities) -> Option<Home> {
    let of_outputs: Vec<Home> = node.outputs.iter().filter_map(|output| homes.get(output).copied()).collect();
    let of_inputs = || node.inputs.iter().filter_map(|input| homes.get(input));
    let is_shared = |(number, home)| of_outputs[..number].contains(home) || of_inputs().any(|other| other == home);
    if !of_outputs.iter().enumerate().any(is_shared) {
        return None;
    }
    let (inputs, outputs, dtypes) = (graph.shapes(&node.inputs), graph.shapes(&node.outputs), graph.dtypes(node));
    let constant = vec![false; inputs.len()];
    let case = Case { inputs: &inputs, outputs: &outputs, constant: &constant, dtypes: &dtypes, capabilities };
    let variants = node.operator.variants(&case);
    let mut dispatches = variants.iter().flat_map(|variant| &variant.dispatches);
    dispatches.find_map(|dispatch| {
        let home = |binding: usize| match dispatch.bindings[binding] {
            Argument::Input(number) => homes.get(&node.inputs[number]).copied(),
            Argument::Output(number) => homes.get(&node.outputs[number]).copied(),
            Argument::Scratch(_) | Argument::Table(_) => None,
        };
        dispatch.reads_and_writes(home).filter(|home| of_outputs.contains(home))
    })
}

/// The nodes to be: new ones and where they stand among the others.
struct Rebuilt {
    /// Before all others.
    first: Vec<Node>,
    /// Behind the node of each place.
    behind: Vec<Vec<Node>>,
    /// The flat values with the tensors that are their parts, themselves or by a copy.
    flat: Vec<(ValueId, Vec<ValueId>)>,
}

impl Rebuilt {
    /// Adds the update of chunk number `number`, with the flat values that it needs.
    fn update(
        &mut self,
        graph: &mut Graph,
        nodes: &[Node],
        chunks: &[Chunk],
        number: usize,
        homes: &HashMap<ValueId, Home>,
    ) -> Result<(), ShapeError> {
        let chunk = &chunks[number];
        let members: Vec<&Node> = chunk.nodes.iter().map(|&place| &nodes[place]).collect();
        let alike = |chunks: &[Chunk]| chunks.iter().filter(|other| other.columns == chunk.columns).count();
        let suffix = if alike(chunks) > 1 { format!(" {}", alike(&chunks[..number])) } else { String::new() };
        let mut inputs = Vec::with_capacity(members[0].inputs.len());
        for (column, name) in chunk.columns.iter().enumerate() {
            let tensors: Vec<ValueId> = members.iter().map(|node| node.inputs[column]).collect();
            let mut parts = tensors.clone();
            for (part, node) in parts.iter_mut().zip(&members) {
                if homes.get(part) != Some(&(number, column)) {
                    *part = self.copy(graph, nodes, &node.name, *part)?;
                }
            }
            let flat = graph.lay_flat(&format!("{name}{suffix}"), &parts)?;
            self.flat.push((flat, tensors));
            inputs.push(flat);
        }
        inputs.extend(&members[0].inputs[chunk.columns.len()..]);
        let (name, operator) = (format!("{}{suffix}", chunk.columns[0]), merged(graph, &members));
        graph.scoped_as(&name, |graph| graph.apply_shared(operator, &inputs))?;
        // The last of the places, which are in order; no chunk is empty.
        let last = chunk.nodes[chunk.nodes.len() - 1];
        self.behind[last].extend(graph.nodes().last().cloned());
        Ok(())
    }

    /// A copy of `value` for the update of this name, made as early as can be.
    fn copy(&mut self, graph: &mut Graph, nodes: &[Node], name: &str, value: ValueId) -> Result<ValueId, ShapeError> {
        let extents = graph.shape(value).extents().to_vec();
        let copy = graph.scoped_as(&format!("{name}:flat"), |graph| graph.apply_one(Reshape { extents }, &[value]))?;
        let producer = nodes.iter().position(|node| node.outputs.contains(&value));
        let at = producer.map_or(&mut self.first, |place| &mut self.behind[place]);
        at.extend(graph.nodes().last().cloned());
        Ok(copy)
    }
}

/// The nodes with each test of tensors for what is not finite replaced by one of the flat values of these tensors.
fn test_flat_values(
    graph: &mut Graph,
    nodes: Vec<Node>,
    flat: &[(ValueId, Vec<ValueId>)],
) -> Result<Vec<Node>, ShapeError> {
    let is_test = |node: &&Node| as_type::<NonFinite>(node).is_some();
    let tests: HashMap<ValueId, &Node> = nodes.iter().filter(is_test).map(|node| (node.outputs[0], node)).collect();
    let others = nodes.iter().filter(|node| !is_test(node));
    let read_by_others: HashSet<ValueId> = others.flat_map(|node| &node.inputs).copied().collect();
    let mut rebuilt = Vec::with_capacity(nodes.len());
    for node in &nodes {
        let result =
            node.outputs.first().filter(|result| tests.contains_key(result) && read_by_others.contains(result));
        let mut tested = result.map_or_else(Vec::new, |&result| tested(result, &tests));
        let among: HashSet<ValueId> = tested.iter().copied().collect();
        let whole: Vec<_> = flat.iter().filter(|(_, parts)| parts.iter().all(|part| among.contains(part))).collect();
        if whole.is_empty() {
            rebuilt.push(node.clone());
            continue;
        }
        let parts: HashSet<ValueId> = whole.iter().flat_map(|(_, parts)| parts).copied().collect();
        tested.retain(|tensor| !parts.contains(tensor));
        tested.extend(whole.iter().map(|(flat, _)| *flat));
        let before = graph.nodes().len();
        graph.scoped_as(&node.name, |graph| NonFinite::append(graph, tested))?;
        rebuilt.extend_from_slice(&graph.nodes()[before..]);
        if let Some(last) = rebuilt.last_mut() {
            last.outputs.clone_from(&node.outputs);
        }
    }
    Ok(rebuilt)
}

/// The tensors that the test with this result looks at, through the flags of other tests.
fn tested(result: ValueId, tests: &HashMap<ValueId, &Node>) -> Vec<ValueId> {
    let (mut found, mut left) = (Vec::new(), vec![result]);
    while let Some(flag) = left.pop() {
        let Some(test) = tests.get(&flag) else { continue };
        match as_type::<NonFinite>(test) {
            Some(NonFinite { flags: true }) => left.extend(&test.inputs),
            _ => found.extend(&test.inputs),
        }
    }
    found
}
