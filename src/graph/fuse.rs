//! Fusion: rewrites of a graph that let one kernel do what several nodes describe.
//!
//! | pattern | becomes |
//! |---|---|
//! | batch norm, \[add,\] \[ReLU\] | batch norm with that epilogue |
//! | nearest up-sampling, add, \[ReLU\] | up-sample-and-add |
//! | convolution, batch norm of a training step with its epilogue | convolution with statistics, batch norm that reads them |
//! | convolution, batch norm of an inference with its epilogue | convolution of other weights, computed once, with a bias and that epilogue |
//!
//! These come before differentiation, so that the gradients of fused nodes are fused as well. What it adds is rewritten
//! behind it:
//!
//! | pattern of the backward pass | becomes |
//! |---|---|
//! | gradient for the input of a convolution, add to what else is known of it | gradient with that as residual |
//!
//! A value disappears into a fused node only where nothing else reads it and the caller does not keep it.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use crate::ir::{Graph, Node, Operator, ValueId};
use crate::ops::Epilogue;
use crate::ops::add::Add;
use crate::ops::batch_norm::{BatchNorm, BatchNormInference, BatchNormWithStatistics, FoldBatchNorm};
use crate::ops::conv2d::{Conv2d, Conv2dInputGradient, Conv2dStatistics};
use crate::ops::relu::Relu;
use crate::ops::upsample::{Upsample, UpsampleAdd};

/// Fuses what can be fused of a forward pass; values in `keep` stay computed.
pub fn fuse(graph: &mut Graph, keep: &[ValueId]) {
    let mut rewriter = Rewriter::new(graph, keep);
    for index in 0..rewriter.nodes.len() {
        rewriter.fuse_batch_norm(index);
    }
    for index in 0..rewriter.nodes.len() {
        rewriter.fuse_upsample(index);
    }
    for index in 0..rewriter.nodes.len() {
        rewriter.compute_statistics_in_convolution(index);
        rewriter.fold_batch_norm(index, graph);
    }
    let nodes = rewriter.nodes.into_iter().flatten().collect();
    graph.set_nodes(topological_order(nodes));
}

/// Fuses what can be fused of the nodes behind the first `forward` ones, the backward pass; values in `keep` stay computed.
pub fn fuse_backward(graph: &mut Graph, forward: usize, keep: &[ValueId]) {
    let mut rewriter = Rewriter::new(graph, keep);
    // Of two gradients that are added, the later one adds: what it reads lives until then anyway.
    for index in (forward..rewriter.nodes.len()).rev() {
        rewriter.fuse_input_gradient(index);
    }
    graph.set_nodes(rewriter.nodes.into_iter().flatten().collect());
}

/// The operator as the type `T`, if it is one.
pub fn as_type<T: Operator>(node: &Node) -> Option<&T> {
    let operator: &dyn Any = node.operator.as_ref();
    operator.downcast_ref()
}

struct Rewriter {
    /// Nodes by index; `None` where a node was fused into another.
    nodes: Vec<Option<Node>>,
    /// Indices of the nodes that read a value.
    readers: HashMap<ValueId, Vec<usize>>,
    keep: HashSet<ValueId>,
}

/// What follows a value whose only reader is an addition or a ReLU.
struct Chain {
    /// The other term of the addition.
    residual: Option<ValueId>,
    relu: bool,
    /// The last value of the chain.
    result: ValueId,
    /// Places of the nodes of the chain.
    indices: Vec<usize>,
}

impl Rewriter {
    fn new(graph: &Graph, keep: &[ValueId]) -> Self {
        let nodes: Vec<Option<Node>> = graph.nodes().iter().cloned().map(Some).collect();
        let mut readers: HashMap<ValueId, Vec<usize>> = HashMap::new();
        for (index, node) in graph.nodes().iter().enumerate() {
            for &input in &node.inputs {
                readers.entry(input).or_default().push(index);
            }
        }
        Self { nodes, readers, keep: keep.iter().copied().collect() }
    }

