use ditn::ir::Shape;
use ditn::ops::adamw::{self, AdamW, AdamWSettings};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{folded_values_agree, table_agrees, values_agree};
use crate::updates::twenty_steps_stay_within_1e_6;

fn case(elements: usize) -> OperatorCase {
    let shapes: [Shape; 5] = [[elements].into(), [elements].into(), [elements].into(), [elements].into(), [8].into()];
    let hyper = AdamWSettings::default().hyper(3, 1e-2).to_vec();
    OperatorCase::new(AdamW, &shapes).fill(3, Fill::Uniform(0.0, 1.0)).fill(4, Fill::Given(hyper))
}

#[test]
fn the_table_of_cases_agrees_with_the_reference() {
    table_agrees(&adamw::cases(), &["adamw"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_sizes_agree_with_the_reference(elements in 1..1000_usize, seed in any::<u64>()) {
        values_agree(&case(elements), seed);
    }
}

#[test]
fn more_than_65535_workgroups_fold_into_y() {
    folded_values_agree(&case(65_536 * 64 + 1), 0);
}

#[test]
fn twenty_steps_stay_within_1e_6_of_adamw_in_float64() {
    let settings = AdamWSettings::default();
    let AdamWSettings { beta1, beta2, eps, weight_decay } = settings;
    // Algorithm 2 of the AdamW paper, with the bias corrections written out.
    twenty_steps_stay_within_1e_6(settings, &["m", "v"], |[p, m, v], g, step, learning_rate| {
        *m = beta1 * *m + (1.0 - beta1) * g;
        *v = beta2 * *v + (1.0 - beta2) * g * g;
        let (m_hat, v_hat) = (*m / (1.0 - beta1.powf(step as f64)), *v / (1.0 - beta2.powf(step as f64)));
        *p -= learning_rate * (m_hat / (v_hat.sqrt() + eps) + weight_decay * *p);
    });
}
