//! Fusion: that it happens, and that it changes nothing.

use ditn::gpu::Gpu;
use ditn::graph::{Plan, Session, Store, differentiate, fuse, fuse_backward, synchronise};
use ditn::ir::{Graph, ValueId};
use ditn::ops::Epilogue;
use ditn::ops::Fill;
use ditn::ops::add::Add;
use ditn::ops::batch_norm::{BatchNorm, BatchNormInference, RunningStatistics};
use ditn::ops::conv2d::Conv2d;
use ditn::ops::relu::Relu;
use ditn::ops::upsample::Upsample;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

use crate::harness::gpus;

/// relu(batch_norm(x) + skip), then relu(that + upsample(low)): what HRNet's modules do.
struct Pattern {
    graph: Graph,
    inputs: Vec<ValueId>,
    output: ValueId,
}

fn pattern() -> Pattern {
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 3, 8, 8]);
    let gamma = graph.input("gamma", [3]);
    let beta = graph.input("beta", [3]);
    let skip = graph.input("skip", [2, 3, 8, 8]);
    let low = graph.input("low", [2, 3, 4, 4]);
    let apply = |result: Result<ValueId, ditn::ir::ShapeError>| result.unwrap_or_else(|error| panic!("{error}"));
    let y = apply(graph.apply_one(BatchNorm { eps: 1e-5, epilogue: Epilogue::NONE }, &[x, gamma, beta]));
    let y = apply(graph.apply_one(Add, &[y, skip]));
    let y = apply(graph.apply_one(Relu, &[y]));
    let up = apply(graph.apply_one(Upsample { factor: 2 }, &[low]));
    let y = apply(graph.apply_one(Add, &[y, up]));
    let output = apply(graph.apply_one(Relu, &[y]));
    Pattern { graph, inputs: vec![x, gamma, beta, skip, low], output }
}

/// The output and the gradients of all inputs.
fn run(gpu: &Arc<Gpu>, pattern: Pattern) -> Vec<Vec<f32>> {
    run_with(gpu, pattern, 0)
}

/// The same with the variants of this number, or the last ones.
fn run_with(gpu: &Arc<Gpu>, mut pattern: Pattern, variant: usize) -> Vec<Vec<f32>> {
    let seed = pattern.graph.input("seed", pattern.graph.shape(pattern.output).clone());
    let gradients = differentiate(&mut pattern.graph, &[(pattern.output, seed)], &pattern.inputs)
        .unwrap_or_else(|error| panic!("{error}"));
    let mut outputs = vec![pattern.output];
    outputs.extend(gradients.into_iter().flatten());
    let plan = Plan::with_variants(pattern.graph, &outputs, gpu.capabilities(), |_, _, mut variants| {
        variants.swap_remove(variant.min(variants.len() - 1))
    });
    let plan = plan.unwrap_or_else(|error| panic!("{error}"));
    let session = Session::guarded(gpu, plan, &mut Store::new(gpu)).unwrap_or_else(|error| panic!("{error}"));
    session.poison().unwrap_or_else(|error| panic!("{error}"));
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for &input in pattern.inputs.iter().chain([&seed]) {
        let elements = session.plan().graph.shape(input).elements();
        let words = Fill::Uniform(-1.0, 1.0).draw(elements, &mut random);
        session.write(input, &words).unwrap_or_else(|error| panic!("{error}"));
    }
    session.run().unwrap_or_else(|error| panic!("{error}"));
    session.check_guards().unwrap_or_else(|error| panic!("{error}"));
    outputs.iter().map(|&output| session.read(output).unwrap_or_else(|error| panic!("{error}"))).collect()
}

#[test]
fn batch_norm_takes_in_the_addition_and_relu_behind_it_and_up_sampling_likewise() {
    let Pattern { mut graph, output, .. } = pattern();
    fuse(&mut graph, &[output]);
    let names: Vec<_> = graph.nodes().iter().map(|node| node.operator.name()).collect();
    assert_eq!(names, ["batch_norm", "upsample_add"]);
}

#[test]
fn a_value_that_is_kept_or_read_twice_is_not_fused_away() {
    let Pattern { mut graph, output, .. } = pattern();
    let sum = graph.nodes()[1].outputs[0];
    fuse(&mut graph, &[output, sum]);
    let names: Vec<_> = graph.nodes().iter().map(|node| node.operator.name()).collect();
    assert_eq!(names, ["batch_norm", "relu", "upsample_add"]);
}

