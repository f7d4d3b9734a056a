//! Reverse-mode differentiation: a graph in, the same graph with the nodes of the gradients out.

use std::collections::HashMap;

use crate::ir::{Graph, ShapeError, ValueId};
use crate::ops::add::Add;

/// Appends to `graph` the gradients, with respect to each of `wanted`, of the sum of <output, seed> over `seeds`.
///
/// Each seed pairs an output with a value of the same shape that stands for the gradient of the result with respect
/// to that output. `None` stands for a wanted value that the outputs do not depend on.
///
/// # Errors
/// [`ShapeError`] where a seed does not match its output or an operator has no gradient rule.
pub fn differentiate(
    graph: &mut Graph,
    seeds: &[(ValueId, ValueId)],
    wanted: &[ValueId],
) -> Result<Vec<Option<ValueId>>, ShapeError> {
    let mut gradients: HashMap<ValueId, ValueId> = HashMap::new();
    for &(output, seed) in seeds {
        let (shape, seed_shape) = (graph.shape(output), graph.shape(seed));
        ShapeError::unless(shape == seed_shape, "differentiate", || {
            format!("the gradient {seed_shape} of '{}' does not match its shape {shape}", graph.value(output).name)
        })?;
        accumulate(graph, &mut gradients, output, seed)?;
    }
    // A value needs a gradient where a wanted one flows into it.
    let mut needs: Vec<bool> = vec![false; graph.values().len()];
    for &value in wanted {
        needs[value.index()] = true;
    }
    let forward = graph.nodes().to_vec();
    for node in &forward {
        if node.inputs.iter().any(|input| needs[input.index()]) {
            for output in &node.outputs {
                needs[output.index()] = true;
            }
        }
    }
    for node in forward.iter().rev() {
        let output_gradients: Vec<Option<ValueId>> =
            node.outputs.iter().map(|output| gradients.get(output).copied()).collect();
        let any_input = node.inputs.iter().any(|input| needs[input.index()]);
        if !any_input || output_gradients.iter().all(Option::is_none) {
            continue;
        }
        let name = format!("{}:backward", node.name);
        let input_gradients = graph.scoped_as(&name, |graph| node.operator.gradient(graph, node, &output_gradients))?;
        for (&input, gradient) in node.inputs.iter().zip(input_gradients) {
            if let (true, Some(gradient)) = (needs[input.index()], gradient) {
                graph.scoped_as(&name, |graph| accumulate(graph, &mut gradients, input, gradient))?;
            }
        }
    }
    Ok(wanted.iter().map(|value| gradients.get(value).copied()).collect())
}

/// Adds one contribution to the gradient of `value`.
fn accumulate(
    graph: &mut Graph,
    gradients: &mut HashMap<ValueId, ValueId>,
    value: ValueId,
    contribution: ValueId,
) -> Result<(), ShapeError> {
    let sum = match gradients.get(&value) {
        None => contribution,
        Some(&sum) => graph.apply_one(Add, &[sum, contribution])?,
    };
    gradients.insert(value, sum);
    Ok(())
}
