use ditn::ops::add;

use crate::harness::table_agrees;

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&add::cases(), &[]);
}
