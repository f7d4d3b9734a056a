use ditn::ops::accumulate;

use crate::harness::table_agrees;

#[test]
fn the_table_of_cases_agrees_with_the_reference() {
    table_agrees(&accumulate::cases(), &["accumulate"]);
}
