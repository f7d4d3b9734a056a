//! Plans: what is dropped, what moves, and that no two living values share memory. Needs no adapter.

use std::collections::HashMap;

use ditn::graph::{Placement, Plan, PlanError, differentiate};
use ditn::ir::{Capabilities, Graph, ValueId};
use ditn::ops::adamw::AdamW;
use ditn::ops::add::Add;
use ditn::ops::relu::Relu;
use proptest::prelude::*;

fn capabilities(max_binding_bytes: u64) -> Capabilities {
    Capabilities {
        subgroups: false,
        subgroup_min_size: 0,
        subgroup_max_size: 0,
        cooperative_matrix: None,
        shader_f16: false,
        timestamps: false,
        pipeline_cache: false,
        max_binding_bytes,
        max_buffer_bytes: 1 << 31,
        workgroup_memory: 16 << 10,
        max_workgroup_invocations: 256,
        max_storage_buffers: 10,
        is_cpu: true,
    }
}

#[test]
fn nodes_that_no_output_needs_are_dropped() {
    let mut graph = Graph::new();
    let x = graph.input("x", [1, 1, 2, 2]);
    let used = graph.apply_one(Relu, &[x]).expect("relu takes any shape");
    graph.apply_one(Add, &[x, used]).expect("the shapes are equal");
    let plan = Plan::new(graph, &[used], &capabilities(1 << 20)).expect("everything fits");
    assert_eq!(plan.steps.len(), 1);
}

#[test]
fn a_tensor_over_the_binding_limit_is_refused_with_its_name_and_both_sizes() {
    let mut graph = Graph::new();
    let x = graph.input("pixels", [1, 1, 64, 64]);
    let y = graph.apply_one(Relu, &[x]).expect("relu takes any shape");
    let error = Plan::new(graph, &[y], &capabilities(4096)).expect_err("16 KiB do not fit into 4");
    assert!(matches!(&error, PlanError::BindingTooLarge { wanted: 16384, limit: 4096, .. }), "{error}");
    assert!(error.to_string().contains("'pixels'"), "{error}");
}

#[test]
fn the_optimizer_runs_as_soon_as_nobody_reads_the_parameter_any_more() {
    let mut graph = Graph::new();
    let x = graph.input("x", [4]);
    let weights: Vec<ValueId> = (0..3).map(|k| graph.parameter(&format!("w{k}"), [4])).collect();
    let mut y = x;
    for &weight in &weights {
        y = graph.apply_one(Add, &[y, weight]).expect("the shapes are equal");
        y = graph.apply_one(Relu, &[y]).expect("relu takes any shape");
    }
    let seed = graph.input("seed", [4]);
    let gradients = differentiate(&mut graph, &[(y, seed)], &weights).expect("both operators have gradients");
    let hyper = graph.input("hyper", [8]);
    for (number, (&weight, gradient)) in weights.iter().zip(gradients).enumerate() {
        let (m, v) = (graph.state(&format!("m{number}"), [4]), graph.state(&format!("v{number}"), [4]));
        let gradient = gradient.expect("every weight is used");
        graph.apply(AdamW, &[weight, gradient, m, v, hyper]).expect("the shapes are equal");
    }
    let plan = Plan::new(graph, &[y], &capabilities(1 << 20)).expect("everything fits");
    let names: Vec<_> = plan.steps.iter().map(|step| step.node.operator.name()).collect();
    // Three additions with ReLU forward, then a ReLU backward and an update for each, not all updates at the end.
    assert_eq!(&names[6..], ["relu_backward", "adamw", "relu_backward", "adamw", "relu_backward", "adamw"]);
}

/// No two things that live at the same time overlap, and no step reads and writes one slot.
fn assert_no_overlap(plan: &Plan) {
    let mut last_use: HashMap<ValueId, usize> = HashMap::new();
    for (index, step) in plan.steps.iter().enumerate() {
        for &value in step.node.inputs.iter().chain(&step.node.outputs) {
            last_use.insert(value, index);
        }
    }
    for &output in &plan.outputs {
        last_use.insert(output, usize::MAX);
    }
    let mut living: Vec<(Placement, usize)> = Vec::new();
    for (index, step) in plan.steps.iter().enumerate() {
        living.retain(|&(_, dies)| dies >= index);
        let outputs = step.node.outputs.iter().map(|output| (plan.memory.values[output], last_use[output]));
        let written: Vec<(Placement, usize)> =
            outputs.chain(plan.memory.scratch[index].iter().map(|&place| (place, index))).collect();
        for &(place, dies) in &written {
            assert!(
                place.offset + place.words <= plan.memory.slots[place.slot],
                "{place:?} is past the end of its slot"
            );
            for (other, _) in &living {
                let apart = place.offset + place.words <= other.offset || other.offset + other.words <= place.offset;
                assert!(place.slot != other.slot || apart, "{place:?} and {other:?} overlap at step {index}");
            }
            living.push((place, dies));
        }
        let mut slots: Vec<usize> = written.iter().map(|(place, _)| place.slot).collect();
        slots.sort_unstable();
        assert!(slots.windows(2).all(|pair| pair[0] != pair[1]), "step {index} writes a slot twice");
        for input in step.node.inputs.iter().filter_map(|input| plan.memory.values.get(input)) {
            assert!(!slots.contains(&input.slot), "step {index} reads and writes slot {}", input.slot);
        }
    }
}

proptest! {
    #[test]
    fn living_values_never_share_memory(edges in prop::collection::vec((any::<u16>(), any::<u16>()), 1..40), kept: u16) {
        let mut graph = Graph::new();
        let mut values = vec![graph.input("x", [1, 1, 3, 3])];
        for (a, b) in edges {
            let pick = |number: u16| values[usize::from(number) % values.len()];
            let (a, b) = (pick(a), pick(b));
            values.push(graph.apply_one(Add, &[a, b]).expect("the shapes are equal"));
        }
        let last = values[values.len() - 1];
        let other = values[1 + usize::from(kept) % (values.len() - 1)];
        let plan = Plan::new(graph, &[last, other], &capabilities(1 << 20)).expect("everything fits");
        assert_no_overlap(&plan);
    }
}
