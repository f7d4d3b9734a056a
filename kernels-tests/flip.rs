use ditn::ir::{Operator, Shape};
use ditn::ops::flip::{self, FlipHorizontal, FlipMerge, FlipMergePoints};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{adjoint_holds, folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&flip::cases(), &["flip_horizontal", "flip_merge", "flip_merge_points"]);
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
        let partner: Vec<usize> = (0..channels).map(|channel| (channel + turn) % channels).collect();
        let points = FlipMergePoints { partner: partner.clone(), width: shape[3] as f32 };
        let within = Fill::Uniform(-1.0, shape[3] as f32);
        let points = OperatorCase::new(points, &[[shape[0], channels, 3]; 2]);
        values_agree(&points.fill(0, within.clone()).fill(1, within), seed);
        values_agree(&OperatorCase::new(FlipMerge { partner, shift: true }, &[shape; 2]), seed);
    }
}

#[test]
fn more_than_65535_workgroups_fold_into_y() {
    folded_values_agree(&OperatorCase::new(FlipHorizontal, &[[65_537, 65]]), 0);
    let partner = (0..13_109).rev().collect();
    folded_values_agree(&OperatorCase::new(FlipMerge { partner, shift: true }, &[[5, 13_109, 1, 2]; 2]), 0);
    const JOINTS: usize = 65_535 * 64 / 3 + 1;
    let points = FlipMergePoints { partner: (0..JOINTS).rev().collect(), width: 48.0 };
    folded_values_agree(&OperatorCase::new(points, &[[3, JOINTS, 3]; 2]), 0);
}

#[test]
fn merging_swaps_sides_mirrors_and_shifts() {
    // The mirrored picture's right map, mirrored back: 3 2 1; shifted: 3 3 2.
    let flipped = [9.0, 9.0, 9.0, 1.0, 2.0, 3.0];
    let operator = FlipMerge { partner: vec![1, 0], shift: true };
    let shape = Shape::from([1, 2, 1, 3]);
    let merged = operator.reference(&[&shape, &shape], &[&[1.0, 1.0, 4.0, 9.0, 9.0, 9.0], &flipped]);
    assert_eq!(merged[0], [2.0, 2.0, 3.0, 9.0, 9.0, 9.0]);
}

#[test]
fn partners_that_do_not_fit_the_maps_are_refused() {
    let shape = Shape::from([1, 2, 4, 4]);
    for (partner, message) in [(vec![0], "1 partners"), (vec![1, 2], "partner 2 of map 1")] {
        let error = FlipMerge { partner, shift: true }.output_shapes(&[&shape, &shape]).expect_err("it does not fit");
        assert!(error.to_string().contains(message), "{error}");
    }
    let points = Shape::from([1, 2, 3]);
    for (partner, message) in [(vec![0], "1 partners for the 2 points"), (vec![1, 2], "partner 2 of point 1")] {
        let operator = FlipMergePoints { partner, width: 4.0 };
        let error = operator.output_shapes(&[&points, &points]).expect_err("it does not fit");
        assert!(error.to_string().contains(message), "{error}");
    }
    let operator = FlipMergePoints { partner: vec![0, 1], width: 4.0 };
    let error = operator.output_shapes(&[&points, &[1, 3, 3].into()]).expect_err("another joint").to_string();
    assert!(error.contains("points [1, 2, 3] and flipped points [1, 3, 3] differ"), "{error}");
    let error = operator.output_shapes(&[&[1, 2, 2].into(); 2]).expect_err("two numbers").to_string();
    assert!(error.contains("points [1, 2, 2] are not [N, J, 3]"), "{error}");
}

#[test]
fn merged_points_swap_sides_and_mirror_pixels_of_the_picture() {
    // Of a picture 32 pixels wide, with heat maps 8 wide: its pixel 7 is the mirrored picture's pixel 24.
    let points = [7.0 / 4.0, 2.0, 0.5, 3.0, 1.0, 1.0];
    let flipped = [9.0, 9.0, 9.0, 24.0 / 4.0, 3.0, 0.25];
    let operator = FlipMergePoints { partner: vec![1, 0], width: 8.0 };
    let shape = Shape::from([1, 2, 3]);
    let merged = operator.reference(&[&shape, &shape], &[&points, &flipped]);
    assert_eq!(merged[0], [1.75, 2.5, 0.375, 0.875, 5.0, 5.0]);
}
