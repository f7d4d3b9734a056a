//! Freezing: what an inference computes from parameters and state alone becomes parameters of its own.

use std::collections::{HashMap, HashSet};

use crate::ir::{Graph, Role, ValueId};

/// Takes the nodes out of `graph` that depend on parameters and state alone, such as those that fold batch normalisation into
/// the weights of convolutions, and makes parameters of what others, or `outputs`, read of them. Returns these values: whoever
/// runs the frozen graph computes them once with the graph as it was, where they have the same numbers.
///
/// What several nodes compute alike, such as the two halves of a flip test, is one parameter, unless it is an output.
///
/// A graph that overwrites parameters or state stays as it is.
pub fn freeze(graph: &mut Graph, outputs: &[ValueId]) -> Vec<ValueId> {
    if graph.nodes().iter().any(|node| !node.operator.overwrites().is_empty()) {
        return Vec::new();
    }
    let is_kept = |role| matches!(role, Role::Parameter | Role::State);
    let kept = graph.value_ids().filter(|(_, value)| is_kept(value.role));
    let mut constant: HashSet<ValueId> = kept.map(|(id, _)| id).collect();
    let mut changing = Vec::new();
    // By operator and inputs: what is computed so already, and what stands for what.
    let mut computed: HashMap<(&'static str, String, Vec<ValueId>), Vec<ValueId>> = HashMap::new();
    let mut stand_in: HashMap<ValueId, ValueId> = HashMap::new();
    for mut node in graph.nodes().iter().cloned() {
        node.inputs.iter_mut().for_each(|id| *id = stand_in.get(id).copied().unwrap_or(*id));
        if node.inputs.iter().any(|input| !constant.contains(input)) {
            changing.push(node);
            continue;
        }
        constant.extend(&node.outputs);
        let key = (node.operator.name(), node.operator.attributes(), node.inputs);
        let first = computed.entry(key).or_insert_with(|| node.outputs.clone());
        let replaced = node.outputs.iter().copied().zip(first.iter().copied());
        stand_in.extend(replaced.filter(|(output, _)| !outputs.contains(output)));
    }
    let read: HashSet<ValueId> = changing.iter().flat_map(|node| &node.inputs).chain(outputs).copied().collect();
    graph.set_nodes(changing);
    let mut names: HashSet<String> = graph.values().iter().map(|value| value.name.clone()).collect();
    let mut frozen: Vec<ValueId> = read.intersection(&constant).copied().collect();
    frozen.retain(|&id| graph.value(id).role == Role::Computed);
    frozen.sort();
    for &id in &frozen {
        let name = &graph.value(id).name;
        let unique = (0..).map(|number| format!("{name}.frozen{number}")).find(|name| !names.contains(name));
        // The numbers do not end.
        let unique = unique.unwrap_or_default();
        names.insert(unique.clone());
        graph.make_parameter(id, unique);
    }
    frozen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::add::Add;
    use crate::ops::relu::Relu;

    #[test]
    fn what_depends_on_parameters_alone_becomes_a_parameter_and_the_rest_stays() {
        let mut graph = Graph::new();
        let (x, w) = (graph.input("x", [4]), graph.parameter("w", [4]));
        let half = graph.apply_one(Relu, &[w]).unwrap();
        let whole = graph.apply_one(Relu, &[half]).unwrap();
        let unread = graph.apply_one(Relu, &[whole]).unwrap();
        let again = graph.apply_one(Relu, &[w]).unwrap();
        let again = graph.apply_one(Relu, &[again]).unwrap();
        let sum = graph.apply_one(Add, &[x, again]).unwrap();
        assert_eq!(freeze(&mut graph, &[sum, half]), [half, whole]);
        assert_eq!(graph.nodes().len(), 1);
        let roles = [x, w, half, whole, unread, sum].map(|id| graph.value(id).role);
        use Role::{Computed, Input, Parameter};
        assert_eq!(roles, [Input, Parameter, Parameter, Parameter, Computed, Computed]);
        let names: HashSet<&str> = graph.values().iter().map(|value| value.name.as_str()).collect();
        assert!(names.contains(".frozen0") && names.contains(".frozen1"), "{names:?}");
    }
}