#[test]
fn the_fused_graph_gives_the_values_and_gradients_of_the_plain_one() {
    for gpu in gpus() {
        let mut fused = pattern();
        fuse(&mut fused.graph, &[fused.output]);
        let (fused, plain) = (run(gpu, fused), run(gpu, pattern()));
        assert_eq!(fused.len(), 6);
        for (number, (fused, plain)) in fused.iter().zip(&plain).enumerate() {
            for (a, b) in fused.iter().zip(plain) {
                assert!((a - b).abs() <= 2e-6 * (1.0 + b.abs()), "value {number}: {a} fused, {b} plain");
            }
        }
    }
}

/// relu(batch_norm(conv(x)) + x) with the batch's statistics: the pattern, and the mean and variance that it computes.
fn training() -> (Pattern, [ValueId; 2]) {
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 8, 12, 8]);
    let weight = graph.input("weight", [8, 8, 3, 3]);
    let [gamma, beta] = ["gamma", "beta"].map(|name| graph.input(name, [8]));
    let running = ["mean", "variance"].map(|name| graph.state(name, [8]));
    let conv = Conv2d { stride: [1; 2], padding: [1; 2], groups: 1, bias: false, epilogue: Epilogue::NONE };
    let y = graph.apply_one(conv, &[x, weight]).expect("the shapes fit");
    let norm = BatchNorm { eps: 1e-5, epilogue: Epilogue::NONE };
    let [y, mean, variance] = graph.apply(norm, &[y, gamma, beta]).expect("the shapes fit")[..] else {
        panic!("three outputs")
    };
    let update = RunningStatistics { momentum: 0.1, count: 192, batches: 1 };
    graph.apply(update, &[running[0], running[1], mean, variance]).expect("the shapes fit");
    let y = graph.apply_one(Add, &[y, x]).expect("the shapes are equal");
    let output = graph.apply_one(Relu, &[y]).expect("relu takes any shape");
    (Pattern { graph, inputs: vec![x, weight, gamma, beta], output }, [mean, variance])
}

#[test]
fn a_convolution_computes_the_statistics_of_the_batch_norm_behind_it() {
    let (Pattern { mut graph, output, .. }, statistics) = training();
    fuse(&mut graph, &[output]);
    let names: Vec<_> = graph.nodes().iter().map(|node| node.operator.name()).collect();
    assert_eq!(names, ["conv2d_with_statistics", "batch_norm_running_statistics", "batch_norm_with_statistics"]);
    let attributes = graph.nodes()[2].operator.attributes();
    assert!(attributes.ends_with(" residual relu"), "{attributes}");
    assert_eq!(graph.nodes()[0].outputs[1..], statistics);

    let (Pattern { mut graph, output, .. }, _) = training();
    let kept = graph.nodes()[0].outputs[0];
    fuse(&mut graph, &[output, kept]);
    let names: Vec<_> = graph.nodes().iter().map(|node| node.operator.name()).collect();
    assert_eq!(names, ["conv2d", "batch_norm", "batch_norm_running_statistics"]);
}

/// That the training pattern gives the values and gradients of the plain graph when `rewrite` has changed it, by every variant of
/// the kernels on every adapter.
fn agrees_with_the_plain_graph(rewrite: impl Fn(&mut Pattern)) {
    for gpu in gpus() {
        let (plain, _) = training();
        let expected = run(gpu, plain);
        for variant in 0..8 {
            let (mut rewritten, _) = training();
            rewrite(&mut rewritten);
            let found = run_with(gpu, rewritten, variant);
            assert_eq!(found.len(), 5);
            for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
                // Each may err by 2e-6 of the largest.
                let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                for (a, b) in found.iter().zip(expected) {
                    assert!((a - b).abs() <= 4e-6 * largest, "value {number}: {a} rewritten, {b} plain");
                }
            }
        }
    }
}

#[test]
fn statistics_from_the_convolution_give_the_values_and_gradients_of_the_plain_graph() {
    agrees_with_the_plain_graph(|pattern| fuse(&mut pattern.graph, &[pattern.output]));
}

