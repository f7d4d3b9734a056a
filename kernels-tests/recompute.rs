//! Recomputation: that it saves memory, and that it changes no bit.

use std::sync::Arc;

use ditn::gpu::Gpu;
use ditn::graph::{Plan, Session, Store, differentiate, fuse, recompute};
use ditn::ir::{Graph, ValueId};
use ditn::ops::Epilogue;
use ditn::ops::Fill;
use ditn::ops::batch_norm::BatchNorm;
use ditn::ops::conv2d::Conv2d;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::harness::gpus;

/// A row of residual blocks with its gradients for the weights.
struct Blocks {
    graph: Graph,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
}

/// Fused, the convolutions compute the statistics.
fn blocks(is_fused: bool, is_recomputed: bool) -> Blocks {
    let mut graph = Graph::new();
    let mut y = graph.input("x", [2, 4, 16, 16]);
    let mut inputs = vec![y];
    let mut weights = Vec::new();
    for block in 0..4 {
        let skip = y;
        for (number, residual) in [(1, false), (2, true)] {
            let weight = graph.input(&format!("{block}.conv{number}"), [4, 4, 3, 3]);
            let [gamma, beta] = ["gamma", "beta"].map(|name| graph.input(&format!("{block}.bn{number}.{name}"), [4]));
            let conv = Conv2d { stride: [1; 2], padding: [1; 2], groups: 1, bias: false, epilogue: Epilogue::NONE };
            y = graph.apply_one(conv, &[y, weight]).expect("the shapes fit");
            let norm = BatchNorm { eps: 1e-5, epilogue: Epilogue { residual, relu: true } };
            let from = [y, gamma, beta, skip];
            y = graph.apply(norm, &from[..if residual { 4 } else { 3 }]).expect("the shapes fit")[0];
            inputs.extend([weight, gamma, beta]);
            weights.extend([weight, gamma, beta]);
        }
    }
    let seed = graph.input("seed", graph.shape(y).clone());
    inputs.push(seed);
    if is_fused {
        fuse(&mut graph, &[y]);
    }
    let forward = graph.nodes().len();
    let gradients = differentiate(&mut graph, &[(y, seed)], &weights).expect("every operator has a gradient");
    if is_recomputed {
        recompute(&mut graph, forward).expect("the shapes fit");
    }
    let outputs = [y].into_iter().chain(gradients.into_iter().flatten()).collect();
    Blocks { graph, inputs, outputs }
}

fn run(gpu: &Arc<Gpu>, Blocks { graph, inputs, outputs }: Blocks) -> Vec<Vec<u32>> {
    let plan = Plan::new(graph, &outputs, gpu.capabilities()).expect("it fits");
    let session = Session::guarded(gpu, plan, &mut Store::new(gpu)).expect("it fits");
    session.poison().expect("a device");
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for input in inputs {
        let elements = session.plan().graph.shape(input).elements();
        session.write(input, &Fill::Uniform(-1.0, 1.0).draw(elements, &mut random)).expect("it fits");
    }
    session.run().expect("a device");
    session.check_guards().expect("guards as they were");
    let bits = |output| session.read(output).expect("an output").iter().map(|value| value.to_bits()).collect();
    outputs.into_iter().map(bits).collect()
}

#[test]
fn recomputed_gradients_are_the_same_to_the_bit() {
    for gpu in gpus() {
        for is_fused in [false, true] {
            assert_eq!(run(gpu, blocks(is_fused, true)), run(gpu, blocks(is_fused, false)));
        }
    }
}

#[test]
fn it_takes_less_memory() {
    for gpu in gpus() {
        let bytes = |is_fused, is_recomputed| {
            let Blocks { graph, outputs, .. } = blocks(is_fused, is_recomputed);
            Plan::new(graph, &outputs, gpu.capabilities()).expect("it fits").slot_bytes()
        };
        // Gradients and the recomputed residuals of the row take their share of what is saved.
        for is_fused in [false, true] {
            let [less, more] = [true, false].map(|is_recomputed| bytes(is_fused, is_recomputed));
            assert!(less * 10 < more * 9, "{less} and {more} bytes");
        }
    }
}
