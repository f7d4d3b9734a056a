use std::sync::Arc;

use ditn::gpu::Gpu;
use ditn::graph::{Plan, Session, Store, differentiate, store_activations_as_f16};
use ditn::ir::{Capabilities, DType, Graph, Operator, Shape, ValueId};
use ditn::ops::OperatorCase;
use ditn::ops::concat::{self, Concat, Split};
use ditn::ops::relu::Relu;
use ditn::ops::resize::Resize;
use proptest::prelude::*;

use crate::harness::{adjoint_holds, folded_values_agree, gpus, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&concat::cases(), &[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_shape_agrees_with_the_reference(
        channels in proptest::collection::vec(1..7_usize, 1..6),
        (n, h, w) in (1..4_usize, 1..6_usize, 1..9_usize),
        seed: u64,
    ) {
        let maps: Vec<Shape> = channels.iter().map(|&c| [n, c, h, w].into()).collect();
        values_agree(&OperatorCase::new(Concat { inputs: maps.len() }, &maps), seed);
        let whole = [n, channels.iter().sum(), h, w];
        values_agree(&OperatorCase::new(Split { channels }, &[whole]), seed);
    }

    /// Element by element, by its sample, channel and place.
    #[test]
    fn the_references_move_whole_channels(
        channels in proptest::collection::vec(1..5_usize, 1..5),
        (n, area) in (1..4_usize, 1..5_usize),
    ) {
        let total: usize = channels.iter().sum();
        let number = |sample: usize, channel: usize, place: usize| (1000 * sample + 10 * channel + place) as f64;
        let from = |first: usize, count: usize| -> Vec<f64> {
            let at = move |index: usize| (index / area / count, first + index / area % count, index % area);
            (0..n * count * area).map(at).map(|(sample, channel, place)| number(sample, channel, place)).collect()
        };
        let mut first = 0;
        let mut parts = Vec::new();
        for &count in &channels {
            parts.push(from(first, count));
            first += count;
        }
        let whole = from(0, total);
        let shapes: Vec<Shape> = channels.iter().map(|&c| [n, c, area].into()).collect();
        let inputs: Vec<&[f64]> = parts.iter().map(Vec::as_slice).collect();
        let joined = Concat { inputs: parts.len() }.reference(&shapes.iter().collect::<Vec<_>>(), &inputs);
        prop_assert_eq!(&joined[0], &whole);
        let split = Split { channels }.reference(&[&[n, total, area].into()], &[&whole]);
        prop_assert_eq!(split, parts);
    }
}

#[test]
fn the_gradient_is_the_transpose() {
    adjoint_holds(&OperatorCase::new(Concat { inputs: 3 }, &[[2, 3, 5, 4], [2, 1, 5, 4], [2, 4, 5, 4]]), &[0, 1, 2], 0);
}

/// What the gradient of the whole is on this adapter, where only the `given` parts have one, of ones, twos or threes. Memory
/// holds NaN before.
fn gradient(gpu: &Arc<Gpu>, whole: &Shape, channels: &[usize], given: &[usize]) -> Vec<f32> {
    let mut graph = Graph::new();
    let x = graph.input("x", whole.clone());
    let parts = graph.apply(Split { channels: channels.to_vec() }, &[x]).unwrap();
    let mut seed = |&part: &usize| (parts[part], graph.input("seed", graph.shape(parts[part]).clone()));
    let seeds: Vec<(ValueId, ValueId)> = given.iter().map(&mut seed).collect();
    let dx = differentiate(&mut graph, &seeds, &[x]).unwrap()[0].unwrap();
    let plan = Plan::new(graph, &[dx], gpu.capabilities()).unwrap();
    let session = Session::guarded(gpu, plan, &mut Store::new(gpu)).unwrap();
    session.poison().unwrap();
    for (&part, (_, seed)) in given.iter().zip(&seeds) {
        let elements = session.plan().graph.shape(*seed).elements();
        session.write(*seed, &vec![1.0 + part as f32; elements]).unwrap();
    }
    session.run().unwrap();
    session.check_guards().unwrap();
    session.read(dx).unwrap()
}

#[test]
fn parts_without_a_gradient_count_as_zeros() {
    let channels = [2, 1, 3];
    for gpu in gpus() {
        for whole in [Shape::from([2, 6, 2, 2]), Shape::from([2, 6, 3]), Shape::from([3, 6])] {
            let area: usize = whole.extents()[2..].iter().product();
            for given in [&[0_usize][..], &[1], &[2], &[0, 2], &[0, 1], &[0, 1, 2]] {
                let of_part = |part: usize| if given.contains(&part) { 1.0 + part as f32 } else { 0.0 };
                let of_channel = (0..3).flat_map(|part| vec![of_part(part); channels[part] * area]);
                let sample: Vec<f32> = of_channel.collect();
                let found = gradient(gpu, &whole, &channels, given);
                assert_eq!(found, sample.repeat(whole.extents()[0]), "{whole} {given:?}");
            }
        }
    }
}

/// With the gradients of all, also where a part has none.
#[test]
fn in_mixed_precision_all_maps_are_stored_as_f16() {
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 3, 4, 4]);
    let x = graph.apply_one(Relu, &[x]).unwrap();
    let resized = graph.apply_one(Resize { size: [4, 6], align_corners: true }, &[x]).unwrap();
    let back = graph.apply_one(Resize { size: [4, 4], align_corners: false }, &[resized]).unwrap();
    let all = graph.apply_one(Concat { inputs: 2 }, &[x, back]).unwrap();
    let parts = graph.apply(Split { channels: vec![1, 2, 3] }, &[all]).unwrap();
    let [y, z] = [0, 1].map(|part| graph.apply_one(Relu, &[parts[part]]).unwrap());
    let seeds = [y, z].map(|output| (output, graph.input("seed", graph.shape(output).clone())));
    let gradients = differentiate(&mut graph, &seeds, &[x]).unwrap();
    let keep = [y, z, gradients[0].unwrap()];
    let capabilities = Capabilities { shader_f16: true, ..gpus()[0].capabilities().clone() };
    store_activations_as_f16(&mut graph, &keep, &capabilities);
    for node in graph.nodes() {
        for output in node.outputs.iter().filter(|output| !keep.contains(output)) {
            assert_eq!(graph.value(*output).dtype, DType::F16, "{}", node.operator.name());
        }
    }
    Plan::new(graph, &keep, &capabilities).unwrap();
}

