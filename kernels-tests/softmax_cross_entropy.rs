use ditn::ir::{Operator, Shape};
use ditn::ops::softmax_cross_entropy::{self, SoftmaxCrossEntropy, SoftmaxCrossEntropyGradient};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&softmax_cross_entropy::cases(), &[]);
}

/// The loss and its gradient.
fn both(rows: usize, classes: usize, seed: u64) -> [OperatorCase; 2] {
    let label = |row: usize| ((row as u64).wrapping_mul(2_654_435_761).wrapping_add(seed) % classes as u64) as u32;
    let labels = Fill::Words((0..rows).map(label).collect());
    let shapes: [Shape; 3] = [[1].into(), [rows, classes].into(), [rows].into()];
    let spread = Fill::Uniform(-8.0, 8.0);
    [
        OperatorCase::new(SoftmaxCrossEntropy, &shapes[1..]).fill(0, spread.clone()).fill(1, labels.clone()),
        OperatorCase::new(SoftmaxCrossEntropyGradient, &shapes).fill(1, spread).fill(2, labels),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_shape_agrees_with_the_reference((rows, classes) in (1..20_usize, 1..200_usize), seed: u64) {
        for case in both(rows, classes, seed) {
            values_agree(&case, seed);
        }
    }
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    for case in both(65_536, 2, 0) {
        folded_values_agree(&case, 0);
    }
}

/// torch.nn.functional.cross_entropy of these logits.
#[test]
fn the_loss_is_pytorchs() {
    let shapes: [Shape; 2] = [[2, 3].into(), [2].into()];
    let loss = SoftmaxCrossEntropy.reference(&shapes.each_ref(), &[&[1.0, 2.0, 3.0, 0.0, 0.0, 0.0], &[2.0, 1.0]]);
    // (log(1 + e^-1 + e^-2) + log 3) / 2
    assert!((loss[0][0] - 0.753_109_126).abs() < 1e-8, "{}", loss[0][0]);
}
