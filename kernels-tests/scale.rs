use ditn::ops::OperatorCase;
use ditn::ops::scale::{self, Scale};
use proptest::prelude::*;

use crate::harness::{adjoint_holds, folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&scale::cases(), &["scale"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_shape_and_factor_agree_with_the_reference(elements in 1..300_usize, factor in -1e3..1e3_f32, seed: u64) {
        values_agree(&OperatorCase::new(Scale { factor }, &[[elements]]), seed);
    }
}

#[test]
fn it_is_its_own_transpose() {
    adjoint_holds(&OperatorCase::new(Scale { factor: 0.1 }, &[[3, 5, 7]]), &[0], 0);
}

#[test]
fn a_dispatch_past_65535_workgroups_folds_into_y() {
    folded_values_agree(&OperatorCase::new(Scale { factor: 0.5 }, &[[65_535 * 64 + 1]]), 0);
}

#[test]
fn a_factor_that_is_not_finite_is_refused() {
    use ditn::ir::{Operator, Shape};
    assert!(Scale { factor: f32::NAN }.output_shapes(&[&Shape::from([3])]).is_err());
}
