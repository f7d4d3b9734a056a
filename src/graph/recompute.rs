//! Recomputation: trades a little time for the memory of half the activations.
//!
//! Behind a convolution with batch normalisation, the backward pass reads two tensors: what the convolution gave (the
//! gradient of the normalisation needs it) and the normalised result (the next convolution's weight gradient and ReLU
//! need it). The second follows from the first, the batch's statistics and the residual in one elementwise pass. So it
//! is not kept over the forward pass but computed again, to the same bits, just before the backward pass first reads it.

use std::collections::HashMap;

use super::fuse::as_type;
use crate::ir::{Graph, Node, ShapeError, ValueId};
use crate::ops::batch_norm::{BatchNorm, BatchNormInference, BatchNormWithStatistics};

/// Makes the nodes behind the first `forward` ones, the backward pass, read recomputed values instead of the normalised
/// values of the forward pass.
///
/// A residual is recomputed likewise where it is itself normalised, back to the first that is not: the input of a branch
/// of residual blocks.
///
/// # Errors
/// None for a graph whose nodes were accepted; [`ShapeError`] otherwise.
pub fn recompute(graph: &mut Graph, forward: usize) -> Result<(), ShapeError> {
    let nodes = graph.nodes().to_vec();
    let (forward, backward) = nodes.split_at(forward.min(nodes.len()));
    let normalised = forward.iter().filter(|node| normalisation(node).is_some());
    let mut again = Again {
        sources: normalised.map(|node| (node.outputs[0], node)).collect(),
        known: HashMap::new(),
        nodes: forward.to_vec(),
    };
    for node in backward {
        let mut node = node.clone();
        for input in &mut node.inputs {
            *input = again.value(graph, *input)?;
        }
        again.nodes.push(node);
    }
    let nodes = again.nodes;
    graph.set_nodes(nodes);
    Ok(())
}

/// What computes the value of a node of batch normalisation again, and from what.
fn normalisation(node: &Node) -> Option<(BatchNormInference, Vec<ValueId>)> {
    if let Some(&BatchNorm { eps, epilogue }) = as_type(node) {
        let mut inputs = node.inputs.clone();
        inputs.splice(3..3, node.outputs[1..].iter().copied());
        return Some((BatchNormInference { eps, epilogue }, inputs));
    }
    let &BatchNormWithStatistics { eps, epilogue, .. } = as_type(node)?;
    Some((BatchNormInference { eps, epilogue }, node.inputs.clone()))
}

struct Again<'a> {
    /// The node of the forward pass that computes a normalised value.
    sources: HashMap<ValueId, &'a Node>,
    /// What has been recomputed already.
    known: HashMap<ValueId, ValueId>,
    /// The nodes of the new graph so far.
    nodes: Vec<Node>,
}

impl Again<'_> {
    /// The value that holds what `value` held: a recomputed one for what is normalised, itself for everything else.
    fn value(&mut self, graph: &mut Graph, value: ValueId) -> Result<ValueId, ShapeError> {
        if let Some(&known) = self.known.get(&value) {
            return Ok(known);
        }
        let Some(&node) = self.sources.get(&value) else { return Ok(value) };
        let Some((operator, mut inputs)) = normalisation(node) else { return Ok(value) };
        for residual in &mut inputs[5..] {
            *residual = self.value(graph, *residual)?;
        }
        let name = format!("{}:again", node.name);
        let again = graph.scoped_as(&name, |graph| graph.apply_one(operator, &inputs))?;
        self.nodes.extend(graph.nodes().last().cloned());
        self.known.insert(value, again);
        Ok(again)
    }
}
