//! Flat values: that they change no bit, in one chunk or several, and what cannot lie in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ditn::gpu::Gpu;
use ditn::graph::{Plan, PlanError, Session, SessionError, Store, flatten, store_activations_as_f16};
use ditn::ir::{Capabilities, Graph, Role, ShapeError, ValueId};
use ditn::nn::{BatchNormLayer, Conv2dLayer, Gradients, LOSS_SCALE, LinearLayer, Mode, Network, Optimizer};
use ditn::ops::Fill;
use ditn::ops::adam::{Adam, AdamSettings};
use ditn::ops::adamw::{AdamW, AdamWSettings};
use ditn::ops::add::Add;
use ditn::ops::relu::Relu;
use ditn::ops::reshape::Reshape;
use ditn::ops::rmsprop::RmsPropSettings;
use ditn::ops::sgd::{Sgd, SgdSettings};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::harness::gpus;

const BATCH: usize = 4;

/// A training step before it is planned.
#[derive(Clone)]
struct Step {
    graph: Graph,
    outputs: Vec<ValueId>,
    /// Each input with its words.
    inputs: Vec<(ValueId, Vec<u32>)>,
}

fn words(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

fn optimizers() -> [Optimizer; 4] {
    [
        AdamWSettings::default().into(),
        AdamSettings { weight_decay: 1e-2, ..AdamSettings::default() }.into(),
        RmsPropSettings { weight_decay: 1e-2, ..RmsPropSettings::default() }.into(),
        SgdSettings { momentum: 0.9, weight_decay: 1e-2 }.into(),
    ]
}

/// Convolutions, normalisations and a linear layer of sizes that are no multiples of anything.
fn logits(net: &mut Network, x: ValueId) -> Result<ValueId, ShapeError> {
    let y = net.conv2d("conv", x, Conv2dLayer::new(7, 3).bias())?;
    let y = net.batch_norm("bn", y, BatchNormLayer::new())?;
    let y = net.relu(y)?;
    let y = net.conv2d("wide", y, Conv2dLayer::new(70, 3).stride(2))?;
    let y = net.batch_norm("wide_bn", y, BatchNormLayer::new())?;
    let y = net.relu(y)?;
    let y = net.flatten(y)?;
    net.linear("linear", y, LinearLayer::new(5))
}

/// The step of that network, with the gradients of all parameters among the outputs.
fn step(optimizer: Optimizer, is_scaled: bool) -> Step {
    let mut net = Network::new(Mode::Training);
    let (x, labels) = (net.input("x", [BATCH, 3, 8, 8]), net.input("labels", [BATCH]));
    let logits = logits(&mut net, x).expect("the shapes fit");
    let loss = net.softmax_cross_entropy(logits, labels).expect("the shapes fit");
    let mut graph = net.graph;
    let scale = is_scaled.then(|| graph.state(LOSS_SCALE, [3]));
    let Gradients { pairs, seeds } =
        Gradients::append(&mut graph, &[(loss, 1.0)], &[], scale, None).expect("every operator has a gradient");
    let hyper = optimizer.append(&mut graph, &pairs, scale).expect("the shapes fit");
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut inputs = vec![
        (x, words(&Fill::Uniform(-1.0, 1.0).draw(BATCH * 3 * 64, &mut random))),
        (labels, vec![0, 1, 2, 4]),
        (hyper, words(&optimizer.hyper(1, 0.01))),
    ];
    inputs.extend(seeds.into_iter().map(|(seed, weight)| (seed, words(&[weight]))));
    let outputs = [loss].into_iter().chain(pairs.into_iter().map(|(_, gradient)| gradient)).collect();
    Step { graph, outputs, inputs }
}

/// Everything that the store and the outputs hold after some runs from random parameters, bit by bit.
fn run(gpu: &Arc<Gpu>, Step { graph, outputs, inputs }: Step, runs: usize, scale: f32) -> BTreeMap<String, Vec<u32>> {
    let plan = Plan::new(graph, &outputs, gpu.capabilities()).unwrap_or_else(|error| panic!("{error}"));
    let mut store = Store::new(gpu);
    let session = Session::guarded(gpu, plan, &mut store).unwrap_or_else(|error| panic!("{error}"));
    session.poison().expect("a device");
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let names: Vec<(String, usize)> =
        store.shapes().map(|(name, shape)| (name.to_string(), shape.elements())).collect();
    for (name, elements) in names.iter().filter(|(name, _)| !name.starts_with("optimizer.")) {
        store.write(name, &Fill::Uniform(-0.5, 0.5).draw(*elements, &mut random)).expect("it fits");
    }
    if names.iter().any(|(name, _)| name == LOSS_SCALE) {
        store.write(LOSS_SCALE, &[scale, 0.0, 0.0]).expect("it fits");
    }
    for (input, words) in inputs {
        session.write(input, &words).expect("it fits");
    }
    for _ in 0..runs {
        session.run().expect("a device");
    }
    session.check_guards().expect("guards as they were");
    let kept = store.read_all().expect("a device").into_iter().map(|(name, tensor)| (name, words(&tensor.data)));
    let outputs = outputs
        .iter()
        .enumerate()
        .map(|(number, &output)| (format!("output {number}"), words(&session.read(output).expect("it is an output"))));
    kept.chain(outputs).collect()
}

fn flat(mut step: Step, capabilities: &Capabilities) -> Step {
    flatten(&mut step.graph, capabilities).expect("the nodes were accepted");
    step
}

/// The adapter with room for so many bytes in a binding.
fn limited(gpu: &Gpu, max_binding_bytes: u64) -> Capabilities {
    Capabilities { max_binding_bytes, ..gpu.capabilities().clone() }
}

/// How many nodes of this operator a graph has.
fn count(graph: &Graph, operator: &str) -> usize {
    graph.nodes().iter().filter(|node| node.operator.name() == operator).count()
}

#[test]
fn one_update_of_all_is_that_of_each_to_the_bit_in_any_number_of_chunks() {
    for gpu in gpus() {
        for optimizer in optimizers() {
            let step = step(optimizer, false);
            let each = run(gpu, step.clone(), 3, 1.0);
            // The weight of the linear layer, the largest tensor, has 22,400 bytes.
            for (limit, chunks) in [(1 << 20, 1), (24_000, 2)] {
                let flat = flat(step.clone(), &limited(gpu, limit));
                let updates = ["adamw", "adam", "rmsprop", "sgd"].map(|name| count(&flat.graph, name));
                assert_eq!(updates.iter().sum::<usize>(), chunks, "{optimizer:?}, {limit} bytes");
                assert_eq!(count(&flat.graph, "batch_norm_running_statistics"), 0);
                assert_eq!(count(&flat.graph, "batch_norm_flat_running_statistics"), 1);
                assert_eq!(run(gpu, flat, 3, 1.0), each, "{optimizer:?}, {limit} bytes");
            }
        }
    }
}

#[test]
fn an_overflow_of_any_gradient_skips_the_update_of_all_to_the_bit() {
    for gpu in gpus() {
        for (optimizer, scale) in optimizers().into_iter().flat_map(|it| [(it, 1024.0), (it, 3e38)]) {
            let mut step = step(optimizer, true);
            store_activations_as_f16(&mut step.graph, &step.outputs, gpu.capabilities());
            let each = run(gpu, step.clone(), 3, scale);
            let skipped = f32::from_bits(each[LOSS_SCALE][2]);
            assert_eq!(skipped > 0.0, scale > 1e38, "{optimizer:?}: {skipped} steps skipped");
            for limit in [1 << 20, 24_000] {
                let flat = flat(step.clone(), &limited(gpu, limit));
                assert_eq!(run(gpu, flat, 3, scale), each, "{optimizer:?}, {limit} bytes, scale {scale}");
            }
        }
    }
}

#[test]
fn updates_of_different_optimizers_stay_apart() {
    for gpu in gpus() {
        let mut graph = Graph::new();
        let (x, hyper) = (graph.input("x", [5]), graph.input("hyper", [8]));
        for name in ["a", "b", "c", "d"] {
            let parameter = graph.parameter(name, [5]);
            let [m, v] = ["m", "v"].map(|kind| graph.state(&format!("optimizer.{kind}.{name}"), [5]));
            let inputs = [parameter, x, m, v, hyper];
            if name < "c" { graph.apply(AdamW, &inputs) } else { graph.apply(Adam, &inputs) }.expect("they match");
        }
        let numbers = AdamSettings { weight_decay: 1e-2, ..AdamSettings::default() }.hyper(1, 0.1);
        let inputs = vec![(x, words(&[0.5, -1.0, 2.0, -3.0, 0.25])), (hyper, words(&numbers))];
        let step = Step { graph, outputs: Vec::new(), inputs };
        let flat = flat(step.clone(), gpu.capabilities());
        assert_eq!((count(&flat.graph, "adamw"), count(&flat.graph, "adam")), (1, 1));
        assert_eq!(run(gpu, flat, 2, 1.0), run(gpu, step, 2, 1.0));
    }
}

/// A graph whose parameters `a`, `b`, ..., each `[5]`, follow what `gradients` computes from an input and the parameters.
fn updates<const N: usize>(gradients: impl Fn(&mut Graph, ValueId, [ValueId; N]) -> [ValueId; N]) -> Step {
    let mut graph = Graph::new();
    let x = graph.input("x", [5]);
    let hyper = graph.input("hyper", [8]);
    let parameters: [ValueId; N] = std::array::from_fn(|number| graph.parameter(["a", "b", "c"][number], [5]));
    let found = gradients(&mut graph, x, parameters);
    for (parameter, gradient) in parameters.into_iter().zip(found) {
        let momentum = graph.state(&format!("optimizer.momentum.{}", graph.value(parameter).name), [5]);
        graph.apply(Sgd, &[parameter, gradient, momentum, hyper]).expect("the shapes are equal");
    }
    let inputs = vec![(x, words(&[0.5, -1.0, 2.0, -3.0, 0.25])), (hyper, words(&SgdSettings::default().hyper(0.1)))];
    Step { graph, outputs: Vec::new(), inputs }
}

/// Whatever the gradients are, one node updates all parameters, to the bit as one each would.
fn flatten_to_one<const N: usize>(gradients: impl Fn(&mut Graph, ValueId, [ValueId; N]) -> [ValueId; N]) {
    let step = updates(gradients);
    for gpu in gpus() {
        let flat = flat(step.clone(), gpu.capabilities());
        assert_eq!(count(&flat.graph, "sgd"), 1);
        assert_eq!(run(gpu, flat, 2, 1.0), run(gpu, step.clone(), 2, 1.0));
    }
}

fn relu(graph: &mut Graph, x: ValueId) -> ValueId {
    graph.apply_one(Relu, &[x]).expect("relu takes any shape")
}

fn add(graph: &mut Graph, a: ValueId, b: ValueId) -> ValueId {
    graph.apply_one(Add, &[a, b]).expect("the shapes are equal")
}

#[test]
fn an_input_is_the_gradient_of_a_parameter() {
    flatten_to_one(|graph, x, [_, _]| [x, relu(graph, x)]);
}

#[test]
fn one_value_is_the_gradient_of_two_parameters() {
    flatten_to_one(|graph, x, [_, _]| [relu(graph, x); 2]);
    flatten_to_one(|_, x, [_, _]| [x; 2]);
}

#[test]
fn a_parameter_is_the_gradient_of_another() {
    // An update runs after whatever else reads what it overwrites.
    flatten_to_one(|graph, x, [_, b]| [b, relu(graph, x)]);
}

#[test]
fn a_gradient_is_a_view() {
    flatten_to_one(|graph, x, [_, _]| {
        let wide = graph.apply_one(Reshape { extents: vec![1, 5] }, &[x]).expect("as many elements");
        let wide = relu(graph, wide);
        [graph.apply_one(Reshape { extents: vec![5] }, &[wide]).expect("as many elements"), relu(graph, x)]
    });
}

#[test]
fn a_gradient_is_computed_from_those_of_others() {
    flatten_to_one(|graph, x, [a, _, _]| {
        let of_a = add(graph, x, a);
        let of_b = relu(graph, of_a);
        [of_a, of_b, add(graph, of_a, of_b)]
    });
}

#[test]
fn a_view_of_a_parameter_is_left_out_where_all_are_overwritten() {
    flatten_to_one(|graph, x, [a, _]| {
        let view = graph.apply_one(Reshape { extents: vec![5] }, &[a]).expect("as many elements");
        [add(graph, view, x), relu(graph, view)]
    });
}

#[test]
fn what_two_nodes_overwrite_stays_as_it_is() {
    let mut step = updates(|graph, x, [_, _]| [relu(graph, x), add(graph, x, x)]);
    let (a, x, hyper) = (step.graph.parameters()[0], step.inputs[0].0, step.inputs[1].0);
    let other = step.graph.state("optimizer.momentum.again", [5]);
    step.graph.apply(Sgd, &[a, x, other, hyper]).expect("the shapes are equal");
    for gpu in gpus() {
        let flat = flat(step.clone(), gpu.capabilities());
        assert_eq!(count(&flat.graph, "sgd"), 3);
        assert_eq!(run(gpu, flat, 2, 1.0), run(gpu, step.clone(), 2, 1.0));
    }
}

#[test]
fn a_plan_refuses_a_kernel_that_reads_and_writes_a_flat_value() {
    let mut graph = Graph::new();
    let x = graph.input("x", [5]);
    let once = relu(&mut graph, x);
    let twice = relu(&mut graph, once);
    assert!(graph.lay_flat("twice", &[once, once]).is_err());
    graph.lay_flat("both", &[once, twice]).expect("both are computed");
    assert!(graph.lay_flat("again", &[once]).is_err() && graph.lay_flat("input", &[x]).is_err());
    let error = Plan::new(graph, &[twice], gpus()[0].capabilities()).expect_err("it reads what it writes");
    assert!(matches!(&error, PlanError::ReadsAndWrites { flat, .. } if flat == "both"), "{error}");
}

/// A plan that updates `a` and `b`, and one that adds them.
fn update_and_sum(gpu: &Gpu) -> [Plan; 2] {
    let step = flat(updates(|graph, x, [_, _]| [relu(graph, x), add(graph, x, x)]), gpu.capabilities());
    let mut graph = Graph::new();
    let (a, b) = (graph.parameter("a", [5]), graph.parameter("b", [5]));
    let sum = add(&mut graph, a, b);
    [(step.graph, vec![]), (graph, vec![sum])]
        .map(|(graph, outputs)| Plan::new(graph, &outputs, gpu.capabilities()).expect("it fits"))
}

#[test]
fn a_store_that_other_sessions_have_used_is_laid_out_anew_or_refused() {
    for gpu in gpus() {
        let mut store = Store::new(gpu);
        let [update, sum] = update_and_sum(gpu);
        let session = Session::new(gpu, sum, &mut store).expect("a new store");
        for (name, number) in [("a", 1.0), ("b", 2.0)] {
            store.write(name, &[number; 5]).expect("it fits");
        }
        let refused = Session::new(gpu, update, &mut store).err().expect("a session uses the tensors");
        assert!(matches!(&refused, SessionError::InUse(name) if name == "a"), "{refused}");
        drop(session);

        let [update, sum] = update_and_sum(gpu);
        let inputs: Vec<ValueId> =
            update.graph.value_ids().filter(|(_, it)| it.role == Role::Input).map(|it| it.0).collect();
        let update = Session::new(gpu, update, &mut store).expect("nobody uses the tensors");
        assert_eq!(store.read("b").expect("a device").data, [2.0; 5]);
        let output = sum.outputs[0];
        let sum = Session::new(gpu, sum, &mut store).expect("it takes them where they are");
        let [again, _] = update_and_sum(gpu);
        Session::new(gpu, again, &mut store).expect("a plan of the same layout shares it");
        update.write(inputs[0], &[1.0_f32; 5]).expect("it fits");
        update.write(inputs[1], &SgdSettings::default().hyper(0.5)).expect("it fits");
        update.run().expect("a device");
        sum.run().expect("a device");
        // 1 - 0.5 and 2 - 0.5 (1 + 1).
        assert_eq!(sum.read(output).expect("an output"), [1.5; 5]);
    }
}

#[test]
fn a_store_of_a_whole_network_trains_a_part_of_it_where_the_rest_stays() {
    for gpu in gpus() {
        let mut store = Store::new(gpu);
        let all = flat(updates(|graph, x, [_, _, _]| [relu(graph, x), x, x]), gpu.capabilities());
        Session::new(gpu, Plan::new(all.graph, &[], gpu.capabilities()).expect("it fits"), &mut store)
            .expect("it fits");
        for (name, number) in [("a", 1.0), ("b", 2.0), ("c", 3.0)] {
            store.write(name, &[number; 5]).expect("it fits");
        }
        // The gradients of a and b are c, which stays where it is.
        let step = updates(|graph, _, [_, _]| [graph.parameter("c", [5]); 2]);
        let Step { graph, inputs, .. } = flat(step, gpu.capabilities());
        let plan = Plan::new(graph, &[], gpu.capabilities()).expect("it fits");
        let session = Session::new(gpu, plan, &mut store).expect("nobody uses the tensors");
        for (input, words) in inputs {
            session.write(input, &words).expect("it fits");
        }
        session.run().expect("a device");
        for (name, number) in [("a", 1.0 - 0.1 * 3.0), ("b", 2.0 - 0.1 * 3.0), ("c", 3.0_f32)] {
            let found = store.read(name).expect("a device").data;
            assert!(found.iter().all(|found| (found - number).abs() < 1e-6), "{name}: {found:?}");
        }
    }
}

#[test]
fn a_session_refuses_to_overwrite_one_tensor_and_read_another_of_one_buffer() {
    for gpu in gpus() {
        let mut store = Store::new(gpu);
        let [update, _] = update_and_sum(gpu);
        let _training = Session::new(gpu, update, &mut store).expect("a new store");
        let mut graph = Graph::new();
        let (a, b) = (graph.parameter("a", [5]), graph.parameter("b", [5]));
        let [m, v] = ["m", "v"].map(|name| graph.state(name, [5]));
        let hyper = graph.input("hyper", [8]);
        graph.apply(AdamW, &[a, b, m, v, hyper]).expect("the shapes are equal");
        let plan = Plan::new(graph, &[], gpu.capabilities()).expect("it fits");
        let refused = Session::new(gpu, plan, &mut store).err().expect("a and b lie in one buffer");
        assert!(matches!(refused, SessionError::ReadsAndWrites(_)), "{refused}");
    }
}