    /// The only node that reads `value`, with its index, if there is exactly one and the value is not kept.
    fn only_reader(&self, value: ValueId) -> Option<(usize, &Node)> {
        match self.readers.get(&value).map(Vec::as_slice) {
            Some(&[index]) if !self.keep.contains(&value) => self.nodes[index].as_ref().map(|node| (index, node)),
            _ => None,
        }
    }

    /// The addition and the ReLU behind `value`, as far as they can be fused to what computes it.
    fn chain_behind(&self, value: ValueId) -> Chain {
        let mut chain = Chain { residual: None, relu: false, result: value, indices: Vec::new() };
        if let Some((index, node)) = self.only_reader(value)
            && as_type::<Add>(node).is_some()
        {
            chain.residual = node.inputs.iter().copied().find(|&input| input != value);
            chain.result = node.outputs[0];
            chain.indices.push(index);
        }
        if let Some((index, node)) = self.only_reader(chain.result)
            && as_type::<Relu>(node).is_some()
        {
            chain.relu = true;
            chain.result = node.outputs[0];
            chain.indices.push(index);
        }
        chain
    }

    fn fuse_batch_norm(&mut self, index: usize) {
        let Some(node) = &self.nodes[index] else { return };
        let Some(&output) = node.outputs.first() else { return };
        let chain = self.chain_behind(output);
        let epilogue = Epilogue { residual: chain.residual.is_some(), relu: chain.relu };
        let operator: Arc<dyn Operator> = if let Some(norm) = as_type::<BatchNorm>(node)
            && norm.epilogue == Epilogue::NONE
        {
            Arc::new(BatchNorm { epilogue, ..*norm })
        } else if let Some(norm) = as_type::<BatchNormInference>(node)
            && norm.epilogue == Epilogue::NONE
        {
            Arc::new(BatchNormInference { epilogue, ..*norm })
        } else {
            return;
        };
        let mut node = node.clone();
        node.operator = operator;
        node.inputs.extend(chain.residual);
        self.replace(index, node, &chain);
    }

    fn fuse_upsample(&mut self, index: usize) {
        let Some(node) = &self.nodes[index] else { return };
        let Some(upsample) = as_type::<Upsample>(node) else { return };
        let chain = self.chain_behind(node.outputs[0]);
        let Some(residual) = chain.residual else { return };
        let mut node = node.clone();
        node.operator = Arc::new(UpsampleAdd { factor: upsample.factor, relu: chain.relu });
        node.inputs = vec![residual, node.inputs[0]];
        self.replace(index, node, &chain);
    }

    fn fuse_input_gradient(&mut self, index: usize) {
        let Some(node) = &self.nodes[index] else { return };
        let Some(&gradient) = as_type::<Conv2dInputGradient>(node).filter(|gradient| !gradient.residual) else {
            return;
        };
        let chain = self.chain_behind(node.outputs[0]);
        let Some(residual) = chain.residual.filter(|_| !chain.relu) else { return };
        let mut node = node.clone();
        node.operator = Arc::new(Conv2dInputGradient { residual: true, ..gradient });
        node.inputs.push(residual);
        self.replace(index, node, &chain);
    }

    /// The convolution at `index` without epilogue, and the only reader of its result with its index, where that is a
    /// normalisation `T` of it.
    fn normalised_convolution<T: Operator>(&self, index: usize) -> Option<(&Conv2d, usize, &T)> {
        let node = self.nodes[index].as_ref()?;
        let convolution = as_type::<Conv2d>(node).filter(|conv| conv.epilogue == Epilogue::NONE)?;
        let (last, norm) = self.only_reader(node.outputs[0])?;
        // As the residual it would still be needed.
        let is_normalised = norm.inputs[0] == node.outputs[0] && !norm.inputs[1..].contains(&node.outputs[0]);
        as_type::<T>(norm).filter(|_| is_normalised).map(|operator| (convolution, last, operator))
    }

