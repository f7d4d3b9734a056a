use ditn::graph::{Plan, Session, Store};
use ditn::ir::{Graph, Shape};
use ditn::ops::adamw::{self, AdamW, AdamWSettings};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::harness::{folded_values_agree, gpus, table_agrees, values_agree};

fn case(elements: usize) -> OperatorCase {
    let shapes: [Shape; 5] = [[elements].into(), [elements].into(), [elements].into(), [elements].into(), [8].into()];
    let hyper = AdamWSettings::default().hyper(3, 1e-2).to_vec();
    OperatorCase::new(AdamW, &shapes).fill(3, Fill::Uniform(0.0, 1.0)).fill(4, Fill::Given(hyper))
}

/// ||a - b|| / ||b||.
fn relative_norm(a: &[f32], b: &[f64]) -> f64 {
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    (difference / b.iter().map(|b| b * b).sum::<f64>()).sqrt()
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
    const ELEMENTS: usize = 1000;
    let settings = AdamWSettings::default();
    for gpu in gpus() {
        let mut graph = Graph::new();
        let parameter = graph.parameter("p", [ELEMENTS]);
        let gradient = graph.input("g", [ELEMENTS]);
        let first = graph.state("m", [ELEMENTS]);
        let second = graph.state("v", [ELEMENTS]);
        let hyper = graph.input("hyper", [8]);
        graph.apply(AdamW, &[parameter, gradient, first, second, hyper]).expect("the shapes match");
        let plan = Plan::new(graph, &[], gpu.capabilities()).expect("it fits");
        let session = Session::new(gpu, plan, &mut Store::new(gpu)).expect("it fits");

        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut draw = |size: f32| Fill::Uniform(-size, size).draw(ELEMENTS, &mut random);
        let start = draw(0.1);
        session.write(parameter, &start).expect("it fits");
        let mut exact = start.iter().map(|&p| [f64::from(p), 0.0, 0.0]).collect::<Vec<_>>();
        let mut learning_rate = 1e-3_f64;
        for step in 1..=20 {
            if step == 10 {
                learning_rate = 1e-4;
            }
            let gradients = draw(0.01);
            session.write(gradient, &gradients).expect("it fits");
            session.write(hyper, &settings.hyper(step, learning_rate)).expect("it fits");
            session.run().expect("the device works");
            // Algorithm 2 of the AdamW paper, with the bias corrections written out.
            let AdamWSettings { beta1, beta2, eps, weight_decay } = settings;
            for ([p, m, v], &g) in exact.iter_mut().zip(&gradients) {
                let g = f64::from(g);
                *m = beta1 * *m + (1.0 - beta1) * g;
                *v = beta2 * *v + (1.0 - beta2) * g * g;
                let (m_hat, v_hat) = (*m / (1.0 - beta1.powf(step as f64)), *v / (1.0 - beta2.powf(step as f64)));
                *p -= learning_rate * (m_hat / (v_hat.sqrt() + eps) + weight_decay * *p);
            }
        }
        for (number, value) in [parameter, first, second].into_iter().enumerate() {
            let expected: Vec<f64> = exact.iter().map(|state| state[number]).collect();
            let error = relative_norm(&session.read(value).expect("it is kept"), &expected);
            assert!(error <= 1e-6, "{} of p, m, v on {}: {error:e}", number, gpu.report().name);
        }
    }
}
