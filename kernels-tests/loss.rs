use ditn::ir::{Graph, Operator, Shape};
use ditn::ops::loss::{self, LossKind, MapLoss, MapLossPredictionGradient};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{folded_values_agree, table_agrees, values_agree};

const KINDS: [LossKind; 5] =
    [LossKind::Mse, LossKind::FocalL2, LossKind::FocalL2Printed, LossKind::SmoothL1, LossKind::Ohkm { hardest: 3 }];

fn forward(kind: LossKind, [n, m, h, w]: [usize; 4]) -> OperatorCase {
    OperatorCase::new(MapLoss { kind }, &[[n, m, h, w], [n, m, h, w], [n, m, 1, 1]])
        .fill(1, Fill::Uniform(-0.5, 1.0))
        .fill(2, Fill::Uniform(0.5, 1.5))
}

fn backward(kind: LossKind, [n, m, h, w]: [usize; 4]) -> OperatorCase {
    let shapes: [Shape; 4] = [[1].into(), [n, m, h, w].into(), [n, m, h, w].into(), [n, m, 1, 1].into()];
    OperatorCase::new(MapLossPredictionGradient { kind }, &shapes)
        .fill(2, Fill::Uniform(-0.5, 1.0))
        .fill(3, Fill::Uniform(0.5, 1.5))
}

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&loss::cases(), &["loss", "loss_backward"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_shapes_agree_with_the_reference(
        kind in prop::sample::select(&KINDS[..]),
        shape in [1..5_usize, 1..20_usize, 1..20_usize, 1..20_usize],
        seed in any::<u64>(),
    ) {
        values_agree(&forward(kind, shape), seed);
        values_agree(&backward(kind, shape), seed);
    }
}

#[test]
fn more_than_65535_maps_fold_into_y() {
    for kind in [LossKind::Mse, LossKind::Ohkm { hardest: 3 }] {
        folded_values_agree(&forward(kind, [5, 13_109, 1, 1]), 0);
        folded_values_agree(&backward(kind, [5, 13_109, 1, 1]), 0);
    }
}

#[test]
fn of_equally_hard_maps_the_first_are_mined() {
    // Losses 1, 4, 4, 4 in the first sample and 4, 1, 9, 4 in the second, of which two count.
    let predictions = vec![1.0, 2.0, -2.0, 2.0, 2.0, -1.0, 3.0, 2.0];
    let kind = LossKind::Ohkm { hardest: 2 };
    let zeros = Fill::Given(vec![0.0; 8]);
    let ones = Fill::Given(vec![1.0; 8]);
    let case = forward(kind, [2, 4, 1, 1]);
    let case = case.fill(0, Fill::Given(predictions.clone())).fill(1, zeros.clone()).fill(2, ones.clone());
    values_agree(&case, 0);
    let dloss = Fill::Given(vec![1.0]);
    let case = backward(kind, [2, 4, 1, 1]).fill(0, dloss).fill(1, Fill::Given(predictions.clone()));
    values_agree(&case.fill(2, zeros).fill(3, ones), 0);

    let shapes: [Shape; 4] = [[1].into(), [2, 4, 1, 1].into(), [2, 4, 1, 1].into(), [2, 4, 1, 1].into()];
    let predictions: Vec<f64> = predictions.into_iter().map(f64::from).collect();
    let gradient = MapLossPredictionGradient { kind };
    let reference = gradient.reference(&shapes.each_ref(), &[&[1.0], &predictions, &[0.0; 8], &[1.0; 8]]);
    assert_eq!(reference[0], [0.0, 1.0, -1.0, 0.0, 1.0, 0.0, 1.5, 0.0]);
}

#[test]
fn weights_of_another_shape_are_refused_by_name() {
    let mut graph = Graph::new();
    let maps = graph.input("maps", [2, 3, 4, 4]);
    let weight = graph.input("weight", [2, 3]);
    let error = graph.apply(MapLoss { kind: LossKind::Mse }, &[maps, maps, weight]).expect_err("the weight is [N, M]");
    assert!(error.to_string().contains("[2, 3] is not [2, 3, 1, 1]"), "{error}");
}
