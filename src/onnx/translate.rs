//! From a network's graph to an ONNX graph, node by node.
//!
//! The graph is that of an inference after [`fuse`](crate::graph::fuse): batch normalisation lies in the convolutions'
//! weights. What depends on weights alone, such as those, is computed here, by the operators' float64 references. The
//! number of pictures, which a graph fixes, is left open: every operator of a network treats pictures alike, and no shape
//! that is written says how many there are.

use std::any::Any;
use std::collections::{HashMap, HashSet};

use super::OnnxError;
use super::builder::{Builder, int};
use super::proto::Attribute;
use crate::ir::{Graph, Node, Role, ValueId};
use crate::nn::checkpoint::State;
use crate::ops::Epilogue;
use crate::ops::add::Add;
use crate::ops::batch_norm::{BatchNormInference, FoldBatchNorm};
use crate::ops::concat::{Concat, Split};
use crate::ops::conv2d::{Conv2d, Conv2dInputGradient};
use crate::ops::dynamic_conv::DynamicConv;
use crate::ops::expectation::Expectation;
use crate::ops::gate::Gate;
use crate::ops::gather_channels::{GatherChannels, ScatterAdd};
use crate::ops::global_average_pool::GlobalAveragePool;
use crate::ops::max_pool::MaxPool;
use crate::ops::relu::Relu;
use crate::ops::resize::Resize;
use crate::ops::upsample::{Upsample, UpsampleAdd};

/// A graph on its way to ONNX. What each operator becomes is in `operators.rs`.
pub(super) struct Translator<'a> {
    pub(super) graph: &'a Graph,
    pub(super) builder: Builder,
    state: &'a State,
    /// The name of each value that is in the ONNX graph.
    names: HashMap<ValueId, String>,
    /// The values that have got their numbers here, as they depend on weights alone.
    computed: HashMap<ValueId, (String, Vec<f64>)>,
    /// Nodes that are translated together with one before them, by their first output.
    absorbed: HashSet<ValueId>,
}

/// What translates a node: it adds ONNX nodes, and returns the name of the value that the node computes.
pub(super) type Result<T> = std::result::Result<T, OnnxError>;

impl<'a> Translator<'a> {
    /// A translation of `graph` with the weights of `state`.
    pub fn new(graph: &'a Graph, state: &'a State) -> Self {
        let (builder, names) = (Builder::default(), HashMap::new());
        Self { graph, builder, state, names, computed: HashMap::new(), absorbed: HashSet::new() }
    }

    /// Translates every node that one of `outputs` depends on; the values of these get their names.
    pub fn run(&mut self, outputs: &[(ValueId, &str)]) -> Result<()> {
        for (id, value) in self.graph.value_ids().filter(|(_, value)| value.role == Role::Input) {
            self.builder.input(&value.name, &value.shape.extents()[1..]);
            self.names.insert(id, value.name.clone());
        }
        let graph = self.graph;
        let mut needed: HashSet<ValueId> = outputs.iter().map(|&(value, _)| value).collect();
        for node in graph.nodes().iter().rev() {
            if node.outputs.iter().any(|output| needed.contains(output)) {
                needed.extend(&node.inputs);
            }
        }
        for node in graph.nodes().iter().filter(|node| node.outputs.iter().any(|output| needed.contains(output))) {
            let operator: &dyn Any = node.operator.as_ref();
            if let Some(fold) = operator.downcast_ref::<FoldBatchNorm>() {
                self.fold(node, fold)?;
            } else if let Some(Split { channels }) = operator.downcast_ref::<Split>() {
                let names = self.split(node, channels)?;
                self.names.extend(node.outputs.iter().copied().zip(names));
            } else if !self.absorbed.contains(&node.outputs[0]) {
                let name = self.node(node)?;
                self.names.insert(node.outputs[0], name);
            }
        }
        for (value, name) in outputs {
            let old = self.name(*value)?;
            self.builder.rename(&old, name);
        }
        Ok(())
    }

