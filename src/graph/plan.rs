//! From a graph to a plan: what runs, in which order, with which kernels, and where each value lies.
//!
//! 1. Nodes that nothing needs are dropped.
//! 2. Nodes that overwrite state move to the earliest place where everything else has read that state, so that what
//!    they consume (gradients above all) dies early.
//! 3. A variant of its kernels is chosen for each node.
//! 4. What depends on unchanging parameters alone is set apart, to be computed once.
//! 5. Computed values and scratch tensors are packed into memory slots (`memory.rs`), except those that have their place in
//!    a flat value.
//!
//! Planning is pure: the same graph, capabilities and choices give the same plan, without a device.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use thiserror::Error;

use super::memory::{Memory, allocate};
use super::{Choices, Step, Workload};
use crate::ir::{Capabilities, Case, Cost, DType, Graph, Node, Role, ShapeError, ValueId, Variant};

/// A graph that cannot be planned.
#[derive(Debug, Error)]
pub enum PlanError {
    /// An operator refused its inputs.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A tensor does not fit into one binding of the adapter.
    #[error(
        "tensor '{tensor}' {shape} needs {wanted} bytes, but this adapter binds at most {limit} bytes at a time; \
         use a smaller batch or input size"
    )]
    BindingTooLarge {
        /// Name of the tensor.
        tensor: String,
        /// Its shape.
        shape: String,
        /// Bytes it needs.
        wanted: u64,
        /// Bytes the adapter allows.
        limit: u64,
    },
    /// A kernel would read one and write another part of a flat value.
    #[error("'{dispatch}' reads and writes parts of '{flat}' at once; leave what it writes out of the flat value")]
    ReadsAndWrites {
        /// Node and kernel.
        dispatch: String,
        /// Name of the flat value.
        flat: String,
    },
}

/// A graph ready to run.
#[derive(Debug)]
pub struct Plan {
    /// The values.
    pub graph: Graph,
    /// What runs, in order.
    pub steps: Vec<Step>,
    /// Parameters and state of a plan that changes none, and what is computed from them alone.
    pub constants: HashSet<ValueId>,
    /// Where computed values and scratch tensors lie.
    pub memory: Memory,
    /// What stays readable after a run.
    pub outputs: Vec<ValueId>,
}

impl Plan {
    /// Plans `graph` so that `outputs` can be read after a run.
    ///
    /// # Errors
    /// [`PlanError::BindingTooLarge`] where a tensor does not fit the adapter, [`PlanError::ReadsAndWrites`] where a node
    /// cannot compute a part of a flat value.
    pub fn new(graph: Graph, outputs: &[ValueId], capabilities: &Capabilities) -> Result<Self, PlanError> {
        Self::with_variants(graph, outputs, capabilities, |_, _, mut variants| variants.swap_remove(0))
    }

