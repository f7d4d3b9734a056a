//! Plans: what is dropped, what moves, and that no two living values share memory. Needs no adapter.

use std::collections::HashMap;

use ditn::data::Skeleton;
use ditn::graph::{Choices, Placement, Plan, PlanError, Source, differentiate};
use ditn::ir::{Capabilities, Graph, ValueId};
use ditn::models::ModelConfig;
use ditn::nn::{BUCKET_BYTES, buckets};
use ditn::ops::adamw::AdamW;
use ditn::ops::add::Add;
use ditn::ops::relu::Relu;
use ditn::ops::sgd::Sgd;
use ditn::train::config::Config;
use ditn::train::memory::training_plan;
use ditn::train::scale::{RankStep, by_cost, gradient_buckets};
use ditn::train::step::StepGraph;
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

#[test]
fn the_update_of_a_flat_value_waits_for_all_its_parts_and_keeps_them_alive() {
    let mut graph = Graph::new();
    let x = graph.input("x", [5]);
    let hyper = graph.input("hyper", [8]);
    let weights = ["a", "b"].map(|name| graph.parameter(name, [5]));
    let momenta = ["m", "n"].map(|name| graph.state(name, [5]));
    let first = graph.apply_one(Add, &[x, weights[0]]).expect("the shapes are equal");
    let second = graph.apply_one(Add, &[first, weights[1]]).expect("the shapes are equal");
    let late = graph.apply_one(Relu, &[second]).expect("relu takes any shape");
    let gradients = [first, second].map(|sum| graph.apply_one(Relu, &[sum]).expect("relu takes any shape"));
    let [parameters, gradients, momenta] =
        [weights, gradients, momenta].map(|parts| graph.lay_flat("flat", &parts).expect("they are of one kind"));
    graph.apply(Sgd, &[parameters, gradients, momenta, hyper]).expect("the shapes are equal");
    let last = graph.apply_one(Relu, &[late]).expect("relu takes any shape");
    let plan = Plan::new(graph, &[last], &capabilities(1 << 20)).expect("everything fits");
    let names: Vec<_> = plan.steps.iter().map(|step| step.node.operator.name()).collect();
    assert_eq!(names, ["add", "add", "relu", "relu", "relu", "sgd", "relu"]);
    let bindings: Vec<_> = weights.iter().map(|&weight| plan.value_binding(weight)).collect();
    assert!(bindings.iter().all(|binding| binding.source == Source::Kept(parameters) && binding.words == 5));
    assert_eq!((bindings[0].offset, bindings[1].offset), (0, 64));
    // The two gradients, each padded; x, hyper, and as much as the gradients for weights and momenta.
    assert_eq!(plan.workspace_bytes(), 4 * 128);
    assert_eq!(plan.total_bytes(), plan.slot_bytes() + 4 * (3 * 128 + 5 + 8));
    assert_eq!(plan.memory.placement(weights[0]), None);
}

/// A step of DITN-W32 on an adapter that binds so much, with the values that its backward pass begins with.
fn step_of_ditn_w32(max_binding_bytes: u64) -> (Plan, Vec<ValueId>) {
    let skeleton = Skeleton::by_name("mpii").expect("a known skeleton");
    let model = ModelConfig::named("ditn-w32", skeleton).expect("a known network");
    let mut config = Config::default();
    (config.train.size, config.train.batch) = ([64, 64].into(), 2);
    let step = StepGraph::new(&model, &config.step_config(), 0).expect("the network fits the size").step;
    let plan = step.plan(&capabilities(max_binding_bytes), &Choices::default()).expect("it fits");
    (plan, step.seeds().iter().map(|&(seed, _)| seed).collect())
}

#[test]
fn buckets_hold_every_gradient_once_in_the_order_of_the_parameters() {
    // Flat values of one binding or of many make no difference.
    for max_binding_bytes in [1 << 27, 1 << 24] {
        let (plan, _) = step_of_ditn_w32(max_binding_bytes);
        let graph = &plan.graph;
        let parameters: Vec<_> = graph.parameters().into_iter().map(|id| graph.shape(id)).collect();
        let bytes = |id: ValueId| 4 * graph.shape(id).elements().next_multiple_of(64) as u64;
        for limit in [BUCKET_BYTES, 1 << 20] {
            let buckets = gradient_buckets(&plan, limit);
            let gradients: Vec<_> = buckets.iter().flatten().map(|&id| graph.shape(id)).collect();
            assert_eq!(gradients, parameters);
            let filled: Vec<u64> = buckets.iter().map(|bucket| bucket.iter().map(|&id| bytes(id)).sum()).collect();
            for (number, bucket) in buckets.iter().enumerate() {
                assert!(filled[number] <= limit || bucket.len() == 1, "bucket {number} of {}", filled[number]);
                let next = buckets.get(number + 1).map(|next| bytes(next[0]));
                assert!(next.is_none_or(|next| filled[number] + next > limit), "bucket {number} has room");
            }
        }
    }
}

