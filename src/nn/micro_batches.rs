//! A step of several micro-batches, of one process or of several ranks: what each computes, and the update behind them.
//!
//! The graph of the step ends with its gradients and batch statistics added to sums; a second graph updates parameters,
//! moments and running statistics from these. Both have the sums by name in one [`Store`](crate::graph::Store). The losses'
//! weights are divided by the number of micro-batches of a step, so that the sums of gradients are those of the mean loss.

use std::collections::HashMap;

use super::optimizer::{LOSS_SCALE, Optimizer};
use crate::graph::{Plan, Step, TEMPORARY, as_type};
use crate::ir::{Graph, Node, Role, ShapeError, ValueId};
use crate::ops::accumulate::{Accumulate, Quantity};
use crate::ops::batch_norm::RunningStatistics;
use crate::ops::loss_scale;

/// What updates parameters and running statistics once all micro-batches of a step are computed.
pub(super) struct Update {
    pub graph: Graph,
    /// Its input of [`Optimizer::hyper`](super::Optimizer::hyper).
    pub hyper: ValueId,
    /// The input of the step's graph that is 0 for the first micro-batch of a step and 1 for the others.
    pub keep: ValueId,
}

impl Update {
    /// Appends to `graph` the sums of these gradients and of the batch statistics, and takes out of it the update of the
    /// running statistics. Of the gradients, which are `scaled` or not, a step has `micro_batches`.
    pub fn split_off(
        graph: &mut Graph,
        gradients: &[(ValueId, ValueId)],
        micro_batches: usize,
        optimizer: &Optimizer,
        scaled: bool,
    ) -> Result<Self, ShapeError> {
        let keep = graph.input("keep", [1]);
        let mut update = Mirror { graph: Graph::new(), values: HashMap::new() };
        let mut pairs = Vec::with_capacity(gradients.len());
        for &(parameter, gradient) in gradients {
            let name = format!("gradient.{}", graph.value(parameter).name);
            let sum = accumulate(graph, Quantity::Gradients, &name, gradient, keep)?;
            pairs.push((update.value(graph, parameter), update.value(graph, sum)));
        }
        let is_update = |node: &Node| as_type::<RunningStatistics>(node).is_some();
        let (updates, nodes): (Vec<Node>, Vec<Node>) = graph.nodes().iter().cloned().partition(is_update);
        graph.set_nodes(nodes);
        for (number, node) in updates.iter().enumerate() {
            if updates[..number].iter().any(|other| other.inputs[0] == node.inputs[0]) {
                let name = &graph.value(node.inputs[0]).name;
                let message =
                    format!("'{name}' is updated twice a step; accumulation and several ranks need one update");
                return Err(ShapeError::new("training", message));
            }
            let Some(&statistics) = as_type::<RunningStatistics>(node) else { continue };
            let mut inputs = vec![update.value(graph, node.inputs[0]), update.value(graph, node.inputs[1])];
            for (quantity, input) in [(Quantity::Means, 2), (Quantity::Variances, 3)] {
                let name = format!("{}.{number}", quantity.name());
                let sum = accumulate(graph, quantity, &name, node.inputs[input], keep)?;
                inputs.push(update.value(graph, sum));
            }
            let statistics = RunningStatistics { batches: micro_batches, ..statistics };
            update.graph.scoped_as(&node.name, |graph| graph.apply(statistics, &inputs))?;
        }
        let mut update = update.graph;
        let loss_scale = scaled.then(|| update.state(LOSS_SCALE, [loss_scale::INITIAL.len()]));
        let hyper = optimizer.append(&mut update, &pairs, loss_scale)?;
        Ok(Self { graph: update, hyper, keep })
    }
}

/// Appends the sum of `x` over the micro-batches of a step.
fn accumulate(graph: &mut Graph, of: Quantity, name: &str, x: ValueId, keep: ValueId) -> Result<ValueId, ShapeError> {
    let name = format!("{TEMPORARY}{name}");
    let sum = graph.state(&name, graph.shape(x).clone());
    graph.scoped_as(&name, |graph| graph.apply(Accumulate { of }, &[sum, x, keep]))?;
    Ok(sum)
}

/// A graph with some of the parameters and state of another, by the same names.
struct Mirror {
    graph: Graph,
    values: HashMap<ValueId, ValueId>,
}

impl Mirror {
    fn value(&mut self, of: &Graph, id: ValueId) -> ValueId {
        let value = of.value(id);
        *self.values.entry(id).or_insert_with(|| match value.role {
            Role::Parameter => self.graph.parameter(&value.name, value.shape.clone()),
            _ => self.graph.state(&value.name, value.shape.clone()),
        })
    }
}

/// The sum that a step of a plan adds to, where it adds one up over micro-batches.
pub(super) fn sum_of(step: &Step) -> Option<ValueId> {
    as_type::<Accumulate>(&step.node).map(|_| step.node.inputs[0])
}

/// The sums of gradients and batch statistics that ranks exchange at the end of a planned step, in the order in which they are
/// ready: the value of each, and the number of the step of the plan behind which it is.
pub fn buckets(plan: &Plan) -> Vec<(ValueId, usize)> {
    plan.steps.iter().enumerate().filter_map(|(number, step)| Some((sum_of(step)?, number))).collect()
}
