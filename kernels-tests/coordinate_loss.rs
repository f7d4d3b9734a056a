use ditn::ir::{Operator, Shape};
use ditn::ops::coordinate_loss::{self, CoordinateLoss, CoordinateLossGradient};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&coordinate_loss::cases(), &["coordinate_loss", "coordinate_loss_backward"]);
}

/// The loss and its gradient.
fn both(n: usize, j: usize) -> [OperatorCase; 2] {
    let shapes: [Shape; 4] = [[1].into(), [n, j, 2].into(), [n, j, 2].into(), [n, j, 1].into()];
    [
        OperatorCase::new(CoordinateLoss, &shapes[1..]).fill(2, Fill::Uniform(0.0, 2.0)),
        OperatorCase::new(CoordinateLossGradient, &shapes).fill(3, Fill::Uniform(0.0, 2.0)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_agrees_with_the_reference((n, j) in (1..40_usize, 1..40_usize), seed: u64) {
        for case in both(n, j) {
            values_agree(&case, seed);
        }
    }
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    let [_, backward] = both(3, 65_535 * 64 / 3 + 1);
    folded_values_agree(&backward, 0);
}

#[test]
fn the_loss_sums_joints_and_axes_and_averages_samples() {
    let shapes: [Shape; 4] = [[2, 2, 2].into(), [2, 2, 2].into(), [2, 2, 1].into(), [1].into()];
    let (prediction, target) = ([0.1, 0.2, -0.3, 0.4, 0.0, 0.5, 0.2, 0.2], [0.2, 0.0, 0.3, 0.4, 0.9, 0.9, 0.1, 0.4]);
    let weight = [1.0, 0.5, 0.0, 2.0];
    let [p, t, w, one] = shapes.each_ref();
    let loss = CoordinateLoss.reference(&[p, t, w], &[&prediction, &target, &weight]);
    // (|0.1| + |0.2|) + 0.5 (0.6 + 0) + 0 + 2 (0.1 + 0.2), over 2.
    assert!((loss[0][0] - 0.6).abs() < 1e-12, "{loss:?}");
    let gradient = CoordinateLossGradient.reference(&[one, p, t, w], &[&[3.0], &prediction, &target, &weight]);
    assert_eq!(gradient[0], [-1.5, 1.5, -0.75, 0.0, 0.0, 0.0, 3.0, -3.0].map(|it: f64| it));
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let [p, other, w, maps]: [Shape; 4] = [[2, 3, 2].into(), [2, 4, 2].into(), [2, 3, 1].into(), [2, 3, 4, 4].into()];
    let error = |inputs: [&Shape; 3]| CoordinateLoss.output_shapes(&inputs).expect_err("they do not fit").to_string();
    assert!(error([&maps, &maps, &w]).contains("is not [N, J, 2]"));
    assert!(error([&p, &other, &w]).contains("differ"));
    assert!(error([&p, &p, &[2, 3].into()]).contains("weight [2, 3] is not [2, 3, 1]"));
    let error = CoordinateLossGradient.output_shapes(&[&[2].into(), &p, &p, &w]).expect_err("two losses");
    assert!(error.to_string().contains("gradient [2] of the loss is not [1]"), "{error}");
}