    /// A convolution whose only reader is a batch normalisation of a training step computes the statistics too.
    fn compute_statistics_in_convolution(&mut self, index: usize) {
        let Some((&convolution, last, &BatchNorm { eps, epilogue })) = self.normalised_convolution(index) else {
            return;
        };
        let [Some(mut node), Some(mut norm)] = [index, last].map(|index| self.nodes[index].clone()) else { return };
        let statistics = norm.outputs.split_off(1);
        node.operator = Arc::new(Conv2dStatistics { convolution });
        node.outputs.extend(&statistics);
        norm.operator = Arc::new(BatchNormWithStatistics { eps, epilogue, synchronised: false });
        norm.inputs.splice(3..3, statistics);
        self.nodes[index] = Some(node);
        self.nodes[last] = Some(norm);
    }

    /// A convolution whose only reader is a batch normalisation with running statistics absorbs it: it gets other weights, a
    /// bias and the epilogue of the normalisation.
    fn fold_batch_norm(&mut self, index: usize, graph: &mut Graph) {
        let Some((convolution, last, norm)) = self.normalised_convolution::<BatchNormInference>(index) else { return };
        let [Some(node), Some(norm_node)] = [&self.nodes[index], &self.nodes[last]] else { return };
        let fold = FoldBatchNorm { eps: norm.eps };
        let mut inputs = vec![node.inputs[1]];
        inputs.extend(&norm_node.inputs[1..5]);
        inputs.extend(node.inputs.get(2));
        let mut folded = node.clone();
        folded.operator = Arc::new(Conv2d { bias: true, epilogue: norm.epilogue, ..*convolution });
        folded.outputs = norm_node.outputs.clone();
        let residual = norm_node.inputs.get(5).copied();
        // The graph takes it: the convolution's outputs are the normalisation's channels.
        let Ok(weights) = graph.scoped_as(&node.name, |graph| graph.apply(fold, &inputs)) else { return };
        folded.inputs = vec![node.inputs[0], weights[0], weights[1]];
        folded.inputs.extend(residual);
        self.nodes[index] = graph.nodes().last().cloned();
        self.nodes[last] = Some(folded);
    }

    /// Puts `node`, which now computes the chain's result, at the index of the chain's last node.
    fn replace(&mut self, index: usize, mut node: Node, chain: &Chain) {
        let Some(&last) = chain.indices.last() else { return };
        node.outputs[0] = chain.result;
        for &gone in chain.indices.iter().chain([&index]) {
            self.nodes[gone] = None;
        }
        for readers in self.readers.values_mut() {
            for reader in readers.iter_mut().filter(|reader| **reader == index || chain.indices.contains(reader)) {
                *reader = last;
            }
        }
        self.nodes[last] = Some(node);
    }
}

/// The nodes in an order in which they can run, as near as possible to the given one. A node that overwrites a value
/// comes after the other readers of that value.
fn topological_order(nodes: Vec<Node>) -> Vec<Node> {
    let mut producer: HashMap<ValueId, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        producer.extend(node.outputs.iter().map(|&output| (output, index)));
    }
    let overwriter: HashMap<ValueId, usize> = nodes
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.operator.overwrites().iter().map(move |&number| (node.inputs[number], index)))
        .collect();
    let mut dependencies: Vec<usize> = vec![0; nodes.len()];
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        let before: HashSet<usize> = node.inputs.iter().filter_map(|input| producer.get(input)).copied().collect();
        let after: HashSet<usize> = node.inputs.iter().filter_map(|input| overwriter.get(input)).copied().collect();
        for other in before.into_iter().filter(|&other| other != index) {
            dependents[other].push(index);
            dependencies[index] += 1;
        }
        for other in after.into_iter().filter(|&other| other != index) {
            dependents[index].push(other);
            dependencies[other] += 1;
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..nodes.len()).filter(|&index| dependencies[index] == 0).map(Reverse).collect();
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(nodes.len());
    while let Some(Reverse(index)) = ready.pop() {
        ordered.extend(nodes[index].take());
        for &other in &dependents[index] {
            dependencies[other] -= 1;
            if dependencies[other] == 0 {
                ready.push(Reverse(other));
            }
        }
    }
    ordered
}
