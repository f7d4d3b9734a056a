use ditn::ir::{Operator, Shape};
use ditn::ops::OperatorCase;
use ditn::ops::avg_pool::{self, AvgPool, AvgPoolInputGradient};
use proptest::prelude::*;

use crate::harness::{adjoint_holds, folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&avg_pool::cases(), &[]);
}

/// The pooling of `[n, c, h, w]` and its gradient.
fn both(pool: AvgPool, [n, c, h, w]: [usize; 4]) -> [OperatorCase; 2] {
    let pooled = pool.output_shapes(&[&Shape::from([n, c, h, w])]).unwrap().remove(0);
    let gradient = AvgPoolInputGradient { pool, size: [h, w] };
    [OperatorCase::new(pool, &[[n, c, h, w]]), OperatorCase::new(gradient, &[pooled])]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_shape_agrees_with_the_reference(
        (n, c, h, w) in (1..3_usize, 1..4_usize, 4..9_usize, 4..9_usize),
        (kernel, stride, padding) in (1..5_usize, 1..4_usize, 0..3_usize),
        seed: u64,
    ) {
        for case in both(AvgPool { kernel, stride, padding: padding.min(kernel / 2) }, [n, c, h, w]) {
            values_agree(&case, seed);
        }
    }
}

#[test]
fn the_gradient_is_the_transpose() {
    for pool in [AvgPool { kernel: 2, stride: 2, padding: 0 }, AvgPool { kernel: 3, stride: 2, padding: 1 }] {
        adjoint_holds(&both(pool, [2, 3, 9, 8])[0], &[0], 0);
    }
}

#[test]
fn padding_counts_as_zero() {
    let pool = AvgPool { kernel: 3, stride: 2, padding: 1 };
    // Windows with 4, 6, 6 and 9 of their 9 elements on the map.
    let y = pool.reference(&[&Shape::from([1, 1, 4, 4])], &[&[9.0; 16]]);
    assert_eq!(y, [[4.0, 6.0, 6.0, 9.0]]);
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    for case in both(AvgPool { kernel: 1, stride: 1, padding: 0 }, [1, 1, 2, 65_535 * 32 + 1]) {
        folded_values_agree(&case, 0);
    }
}
