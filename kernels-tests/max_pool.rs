use ditn::ir::{Operator, Shape};
use ditn::ops::max_pool::{self, MaxPool, MaxPoolInputGradient};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{folded_values_agree, gradients_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&max_pool::cases(), &[]);
}

/// The gradient at `x`.
fn gradient_case(pool: MaxPool, shape: [usize; 4], x: Vec<f32>) -> OperatorCase {
    let shape = Shape::from(shape);
    let pooled = pool.output_shapes(&[&shape]).unwrap().remove(0);
    OperatorCase::new(MaxPoolInputGradient { pool }, &[pooled, shape]).fill(1, Fill::Given(x))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_shape_agrees_with_the_reference_and_numeric_gradients(
        (n, c, h, w) in (1..3_usize, 1..4_usize, 4..9_usize, 4..9_usize),
        (kernel, stride, padding) in (1..5_usize, 1..4_usize, 0..3_usize),
        seed: u64,
    ) {
        let pool = MaxPool { kernel, stride, padding: padding.min(kernel / 2) };
        let case = OperatorCase::new(pool, &[[n, c, h, w]]).fill(0, Fill::Distinct).differentiate(&[0]);
        values_agree(&case, seed % 1000);
        gradients_agree(&case, seed % 1000);
    }

    #[test]
    fn among_equals_the_first_in_reading_order_gets_the_gradient(
        x in proptest::collection::vec(0..3_u8, 2 * 7 * 6),
        seed: u64,
    ) {
        let x: Vec<f32> = x.into_iter().map(f32::from).collect();
        for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1)] {
            values_agree(&gradient_case(MaxPool { kernel, stride, padding }, [1, 2, 7, 6], x.clone()), seed);
        }
    }
}

#[test]
fn extents_follow_the_floor_rule() {
    let pooled = |kernel, stride, padding, [h, w]: [usize; 2]| {
        let pool = MaxPool { kernel, stride, padding };
        pool.output_shapes(&[&Shape::from([1, 1, h, w])]).map(|shapes| shapes[0].extents()[2..].to_vec())
    };
    assert_eq!(pooled(2, 2, 0, [31, 31]).unwrap(), [15, 15]);
    assert_eq!(pooled(2, 2, 0, [15, 11]).unwrap(), [7, 5]);
    assert_eq!(pooled(3, 2, 1, [128, 96]).unwrap(), [64, 48]);
    assert_eq!(pooled(3, 2, 1, [7, 8]).unwrap(), [4, 4]);
    assert!(pooled(2, 2, 0, [1, 8]).is_err());
    assert!(pooled(3, 2, 2, [8, 8]).is_err());
    assert!(pooled(3, 0, 1, [8, 8]).is_err());
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    let shape = [1, 1, 2, 2 * (65_535 * 64 + 1)];
    let pool = MaxPool { kernel: 2, stride: 2, padding: 0 };
    let case = OperatorCase::new(pool, &[shape]);
    folded_values_agree(&case, 0);
    folded_values_agree(&gradient_case(pool, shape, case.draw(0).remove(0)), 0);
}
