use ditn::ops::OperatorCase;
use ditn::ops::upsample::{self, Upsample, UpsampleAdd, UpsampleAddGradient, UpsampleInputGradient};
use proptest::prelude::*;

use crate::harness::{adjoint_holds, folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&upsample::cases(), &[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_shape_agrees_with_the_reference(
        (n, c, h, w) in (1..4_usize, 1..5_usize, 1..9_usize, 1..20_usize),
        factor in 1..9_usize,
        relu: bool,
        seed: u64,
    ) {
        let (small, large) = ([n, c, h, w], [n, c, factor * h, factor * w]);
        values_agree(&OperatorCase::new(Upsample { factor }, &[small]), seed);
        values_agree(&OperatorCase::new(UpsampleInputGradient { factor }, &[large]), seed);
        values_agree(&OperatorCase::new(UpsampleAdd { factor, relu }, &[large, small]), seed);
        values_agree(&OperatorCase::new(UpsampleAddGradient { factor }, &[large, large]), seed);
    }
}

#[test]
fn the_gradients_are_the_transposes() {
    for factor in [2, 3, 4, 8] {
        let (small, large) = ([2, 3, 5, 4], [2, 3, 5 * factor, 4 * factor]);
        adjoint_holds(&OperatorCase::new(Upsample { factor }, &[small]), &[0], 0);
        adjoint_holds(&OperatorCase::new(UpsampleInputGradient { factor }, &[large]), &[0], 0);
        adjoint_holds(&OperatorCase::new(UpsampleAdd { factor, relu: false }, &[large, small]), &[0, 1], 0);
    }
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    // More than 65,535 workgroups of 64 invocations that compute one element each, or 4.
    const ELEMENTS: usize = 65_535 * 64 + 1;
    folded_values_agree(&OperatorCase::new(UpsampleInputGradient { factor: 1 }, &[[1, 1, 1, ELEMENTS]]), 0);
    folded_values_agree(&OperatorCase::new(UpsampleAddGradient { factor: 1 }, &[[1, 1, 1, ELEMENTS]; 2]), 0);
    folded_values_agree(&OperatorCase::new(Upsample { factor: 4 }, &[[1, 1, 1, ELEMENTS.div_ceil(4)]]), 0);
    let shapes = [[1, 1, 4, 4 * ELEMENTS.div_ceil(4)], [1, 1, 1, ELEMENTS.div_ceil(4)]];
    folded_values_agree(&OperatorCase::new(UpsampleAdd { factor: 4, relu: true }, &shapes), 0);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    use ditn::ir::{Operator, Shape};
    let shape = |extents: [usize; 4]| Shape::from(extents);
    let add = UpsampleAdd { factor: 2, relu: false };
    let error = add.output_shapes(&[&shape([1, 2, 6, 8]), &shape([1, 2, 3, 3])]).unwrap_err().to_string();
    assert!(error.contains("[1, 2, 3, 3] enlarged 2 times is [1, 2, 6, 6]"), "{error}");
    let error = UpsampleInputGradient { factor: 2 }.output_shapes(&[&shape([1, 2, 5, 4])]).unwrap_err().to_string();
    assert!(error.contains("2 does not divide"), "{error}");
    assert!(Upsample { factor: 0 }.output_shapes(&[&shape([1, 1, 1, 1])]).is_err());
}
