use ditn::ir::{Operator, Shape};
use ditn::ops::OperatorCase;
use ditn::ops::flip::{self, FlipHorizontal, FlipMerge};
use proptest::prelude::*;

use crate::harness::{adjoint_holds, folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&flip::cases(), &["flip_horizontal", "flip_merge"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_shapes_agree_with_the_reference(
        shape in [1..4_usize, 1..9_usize, 1..20_usize, 1..20_usize],
        turn in 0..9_usize,
        seed in any::<u64>(),
    ) {
        let case = OperatorCase::new(FlipHorizontal, &[shape]);
        values_agree(&case, seed);
        adjoint_holds(&case, &[0], seed);
        let channels = shape[1];
        let partner = (0..channels).map(|channel| (channel + turn) % channels).collect();
        values_agree(&OperatorCase::new(FlipMerge { partner }, &[shape; 2]), seed);
    }
}

#[test]
fn more_than_65535_workgroups_fold_into_y() {
    folded_values_agree(&OperatorCase::new(FlipHorizontal, &[[65_537, 65]]), 0);
    let partner = (0..13_109).rev().collect();
    folded_values_agree(&OperatorCase::new(FlipMerge { partner }, &[[5, 13_109, 1, 2]; 2]), 0);
}

#[test]
fn merging_swaps_sides_mirrors_and_shifts() {
    // The mirrored picture's right map, mirrored back: 3 2 1; shifted: 3 3 2.
    let flipped = [9.0, 9.0, 9.0, 1.0, 2.0, 3.0];
    let operator = FlipMerge { partner: vec![1, 0] };
    let shape = Shape::from([1, 2, 1, 3]);
    let merged = operator.reference(&[&shape, &shape], &[&[1.0, 1.0, 4.0, 9.0, 9.0, 9.0], &flipped]);
    assert_eq!(merged[0], [2.0, 2.0, 3.0, 9.0, 9.0, 9.0]);
}

#[test]
fn partners_that_do_not_fit_the_maps_are_refused() {
    let shape = Shape::from([1, 2, 4, 4]);
    for (partner, message) in [(vec![0], "1 partners"), (vec![1, 2], "partner 2 of map 1")] {
        let error = FlipMerge { partner }.output_shapes(&[&shape, &shape]).expect_err("it does not fit");
        assert!(error.to_string().contains(message), "{error}");
    }
}