    /// As [`Plan::new`] with these choices; cases that they do not name keep the operator's own.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn with_choices(
        graph: Graph,
        outputs: &[ValueId],
        capabilities: &Capabilities,
        choices: &Choices,
    ) -> Result<Self, PlanError> {
        Self::with_variants(graph, outputs, capabilities, |node, case, mut variants| {
            let names: Vec<&str> = variants.iter().map(|variant| variant.name).collect();
            let position = choices.position(&Workload::new(node, case).key(), &names).unwrap_or(0);
            variants.swap_remove(position)
        })
    }

    /// As [`Plan::new`]; `choose` picks among a node's variants, of which the first is the operator's own choice.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn with_variants(
        graph: Graph,
        outputs: &[ValueId],
        capabilities: &Capabilities,
        choose: impl Fn(&Node, &Case, Vec<Variant>) -> Variant,
    ) -> Result<Self, PlanError> {
        check_sizes(&graph, capabilities)?;
        let nodes = updates_early(&graph, live_nodes(&graph, outputs));
        let mut constants = constants(&graph, &nodes);
        let overwritten = nodes.iter().flat_map(overwritten_by).flat_map(|id| graph.overlapping(id));
        let overwritten: HashSet<ValueId> = overwritten.collect();
        let mut steps = Vec::with_capacity(nodes.len());
        for node in nodes {
            let (inputs, results) = (graph.shapes(&node.inputs), graph.shapes(&node.outputs));
            let constant: Vec<bool> = node.inputs.iter().map(|input| constants.contains(input)).collect();
            let dtypes = graph.dtypes(&node);
            let case = Case { inputs: &inputs, outputs: &results, constant: &constant, dtypes: &dtypes, capabilities };
            let mut cost = node.operator.cost(&inputs, &results);
            cost.bytes -= bytes_saved(&graph, &node);
            let mut variants = node.operator.variants(&case);
            let may_be_view = node.inputs.iter().all(|input| !overwritten.contains(input))
                && node.outputs.iter().all(|&output| graph.value(output).part.is_none());
            variants.retain(|variant| variant.accepts(&dtypes) && (may_be_view || !variant.is_view()));
            if variants.is_empty() {
                return Err(ShapeError::new(node.operator.name(), NO_F16_KERNEL).within(&node.name).into());
            }
            let variant = choose(&node, &case, variants);
            let once = if node.operator.overwrites().is_empty() && constant.iter().all(|&constant| constant) {
                constants.extend(&node.outputs);
                variant.dispatches.len()
            } else if variant.prepacking.inputs.iter().all(|&number| constant[number]) {
                variant.prepacking.dispatches
            } else {
                0
            };
            steps.push(Step { node, variant, dtypes, once, cost });
        }
        let memory = allocate(&graph, &steps, outputs);
        let plan = Self { graph, steps, constants, memory, outputs: outputs.to_vec() };
        plan.check_flat_values()?;
        Ok(plan)
    }

    /// The operator of one of its steps at its shapes.
    pub fn workload(&self, step: &Step) -> Workload {
        Workload {
            operator: Arc::clone(&step.node.operator),
            inputs: step.node.inputs.iter().map(|&id| self.graph.shape(id).clone()).collect(),
            constant: step.node.inputs.iter().map(|id| self.constants.contains(id)).collect(),
            dtypes: step.dtypes.clone(),
        }
    }

    /// Whether a run changes parameters or state.
    pub fn overwrites(&self) -> bool {
        self.steps.iter().any(|step| !step.node.operator.overwrites().is_empty())
    }

    /// Bytes of all memory slots: what computed values and scratch tensors take.
    pub fn slot_bytes(&self) -> u64 {
        self.memory.slots.iter().map(|&words| 4 * words as u64).sum()
    }

    /// Bytes of the flat values whose parts are computed: what lies in no slot, such as the gradients of a training step.
    pub fn workspace_bytes(&self) -> u64 {
        let computed = self.graph.values().iter().filter(|value| value.role == Role::Computed);
        let workspaces: HashSet<ValueId> = computed.filter_map(|value| Some(value.part?.of)).collect();
        workspaces.iter().map(|&id| 4 * self.graph.value(id).words() as u64).sum()
    }

    /// Bytes of everything: slots, flat values, inputs, parameters and state.
    pub fn total_bytes(&self) -> u64 {
        let kept = self.graph.values().iter().filter(|value| value.role != Role::Computed && value.part.is_none());
        self.slot_bytes() + kept.map(|value| 4 * value.words() as u64).sum::<u64>()
    }

    /// Sum of the costs of all nodes.
    pub fn cost(&self) -> Cost {
        self.steps.iter().fold(Cost::default(), |sum, step| Cost {
            flops: sum.flops + step.cost.flops,
            bytes: sum.bytes + step.cost.bytes,
        })
    }

    /// The plan as a table: a line a node with operator, variant, shapes and slots.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            let outputs: Vec<_> = step
                .node
                .outputs
                .iter()
                .map(|id| {
                    let f16 = if self.graph.value(*id).dtype == DType::F16 { " f16" } else { "" };
                    let place = match (self.memory.placement(*id), self.graph.value(*id).part) {
                        (Some(place), _) => format!("slot {}", place.slot),
                        (None, Some(part)) => self.graph.value(part.of).name.clone(),
                        (None, None) => "as given".to_string(),
                    };
                    format!("{}{f16} {place}", self.graph.shape(*id))
                })
                .collect();
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{:<48} {:<24} {:<16} {:>10.3} MFLOP  {}",
                step.node.name,
                step.node.operator.name(),
                step.variant.name,
                step.cost.flops * 1e-6,
                outputs.join(", ")
            );
        }
        text
    }
}

