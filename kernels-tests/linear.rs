use ditn::ir::Shape;
use ditn::ops::OperatorCase;
use ditn::ops::linear::{self, Linear, LinearBiasGradient, LinearInputGradient, LinearWeightGradient};
use proptest::prelude::*;

use crate::harness::{adjoint_holds, folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&linear::cases(), &[]);
}

/// The layer and its gradients for `n` samples.
fn all([n, seen, outputs]: [usize; 3]) -> [OperatorCase; 4] {
    let shapes: [Shape; 3] = [[n, seen].into(), [outputs, seen].into(), [outputs].into()];
    [
        OperatorCase::new(Linear { bias: true }, &shapes),
        OperatorCase::new(LinearInputGradient, &[[n, outputs], [outputs, seen]]),
        OperatorCase::new(LinearWeightGradient, &[[n, outputs], [n, seen]]),
        OperatorCase::new(LinearBiasGradient, &[[n, outputs]]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_shape_agrees_with_the_reference(
        (n, seen, outputs) in (1..70_usize, 1..70_usize, 1..70_usize),
        seed: u64,
    ) {
        for case in all([n, seen, outputs]) {
            values_agree(&case, seed);
        }
    }
}

#[test]
fn the_gradients_are_the_transposes() {
    let layer = OperatorCase::new(Linear { bias: false }, &[[9, 13], [33, 13]]);
    adjoint_holds(&layer, &[0], 0);
    adjoint_holds(&layer, &[1], 0);
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    folded_values_agree(&OperatorCase::new(Linear { bias: false }, &[[2049, 1], [2048, 1]]), 0);
    folded_values_agree(&OperatorCase::new(LinearBiasGradient, &[[1, 65_535 * 64 + 1]]), 0);
}

/// A tile of 32 x 32 elements is a workgroup.
#[test]
fn more_than_65535_tiles_fold_into_y() {
    folded_values_agree(&OperatorCase::new(Linear { bias: false }, &[[1, 1], [65_535 * 32 + 1, 1]]), 0);
}
