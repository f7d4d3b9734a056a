use ditn::ir::{Operator, Shape};
use ditn::ops::rmsprop::{self, RmsProp, RmsPropSettings};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{folded_values_agree, table_agrees, values_agree};
use crate::updates::twenty_steps_stay_within_1e_6;

fn case(elements: usize, weight_decay: f64) -> OperatorCase {
    let shapes: [Shape; 4] = [[elements].into(), [elements].into(), [elements].into(), [8].into()];
    let hyper = RmsPropSettings { weight_decay, ..RmsPropSettings::default() }.hyper(1e-2).to_vec();
    OperatorCase::new(RmsProp, &shapes).fill(2, Fill::Uniform(0.0, 1.0)).fill(3, Fill::Given(hyper))
}

#[test]
fn the_table_of_cases_agrees_with_the_reference() {
    table_agrees(&rmsprop::cases(), &["rmsprop"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_sizes_agree_with_the_reference(elements in 1..1000_usize, decay in 0.0..1.0, seed in any::<u64>()) {
        values_agree(&case(elements, decay), seed);
    }
}

#[test]
fn more_than_65535_workgroups_fold_into_y() {
    folded_values_agree(&case(65_536 * 64 + 1, 0.1), 0);
}

#[test]
fn inputs_that_do_not_match_are_refused() {
    let refused = |shapes: [Shape; 4]| RmsProp.output_shapes(&shapes.each_ref()).unwrap_err().to_string();
    let text = refused([[5].into(), [5].into(), [4].into(), [8].into()]);
    assert!(text.contains("second moment [4] does not match parameter [5]"), "{text}");
    let text = refused([[5].into(), [5].into(), [5].into(), [7].into()]);
    assert!(text.contains("hyper [7] is not [8]"), "{text}");
}

#[test]
fn twenty_steps_stay_within_1e_6_of_rmsprop_in_float64() {
    let settings = RmsPropSettings { weight_decay: 0.1, ..RmsPropSettings::default() };
    let RmsPropSettings { alpha, eps, weight_decay } = settings;
    twenty_steps_stay_within_1e_6(settings, &["v"], |[p, v, _], g, _, learning_rate| {
        let g = g + weight_decay * *p;
        *v = alpha * *v + (1.0 - alpha) * g * g;
        *p -= learning_rate * g / (v.sqrt() + eps);
    });
}

/// What PyTorch 2.15 gives:
///
/// ```python
/// p = torch.tensor([1.0, -0.5], dtype=torch.float64, requires_grad=True)
/// optimizer = torch.optim.RMSprop([p], lr=0.1, alpha=0.9, eps=1e-3, weight_decay=0.01, foreach=False)
/// for gradient in ([0.5, 0.01], [-1.0, 0.02], [2.0, -0.03]):
///     p.grad = torch.tensor(gradient, dtype=torch.float64)
///     optimizer.step()
///     print(p.tolist(), optimizer.state[p]["square_avg"].tolist())
/// ```
#[test]
fn three_steps_are_pytorchs() {
    let settings = RmsPropSettings { alpha: 0.9, eps: 1e-3, weight_decay: 0.01 };
    let shapes: [Shape; 4] = [[2].into(), [2].into(), [2].into(), [8].into()];
    let expected = [
        [[0.6857209352878636, -0.6937129433613966], [0.02601, 2.5e-6]],
        [[0.9691962087304565, -0.9358532089236254], [0.12204226026143518, 1.9313858743415454e-5]],
        [[0.6891956005250274, -0.6572284608720849], [0.5137242124831236, 0.00017229187769101785]],
    ];
    let hyper: Vec<f64> = settings.hyper(0.1).iter().map(|&number| f64::from(number)).collect();
    let mut state = vec![vec![1.0, -0.5], vec![0.0; 2]];
    for (gradient, expected) in [[0.5, 0.01], [-1.0, 0.02], [2.0, -0.03]].iter().zip(expected) {
        state = RmsProp.reference(&shapes.each_ref(), &[&state[0], gradient, &state[1], &hyper]);
        for (found, expected) in state.iter().flatten().zip(expected.as_flattened()) {
            // The numbers of `hyper` are float32.
            assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{found}, not {expected}");
        }
    }
}
