use ditn::ops::gate::{self, Gate, GateGradient};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{adjoint_holds, folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&gate::cases(), &[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_shape_agrees_with_the_reference(
        (n, c, h, w) in (1..4_usize, 1..5_usize, 1..12_usize, 1..20_usize),
        seed: u64,
    ) {
        let (map, channel) = ([n, c, h, w], [n, c, 1, 1]);
        // Errors are relative to the largest value. Where that is the sum over a channel's pixels, positive terms keep it
        // from cancelling to less than its own rounding.
        let positive = Fill::Uniform(0.0, 1.0);
        for (g, fill) in [(map, Fill::Uniform(-1.0, 1.0)), (channel, positive)] {
            values_agree(&OperatorCase::new(Gate, &[map, g]), seed);
            let gradient = OperatorCase::new(GateGradient, &[map, map, g]);
            values_agree(&gradient.fill(0, fill.clone()).fill(1, fill), seed);
        }
    }
}

#[test]
fn the_gradient_of_what_is_gated_is_the_transpose() {
    for g in [[2, 3, 9, 13], [2, 3, 1, 1]] {
        adjoint_holds(&OperatorCase::new(Gate, &[[2, 3, 9, 13], g]), &[0], 0);
    }
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    let map = [1, 1, 1, 65_535 * 64 + 1];
    folded_values_agree(&OperatorCase::new(Gate, &[map; 2]), 0);
    folded_values_agree(&OperatorCase::new(GateGradient, &[map; 3]), 0);
    let channel = [1, 65_536, 1, 1];
    folded_values_agree(&OperatorCase::new(Gate, &[[1, 65_536, 1, 65], channel]), 0);
    let map = [1, 65_536, 1, 3];
    folded_values_agree(&OperatorCase::new(GateGradient, &[map, map, channel]), 0);
}

#[test]
fn gates_of_another_shape_are_refused() {
    use ditn::ir::{Operator, Shape};
    let (r, g) = (Shape::from([2, 3, 4, 4]), Shape::from([2, 1, 4, 4]));
    let error = Gate.output_shapes(&[&r, &g]).unwrap_err().to_string();
    assert!(error.contains("[2, 1, 4, 4] is neither [2, 3, 4, 4] nor [2, 3, 1, 1]"), "{error}");
}
