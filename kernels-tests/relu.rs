use ditn::ops::relu;

use crate::harness::{folded_values_agree, table_agrees};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&relu::cases(), &[]);
}

#[test]
fn a_dispatch_past_65535_workgroups_folds_into_y() {
    folded_values_agree(&ditn::ops::OperatorCase::new(relu::Relu, &[[65_536 * 64 + 1]]), 0);
}