#[test]
fn statistics_of_all_ranks_give_those_of_the_plain_graph_where_there_is_one() {
    let synchronised = |pattern: &mut Pattern| synchronise(&mut pattern.graph, 1).expect("the nodes were accepted");
    agrees_with_the_plain_graph(synchronised);
    agrees_with_the_plain_graph(|pattern| {
        fuse(&mut pattern.graph, &[pattern.output]);
        synchronised(pattern);
    });
}

fn inference() -> (Graph, ValueId, ValueId) {
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 4, 8, 8]);
    let weight = graph.parameter("weight", [4, 4, 3, 3]);
    let vectors = ["gamma", "beta", "mean", "variance"].map(|name| graph.parameter(name, [4]));
    let apply = |result: Result<ValueId, ditn::ir::ShapeError>| result.unwrap_or_else(|error| panic!("{error}"));
    let conv = Conv2d { stride: [1; 2], padding: [1; 2], groups: 1, bias: false, epilogue: Epilogue::NONE };
    let y = apply(graph.apply_one(conv, &[x, weight]));
    let inputs = [&[y], &vectors[..]].concat();
    let y = apply(graph.apply_one(BatchNormInference { eps: 1e-5, epilogue: Epilogue::NONE }, &inputs));
    let y = apply(graph.apply_one(Add, &[y, x]));
    let output = apply(graph.apply_one(Relu, &[y]));
    (graph, x, output)
}

#[test]
fn batch_norm_of_an_inference_goes_into_the_convolution_before_it() {
    let (mut graph, _, output) = inference();
    fuse(&mut graph, &[output]);
    let names: Vec<_> = graph.nodes().iter().map(|node| node.operator.name()).collect();
    assert_eq!(names, ["batch_norm_fold", "conv2d"]);
    let attributes = graph.nodes()[1].operator.attributes();
    assert!(attributes.ends_with(" relu"), "{attributes}");

    let (mut graph, _, output) = inference();
    let kept = graph.nodes()[0].outputs[0];
    fuse(&mut graph, &[output, kept]);
    let names: Vec<_> = graph.nodes().iter().map(|node| node.operator.name()).collect();
    assert_eq!(names, ["conv2d", "batch_norm_inference"], "a convolution whose own result is kept is not folded");
}

#[test]
fn what_depends_on_parameters_alone_is_computed_once_and_again_when_they_change() {
    for gpu in gpus() {
        let (mut graph, x, output) = inference();
        let (plain, _, _) = inference();
        fuse(&mut graph, &[output]);
        for variant in 0..4 {
            let plan = |graph: Graph| {
                Plan::with_variants(graph, &[output], gpu.capabilities(), |_, _, mut variants| {
                    variants.swap_remove(variant.min(variants.len() - 1))
                })
                .unwrap_or_else(|error| panic!("{error}"))
            };
            let mut store = Store::new(gpu);
            let sessions = [graph.clone(), plain.clone()]
                .map(|graph| Session::guarded(gpu, plan(graph), &mut store).unwrap_or_else(|error| panic!("{error}")));
            let folded = &sessions[0].plan().steps[0];
            assert_eq!(folded.once, folded.variant.dispatches.len());
            assert!(sessions[1].plan().steps.iter().all(|step| step.once < step.variant.dispatches.len()));
            let mut random = ChaCha8Rng::seed_from_u64(variant as u64);
            for round in 0..3 {
                let words = Fill::Uniform(-1.0, 1.0).draw(512, &mut random);
                // In the second round the parameters stay.
                for (name, elements) in [("weight", 144), ("gamma", 4), ("beta", 4), ("mean", 4), ("variance", 4)] {
                    let fill = if name == "variance" { Fill::Uniform(0.5, 1.5) } else { Fill::Uniform(-1.0, 1.0) };
                    let values = fill.draw(elements, &mut random);
                    if round != 1 {
                        store.write(name, &values).unwrap_or_else(|error| panic!("{error}"));
                    }
                }
                let [fused, plain] = [0, 1].map(|number: usize| {
                    let session = &sessions[number];
                    session.write(x, &words).unwrap_or_else(|error| panic!("{error}"));
                    session.run().unwrap_or_else(|error| panic!("{error}"));
                    session.check_guards().unwrap_or_else(|error| panic!("{error}"));
                    session.read(output).unwrap_or_else(|error| panic!("{error}"))
                });
                // Each may err by 2e-6 of the largest.
                let largest = plain.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                for (a, b) in fused.iter().zip(&plain) {
                    assert!((a - b).abs() <= 4e-6 * largest, "round {round}: {a} fused, {b} plain");
                }
            }
        }
    }
}

