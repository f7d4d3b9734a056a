use ditn::ops::loss_scale;

use crate::harness::table_agrees;

#[test]
fn the_table_of_cases_agrees_with_the_reference() {
    table_agrees(
        &loss_scale::cases(),
        &["loss_scale_non_finite", "loss_scale_seed", "loss_scale_unscale", "loss_scale_update"],
    );
}