#[test]
fn the_last_bucket_is_there_first_and_the_first_with_the_end_of_the_backward_pass() {
    let (plan, seeds) = step_of_ditn_w32(1 << 27);
    let step = RankStep::new(&plan, &seeds, &by_cost(&plan, 3.0), 2);
    assert!((step.seconds() - 3.0).abs() < 1e-9, "{step:?}");
    // A convolution has one product of matrices forward and two backward.
    assert!((1.5..2.5).contains(&(step.backward / step.forward)), "{step:?}");
    assert!(step.update > 0.0, "{step:?}");
    let sizes = |bucket: &Vec<ValueId>| -> u64 {
        bucket.iter().map(|&id| 4 * plan.graph.shape(id).elements().next_multiple_of(64) as u64).sum()
    };
    let mut from_the_last: Vec<u64> = gradient_buckets(&plan, BUCKET_BYTES).iter().map(sizes).collect();
    from_the_last.reverse();
    // The running statistics are there before the backward pass, as bytes of a mean and a variance a channel.
    let (statistics, gradients) = step.buckets.split_first().expect("there are buckets");
    assert_eq!(step.ready_share(statistics), 0.0);
    let statistics_of = |value: &&ditn::ir::Value| value.name.contains(".running_");
    let channels = plan.graph.values().iter().filter(statistics_of).map(|value| value.shape.elements());
    let padded: usize = channels.map(|channels| channels.next_multiple_of(64)).sum();
    assert_eq!(statistics.bytes, 4 * padded as u64);
    assert_eq!(gradients.iter().map(|bucket| bucket.bytes).collect::<Vec<_>>(), from_the_last);
    let ready: Vec<f64> = gradients.iter().map(|bucket| step.ready_share(bucket)).collect();
    assert!(ready.is_sorted() && ready[0] < 0.5, "{ready:?}");
    // Behind the gradient of the first weight there is nothing to be computed but the update.
    assert!(ready[ready.len() - 1] > 0.99, "{ready:?}");
}

/// What a step of DITN-W32 dispatches on a CPU or GPU adapter that binds so much, by kernel's name.
fn dispatches_of_ditn_w32(is_cpu: bool, max_binding_bytes: u64) -> HashMap<&'static str, usize> {
    let skeleton = Skeleton::by_name("mpii").expect("a known skeleton");
    let model = ModelConfig::named("ditn-w32", skeleton).expect("a known network");
    let mut config = Config::default();
    (config.train.size, config.train.batch) = ([64, 64].into(), 2);
    let capabilities = Capabilities { is_cpu, max_buffer_bytes: 1 << 31, ..capabilities(max_binding_bytes) };
    let plan = training_plan(&model, &config.step_config(), &capabilities, &Choices::default()).expect("it fits");
    let mut counts = HashMap::new();
    for dispatch in plan.dispatches() {
        *counts.entry(dispatch.dispatch.kernel.name).or_default() += 1;
    }
    counts
}

#[test]
fn a_training_step_updates_all_parameters_in_one_dispatch_a_chunk_and_all_statistics_in_one() {
    for is_cpu in [true, false] {
        // 28.6 million parameters: 109 MiB.
        for (limit, chunks) in [(128 << 20, 1), (64 << 20, 2)] {
            let counts = dispatches_of_ditn_w32(is_cpu, limit);
            let of = |kernel: &str| counts.get(kernel).copied().unwrap_or_default();
            assert_eq!(of("adamw/update_vec4") + of("adamw/update"), chunks, "{limit} bytes a binding");
            assert_eq!(of("batch_norm/running_statistics"), 1);
            // Every gradient is computed where it lies.
            assert_eq!(of("reshape/copy"), 0);
        }
    }
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

#[test]
fn the_buckets_of_the_model_are_those_that_ranks_exchange() {
    let (alone, _) = step_of_ditn_w32(1 << 27);
    let mut config = Config::default();
    config.train.batch = 2;
    let model = ModelConfig::named("ditn-w32", Skeleton::by_name("mpii").expect("it is known")).expect("it is known");
    let StepGraph { step, .. } = StepGraph::new(&model, &config.step_config_of(2), 0).expect("it fits");
    let plan = step.plan(&capabilities(1 << 27), &Choices::default()).expect("it fits");
    let exchanged = buckets(&plan);
    assert!(exchanged.is_sorted_by_key(|&(_, step)| step), "in the order in which they are there");
    let bytes = |id: ValueId| 4 * plan.graph.value(id).words() as u64;
    let of_gradients = |id: &ValueId| plan.graph.value(*id).name.contains("gradient");
    let ids: Vec<ValueId> = exchanged.iter().map(|&(id, _)| id).collect();
    let mut found: Vec<u64> = ids.iter().copied().filter(of_gradients).map(bytes).collect();
    let sizes = |bucket: &Vec<ValueId>| -> u64 {
        bucket.iter().map(|&id| 4 * alone.graph.shape(id).elements().next_multiple_of(64) as u64).sum()
    };
    found.reverse();
    assert_eq!(found, gradient_buckets(&alone, BUCKET_BYTES).iter().map(sizes).collect::<Vec<_>>());
    // Means and variances come before the backward pass.
    assert!(!of_gradients(&ids[0]) && !of_gradients(&ids[1]) && ids[2..].iter().all(of_gradients), "{ids:?}");
    let update = step.update_plan(&capabilities(1 << 27), &Choices::default()).expect("it fits").expect("it has one");
    assert!(update.overwrites() && update.slot_bytes() == 0, "the update needs no memory of its own");
}