/// The gradient for x of <seed, conv(x) + conv'(x) + x>, where both convolutions are 3x3 and conv' may have a stride.
fn branches(stride: usize, kept: bool) -> (Graph, Vec<ValueId>, Vec<ValueId>, usize) {
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 8, 12, 8]);
    let weights = ["a", "b"].map(|name| graph.input(name, [8, 8, 3, 3]));
    let conv =
        |stride| Conv2d { stride: [stride; 2], padding: [1; 2], groups: 1, bias: false, epilogue: Epilogue::NONE };
    let from = graph.apply_one(Relu, &[x]).expect("relu takes any shape");
    let y = graph.apply_one(conv(1), &[from, weights[0]]).expect("the shapes fit");
    let y = graph.apply_one(Add, &[y, from]).expect("the shapes are equal");
    let z = graph.apply_one(conv(stride), &[from, weights[1]]).expect("the shapes fit");
    let seeds = [y, z].map(|output| {
        let shape = graph.shape(output).clone();
        (output, graph.input("seed", shape))
    });
    let forward = graph.nodes().len();
    let gradients = differentiate(&mut graph, &seeds, &[x, weights[0]]).expect("every operator has a gradient");
    let mut outputs: Vec<ValueId> = gradients.into_iter().flatten().collect();
    if kept {
        let parts = graph.nodes()[forward..].iter().filter(|node| node.operator.name() == "conv2d_backward_input");
        outputs.extend(parts.map(|node| node.outputs[0]));
    }
    let inputs = [x, weights[0], weights[1], seeds[0].1, seeds[1].1].to_vec();
    (graph, inputs, outputs, forward)
}

#[test]
fn the_gradient_of_a_convolution_takes_in_what_it_is_added_to() {
    let names = |graph: &Graph| -> Vec<String> {
        let describe = |node: &ditn::ir::Node| format!("{} {}", node.operator.name(), node.operator.attributes());
        graph.nodes().iter().map(describe).collect()
    };
    let (mut graph, _, outputs, forward) = branches(1, false);
    let before = names(&graph);
    fuse_backward(&mut graph, forward, &outputs);
    let after = names(&graph);
    assert_eq!(before[..forward], after[..forward], "the forward pass stays");
    let additions = |names: &[String]| names.iter().filter(|name| name.starts_with("add ")).count();
    let residuals = |names: &[String]| names.iter().filter(|name| name.ends_with("size=12x8 residual")).count();
    assert_eq!([additions(&before[forward..]), residuals(&before)], [2, 0], "{before:?}");
    assert_eq!([additions(&after[forward..]), residuals(&after)], [0, 2], "{after:?}");

    let (mut graph, _, outputs, forward) = branches(1, true);
    fuse_backward(&mut graph, forward, &outputs);
    assert_eq!(residuals(&names(&graph)), 0, "what is kept stays");
}

#[test]
fn gradients_added_in_convolutions_have_the_bits_of_gradients_added_behind_them() {
    for gpu in gpus() {
        for (stride, variant) in [1, 2].into_iter().flat_map(|stride| (0..6).map(move |variant| (stride, variant))) {
            let [plain, fused] = [false, true].map(|is_fused| {
                let (mut graph, inputs, outputs, forward) = branches(stride, false);
                if is_fused {
                    fuse_backward(&mut graph, forward, &outputs);
                }
                let plan = Plan::with_variants(graph, &outputs, gpu.capabilities(), |_, _, mut variants| {
                    variants.swap_remove(variant.min(variants.len() - 1))
                });
                let plan = plan.expect("it fits");
                let session = Session::guarded(gpu, plan, &mut Store::new(gpu)).expect("it fits");
                session.poison().expect("a device");
                let mut random = ChaCha8Rng::seed_from_u64(11);
                for input in inputs {
                    let elements = session.plan().graph.shape(input).elements();
                    session.write(input, &Fill::Uniform(-1.0, 1.0).draw(elements, &mut random)).expect("it fits");
                }
                session.run().expect("a device");
                session.check_guards().expect("guards as they were");
                let values = outputs.iter().flat_map(|&output| session.read(output).expect("an output"));
                values.map(f32::to_bits).collect::<Vec<_>>()
            });
            assert!(plain == fused, "{}, stride {stride}, variant {variant}", gpu.report().name);
        }
    }
}
