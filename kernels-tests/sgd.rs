use ditn::ir::{Operator, Shape};
use ditn::ops::sgd::{self, Sgd, SgdSettings};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{folded_values_agree, table_agrees, values_agree};

fn case(elements: usize, settings: SgdSettings) -> OperatorCase {
    let shapes: [Shape; 4] = [[elements].into(), [elements].into(), [elements].into(), [8].into()];
    OperatorCase::new(Sgd, &shapes).fill(3, Fill::Given(settings.hyper(1e-2).to_vec()))
}

#[test]
fn the_table_of_cases_agrees_with_the_reference() {
    table_agrees(&sgd::cases(), &["sgd"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_sizes_agree_with_the_reference(elements in 1..1000_usize, seed in any::<u64>()) {
        values_agree(&case(elements, SgdSettings { momentum: 0.9, weight_decay: 1e-2 }), seed);
    }
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    folded_values_agree(&case(65_535 * 64 + 1, SgdSettings::default()), 0);
}

/// torch.optim.SGD(lr=0.1, momentum=0.9, weight_decay=0.01) on a parameter 1 with gradients 0.5, -1, 2.
#[test]
fn three_steps_are_pytorchs() {
    let settings = SgdSettings { momentum: 0.9, weight_decay: 0.01 };
    let hyper: Vec<f64> = settings.hyper(0.1).iter().map(|&number| f64::from(number)).collect();
    let shapes: [Shape; 4] = [[1].into(), [1].into(), [1].into(), [8].into()];
    let (mut p, mut b) = (1.0, 0.0);
    for (gradient, expected) in [(0.5, 0.949), (-1.0, 1.002_151), (2.0, 0.848_984_749)] {
        let new = Sgd.reference(&shapes.each_ref(), &[&[p], &[gradient], &[b], &hyper]);
        (p, b) = (new[0][0], new[1][0]);
        assert!((p - expected).abs() < 1e-6, "{p}, not {expected}");
    }
}