    fn node(&mut self, node: &'a Node) -> Result<String> {
        let operator: &dyn Any = node.operator.as_ref();
        if let Some(operator) = operator.downcast_ref::<Conv2d>() {
            self.convolution(node, operator)
        } else if let Some(operator) = operator.downcast_ref::<Conv2dInputGradient>() {
            self.transposed_convolution(node, operator)
        } else if let Some(operator) = operator.downcast_ref::<BatchNormInference>() {
            self.normalisation(node, operator)
        } else if let Some(operator) = operator.downcast_ref::<MaxPool>() {
            self.max_pool(node, operator)
        } else if let Some(&Upsample { factor }) = operator.downcast_ref::<Upsample>() {
            self.upsample(node, node.inputs[0], factor)
        } else if let Some(&UpsampleAdd { factor, relu }) = operator.downcast_ref::<UpsampleAdd>() {
            let y = self.upsample(node, node.inputs[1], factor)?;
            self.epilogue(node, y, Epilogue { residual: true, relu }, node.inputs.first())
        } else if let Some(&Resize { size, align_corners }) = operator.downcast_ref::<Resize>() {
            self.resize(node, size, align_corners)
        } else if operator.is::<Concat>() {
            self.same_with(node, "Concat", &[int("axis", 1)])
        } else if let Some(GatherChannels { index }) = operator.downcast_ref::<GatherChannels>() {
            self.gather(node, index)
        } else if let Some(ScatterAdd { index }) = operator.downcast_ref::<ScatterAdd>() {
            self.scatter_add(node, index)
        } else if operator.is::<DynamicConv>() {
            self.dynamic_convolution(node)
        } else if operator.is::<Gate>() {
            self.gate(node)
        } else if operator.is::<Expectation>() {
            self.expectation(node)
        } else if operator.is::<Relu>() {
            self.same(node, "Relu")
        } else if operator.is::<Add>() {
            self.same(node, "Add")
        } else if operator.is::<GlobalAveragePool>() {
            self.same(node, "GlobalAveragePool")
        } else {
            Err(OnnxError::Operator { name: node.operator.name(), place: node.name.clone() })
        }
    }

    /// An operator that ONNX has too.
    fn same(&mut self, node: &Node, operator: &str) -> Result<String> {
        self.same_with(node, operator, &[])
    }

    /// An operator that ONNX has too, with attributes.
    fn same_with(&mut self, node: &Node, operator: &str, attributes: &[Attribute]) -> Result<String> {
        let inputs = node.inputs.iter().map(|&input| self.name(input)).collect::<Result<Vec<_>>>()?;
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok(self.builder.node(operator, &node.name, &inputs, attributes))
    }

    /// What follows `y`, the result of the operator of `node` without its epilogue.
    pub(super) fn epilogue(
        &mut self,
        node: &Node,
        mut y: String,
        epilogue: Epilogue,
        residual: Option<&ValueId>,
    ) -> Result<String> {
        if let Some(&residual) = residual.filter(|_| epilogue.residual) {
            let residual = self.name(residual)?;
            y = self.builder.node("Add", &format!("{}.add", node.name), &[&y, &residual], &[]);
        }
        if epilogue.relu {
            y = self.builder.node("Relu", &format!("{}.relu", node.name), &[&y], &[]);
        }
        Ok(y)
    }

    /// The only node that reads what `node` computes.
    pub(super) fn only_reader(&self, node: &Node) -> Option<&'a Node> {
        let mut readers = self.graph.nodes().iter().filter(|reader| reader.inputs.contains(&node.outputs[0]));
        readers.next().filter(|_| readers.next().is_none())
    }

    /// Says that `node` is translated, as what it computes is called `name`.
    pub(super) fn absorb(&mut self, node: &Node, name: String) {
        self.absorbed.insert(node.outputs[0]);
        self.names.insert(node.outputs[0], name);
    }

    /// The name of a value in the ONNX graph. Weights come in where they are first used.
    pub(super) fn name(&mut self, value: ValueId) -> Result<String> {
        if let Some(name) = self.names.get(&value) {
            return Ok(name.clone());
        }
        let numbers = self.numbers(value)?;
        let name = self.computed.get(&value).map_or(&self.graph.value(value).name, |(name, _)| name);
        let name = self.builder.floats(name, self.graph.shape(value).extents(), &numbers);
        self.names.insert(value, name.clone());
        Ok(name)
    }

    /// The numbers of a value that depends on weights alone.
    pub(super) fn numbers(&self, value: ValueId) -> Result<Vec<f64>> {
        if let Some((_, numbers)) = self.computed.get(&value) {
            return Ok(numbers.clone());
        }
        let name = &self.graph.value(value).name;
        let tensor = self.state.get(name).ok_or_else(|| OnnxError::Missing(name.clone()))?;
        Ok(tensor.data.iter().map(|&number| f64::from(number)).collect())
    }

    /// Gives a value its numbers here, and the name that it has once it is used.
    pub(super) fn compute(&mut self, value: ValueId, name: String, numbers: Vec<f64>) {
        self.computed.insert(value, (name, numbers));
    }
}