const NO_F16_KERNEL: &str = "no kernel takes these tensors as f16";

/// Bytes that a node touches less than it would if all its tensors were float32.
fn bytes_saved(graph: &Graph, node: &Node) -> f64 {
    let values = node.inputs.iter().chain(&node.outputs).map(|&id| graph.value(id));
    let f16 = values.filter(|value| value.dtype == DType::F16);
    f16.map(|value| 2.0 * value.shape.elements() as f64).sum()
}

fn check_sizes(graph: &Graph, capabilities: &Capabilities) -> Result<(), PlanError> {
    let limit = capabilities.max_tensor_bytes();
    for value in graph.values() {
        let wanted = 4 * value.words() as u64;
        if wanted > limit {
            let (tensor, shape) = (value.name.clone(), value.shape.to_string());
            return Err(PlanError::BindingTooLarge { tensor, shape, wanted, limit });
        }
    }
    Ok(())
}

/// Parameters and state, where no node overwrites any: what one of them changes makes a training step, after which the
/// others will change too.
fn constants(graph: &Graph, nodes: &[Node]) -> HashSet<ValueId> {
    if nodes.iter().any(|node| !node.operator.overwrites().is_empty()) {
        return HashSet::new();
    }
    let kept = |role: Role| matches!(role, Role::Parameter | Role::State);
    graph.value_ids().filter(|(_, value)| kept(value.role)).map(|(id, _)| id).collect()
}

/// The nodes that an output or a state update needs, in the graph's order.
fn live_nodes(graph: &Graph, outputs: &[ValueId]) -> Vec<Node> {
    let mut needed: HashSet<ValueId> = outputs.iter().flat_map(|&output| graph.overlapping(output)).collect();
    let mut live = Vec::new();
    for node in graph.nodes().iter().rev() {
        let updates = !node.operator.overwrites().is_empty();
        if updates || node.outputs.iter().any(|output| needed.contains(output)) {
            needed.extend(node.inputs.iter().flat_map(|&input| graph.overlapping(input)));
            live.push(node.clone());
        }
    }
    live.reverse();
    live
}

/// The values that a node overwrites.
fn overwritten_by(node: &Node) -> Vec<ValueId> {
    node.operator.overwrites().iter().map(|&number| node.inputs[number]).collect()
}

/// Moves each node that overwrites state up to where its inputs are there and every other reader has run.
fn updates_early(graph: &Graph, nodes: Vec<Node>) -> Vec<Node> {
    let mut position: HashMap<ValueId, usize> = HashMap::new();
    let mut last_reader: HashMap<ValueId, usize> = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for &output in &node.outputs {
            position.insert(output, index);
        }
        let own = overwritten_by(node);
        for &input in node.inputs.iter().filter(|input| !own.contains(input)) {
            last_reader.insert(input, index);
        }
    }
    // Sorting by (place after which it can run, original place) keeps every other node where it was.
    let mut order: Vec<(usize, usize, Node)> = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.into_iter().enumerate() {
        let own = overwritten_by(&node);
        let after = if own.is_empty() || own.iter().any(|&id| graph.value(id).role == Role::Computed) {
            index
        } else {
            let overlapping = |ids: &[ValueId]| ids.iter().flat_map(|&id| graph.overlapping(id)).collect::<Vec<_>>();
            let (inputs, own) = (overlapping(&node.inputs), overlapping(&own));
            let inputs = inputs.iter().filter_map(|input| position.get(input));
            let readers = own.iter().filter_map(|id| last_reader.get(id));
            inputs.chain(readers).copied().filter(|&other| other < index).max().unwrap_or(index)
        };
        order.push((after, index, node));
    }
    order.sort_by_key(|&(after, index, _)| (after, index));
    order.into_iter().map(|(_, _, node)| node).collect()
}
