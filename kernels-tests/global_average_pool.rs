use ditn::ops::OperatorCase;
use ditn::ops::global_average_pool::{self, GlobalAveragePool, GlobalAveragePoolGradient};
use proptest::prelude::*;

use crate::harness::{adjoint_holds, folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&global_average_pool::cases(), &[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_shape_agrees_with_the_reference(
        (n, c, height, width) in (1..4_usize, 1..5_usize, 1..20_usize, 1..20_usize),
        seed: u64,
    ) {
        values_agree(&OperatorCase::new(GlobalAveragePool, &[[n, c, height, width]]), seed);
        values_agree(&OperatorCase::new(GlobalAveragePoolGradient { height, width }, &[[n, c, 1, 1]]), seed);
    }
}

#[test]
fn the_gradient_is_the_transpose() {
    adjoint_holds(&OperatorCase::new(GlobalAveragePool, &[[2, 3, 9, 13]]), &[0], 0);
    adjoint_holds(&OperatorCase::new(GlobalAveragePoolGradient { height: 9, width: 13 }, &[[2, 3, 1, 1]]), &[0], 0);
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    folded_values_agree(&OperatorCase::new(GlobalAveragePool, &[[1, 65_536, 1, 3]]), 0);
    folded_values_agree(
        &OperatorCase::new(GlobalAveragePoolGradient { height: 1, width: 65_536 }, &[[1, 65, 1, 1]]),
        0,
    );
}