#[test]
fn parts_that_nothing_reads_have_no_gradient() {
    let mut graph = Graph::new();
    let (x, other) = (graph.input("x", [1, 3, 2, 2]), graph.input("other", [1, 1, 2, 2]));
    graph.apply(Split { channels: vec![1, 2] }, &[x]).unwrap();
    let seed = graph.input("seed", [1, 1, 2, 2]);
    assert_eq!(differentiate(&mut graph, &[(other, seed)], &[x]).unwrap(), [None]);
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    const AREA: usize = 65_536 * 64;
    folded_values_agree(&OperatorCase::new(Concat { inputs: 2 }, &[[1, 1, 1, AREA + 1], [1, 1, 1, AREA + 1]]), 0);
    folded_values_agree(&OperatorCase::new(Split { channels: vec![4, 1] }, &[[1, 5, 1, AREA]]), 0);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let refused = |operator: &dyn Operator, shapes: &[Shape]| {
        operator.output_shapes(&shapes.iter().collect::<Vec<_>>()).unwrap_err().to_string()
    };
    let two = Concat { inputs: 2 };
    let error = refused(&two, &[[1, 2, 3, 4].into(), [1, 2, 3, 5].into()]);
    assert!(error.contains("[1, 2, 3, 5] and [1, 2, 3, 4] differ in more than their channels"), "{error}");
    assert!(refused(&two, &[[1, 2, 3].into(), [1, 2, 3, 1].into()]).contains("differ"));
    assert!(refused(&two, &[[1, 2, 3].into(), [2, 2, 3].into()]).contains("differ"));
    assert!(refused(&two, &[[2].into(), [2].into()]).contains("[2] has no channels"));
    assert!(refused(&two, &[[1, 2].into()]).contains("takes 2 inputs, at least 1, not 1"));
    assert!(refused(&Concat { inputs: 0 }, &[]).contains("at least 1"));
    let error = refused(&Split { channels: vec![2, 2] }, &[[1, 5, 2, 2].into()]);
    assert!(error.contains("the 5 channels of [1, 5, 2, 2] cannot be split into [2, 2]"), "{error}");
    assert!(refused(&Split { channels: vec![5, 0] }, &[[1, 5, 2, 2].into()]).contains("at least 1"));
    assert!(refused(&Split { channels: vec![] }, &[[1, 5, 2, 2].into()]).contains("cannot be split"));
}
