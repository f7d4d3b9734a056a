//! Batch normalisation by the statistics of all ranks instead of each rank's own.

use std::sync::Arc;

use super::fuse::as_type;
use crate::ir::{Graph, Node, ShapeError, ValueId};
use crate::ops::batch_norm::{BatchNorm, BatchNormWithStatistics, BatchStatistics, RunningStatistics};
use crate::ops::conv2d::Conv2dStatistics;
use crate::ops::over_ranks::StatisticsOverRanks;

/// Makes the batch normalisations of a fused forward pass of training use the statistics of the elements of `ranks` ranks.
/// What computed the statistics before computes those of the rank, and a node of [`StatisticsOverRanks`] joins them. Gradients
/// that are derived afterwards are those through the statistics of all.
///
/// # Errors
/// None for a graph whose nodes were accepted; [`ShapeError`] otherwise.
pub fn synchronise(graph: &mut Graph, ranks: usize) -> Result<(), ShapeError> {
    let nodes = graph.nodes().to_vec();
    let mut synchronised = Vec::with_capacity(nodes.len());
    for mut node in nodes {
        if let Some(&BatchNorm { eps, epilogue }) = as_type(&node) {
            let statistics = node.outputs.split_off(1);
            let own = append(graph, &node.name, |graph| graph.apply(BatchStatistics, &node.inputs[..1]))?;
            let joined = append(graph, &node.name, |graph| graph.apply(StatisticsOverRanks, &own.outputs))?;
            let joined = Node { outputs: statistics.clone(), ..joined };
            node.operator = Arc::new(BatchNormWithStatistics { eps, epilogue, synchronised: true });
            node.inputs.splice(3..3, statistics);
            synchronised.extend([own, joined, node]);
        } else if as_type::<Conv2dStatistics>(&node).is_some() {
            // The convolution computes the new values, so that who reads the old ones reads what is joined.
            let mut joined = append(graph, &node.name, |graph| graph.apply(StatisticsOverRanks, &node.outputs[1..]))?;
            std::mem::swap(&mut joined.inputs, &mut joined.outputs);
            node.outputs.splice(1.., joined.inputs.iter().copied());
            synchronised.extend([node, joined]);
        } else if let Some(&norm) = as_type::<BatchNormWithStatistics>(&node) {
            node.operator = Arc::new(BatchNormWithStatistics { synchronised: true, ..norm });
            synchronised.push(node);
        } else if let Some(&update) = as_type::<RunningStatistics>(&node) {
            node.operator = Arc::new(RunningStatistics { count: ranks * update.count, ..update });
            synchronised.push(node);
        } else {
            synchronised.push(node);
        }
    }
    graph.set_nodes(synchronised);
    Ok(())
}

/// The node that `build` appends for the node of this name.
fn append(
    graph: &mut Graph,
    name: &str,
    build: impl FnOnce(&mut Graph) -> Result<Vec<ValueId>, ShapeError>,
) -> Result<Node, ShapeError> {
    graph.scoped_as(&format!("{name}:statistics"), build)?;
    graph.nodes().last().cloned().ok_or_else(|| ShapeError::new("synchronise", "no node was appended"))
}
