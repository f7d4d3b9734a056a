use ditn::ops::over_ranks;

use crate::harness::table_agrees;

#[test]
fn the_table_of_cases_agrees_with_the_reference() {
    table_agrees(&over_ranks::cases(), &["over_ranks_mean", "over_ranks_statistics"]);
}
