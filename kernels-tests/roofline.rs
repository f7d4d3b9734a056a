use ditn::bench::probe::{self, Copy, MultiplyAdds};
use ditn::ir::{Operator, Shape};
use ditn::ops::OperatorCase;

use crate::harness::{folded_values_agree, table_agrees};

#[test]
fn the_table_of_cases_agrees_with_the_reference() {
    table_agrees(&probe::cases(), &["roofline_copy", "roofline_fma"]);
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    folded_values_agree(&OperatorCase::new(MultiplyAdds { rounds: 1 }, &[[65_535 * 64 + 1]]), 0);
    folded_values_agree(&OperatorCase::new(Copy, &[[65_535 * 256 + 4]]), 0);
}

#[test]
fn a_copy_of_what_is_no_multiple_of_4_is_refused() {
    assert!(Copy.output_shapes(&[&Shape::from([5])]).is_err());
}
