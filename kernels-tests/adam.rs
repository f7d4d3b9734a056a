use ditn::ir::{Operator, Shape};
use ditn::ops::adam::{self, Adam, AdamSettings};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{folded_values_agree, table_agrees, values_agree};
use crate::updates::twenty_steps_stay_within_1e_6;

fn case(elements: usize, weight_decay: f64) -> OperatorCase {
    let shapes: [Shape; 5] = [[elements].into(), [elements].into(), [elements].into(), [elements].into(), [8].into()];
    let hyper = AdamSettings { weight_decay, ..AdamSettings::default() }.hyper(3, 1e-2).to_vec();
    OperatorCase::new(Adam, &shapes).fill(3, Fill::Uniform(0.0, 1.0)).fill(4, Fill::Given(hyper))
}

#[test]
fn the_table_of_cases_agrees_with_the_reference() {
    table_agrees(&adam::cases(), &["adam"]);
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
    let refused = |shapes: [Shape; 5]| Adam.output_shapes(&shapes.each_ref()).unwrap_err().to_string();
    let text = refused([[5].into(), [5].into(), [4].into(), [5].into(), [8].into()]);
    assert!(text.contains("first moment [4] does not match parameter [5]"), "{text}");
    let text = refused([[5].into(), [5].into(), [5].into(), [5].into(), [7].into()]);
    assert!(text.contains("hyper [7] is not [8]"), "{text}");
}

#[test]
fn twenty_steps_stay_within_1e_6_of_adam_in_float64() {
    let settings = AdamSettings { weight_decay: 0.1, ..AdamSettings::default() };
    let AdamSettings { beta1, beta2, eps, weight_decay } = settings;
    // Algorithm 1 of the Adam paper, of the loss plus weight_decay / 2 ||p||^2.
    twenty_steps_stay_within_1e_6(settings, &["m", "v"], |[p, m, v], g, step, learning_rate| {
        let g = g + weight_decay * *p;
        *m = beta1 * *m + (1.0 - beta1) * g;
        *v = beta2 * *v + (1.0 - beta2) * g * g;
        let (m_hat, v_hat) = (*m / (1.0 - beta1.powf(step as f64)), *v / (1.0 - beta2.powf(step as f64)));
        *p -= learning_rate * m_hat / (v_hat.sqrt() + eps);
    });
}

/// What PyTorch 2.15 gives:
///
/// ```python
/// p = torch.tensor([1.0, -0.5], dtype=torch.float64, requires_grad=True)
/// optimizer = torch.optim.Adam([p], lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.01, foreach=False)
/// for gradient in ([0.5, 0.01], [-1.0, 0.02], [2.0, -0.03]):
///     p.grad = torch.tensor(gradient, dtype=torch.float64)
///     optimizer.step()
///     print(p.tolist(), *(optimizer.state[p][name].tolist() for name in ("exp_avg", "exp_avg_sq")))
/// ```
#[test]
fn three_steps_are_pytorchs() {
    let settings = AdamSettings { beta1: 0.8, beta2: 0.9, eps: 1e-3, weight_decay: 0.01 };
    let shapes: [Shape; 5] = [[2].into(), [2].into(), [2].into(), [2].into(), [8].into()];
    let expected = [
        [[0.9001956947162426, -0.5833333333333334], [0.102, 0.001], [0.02601, 2.5e-6]],
        [
            [0.9406283507663706, -0.6685863967719051],
            [-0.11659960861056747, 0.0036333333333333326],
            [0.12161671213345533, 2.2319444444444437e-5],
        ],
        [
            [0.8947092906316719, -0.6321107715832199],
            [0.30860156981307874, -0.004430506126877142],
            [0.5132264021401179, 0.00015467276150579864],
        ],
    ];
    let mut state = vec![vec![1.0, -0.5], vec![0.0; 2], vec![0.0; 2]];
    for (step, (gradient, expected)) in (1..).zip([[0.5, 0.01], [-1.0, 0.02], [2.0, -0.03]].iter().zip(expected)) {
        let hyper: Vec<f64> = settings.hyper(step, 0.1).iter().map(|&number| f64::from(number)).collect();
        state = Adam.reference(&shapes.each_ref(), &[&state[0], gradient, &state[1], &state[2], &hyper]);
        for (found, expected) in state.iter().flatten().zip(expected.as_flattened()) {
            // The numbers of `hyper` are float32.
            assert!((found - expected).abs() <= 1e-6 * expected.abs(), "step {step}: {found}, not {expected}");
        }
    }
}
