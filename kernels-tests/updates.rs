//! Steps of an optimizer on the device beside a loop in float64.

use ditn::graph::{Plan, Session, Store};
use ditn::ir::Graph;
use ditn::nn::Optimizer;
use ditn::ops::Fill;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::harness::gpus;

/// What the loop keeps of each element: the parameter, and the optimizer's state in the order of its names.
pub type Element = [f64; 3];

/// ||a - b|| / ||b||.
fn relative_norm(a: &[f32], b: &[f64]) -> f64 {
    let difference: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    (difference / b.iter().map(|b| b * b).sum::<f64>()).sqrt()
}

/// Twenty steps of `optimizer` on 1000 elements, with a lower rate from the tenth on, stay within 1e-6 of those of `exact`
/// (element, gradient, number of the step from 1, learning rate): the parameter and the state of these names. Then a step that
/// is to be skipped changes no bit of them.
pub fn twenty_steps_stay_within_1e_6(
    optimizer: impl Into<Optimizer>,
    state: &[&str],
    exact: impl Fn(&mut Element, f64, u64, f64),
) {
    const ELEMENTS: usize = 1000;
    let optimizer = optimizer.into();
    for gpu in gpus() {
        let mut graph = Graph::new();
        let (parameter, gradient) = (graph.parameter("p", [ELEMENTS]), graph.input("g", [ELEMENTS]));
        let hyper = optimizer.append(&mut graph, &[(parameter, gradient)], None).expect("the shapes match");
        let plan = Plan::new(graph, &[], gpu.capabilities()).expect("it fits");
        let mut store = Store::new(gpu);
        let session = Session::new(gpu, plan, &mut store).expect("it fits");
        let names: Vec<String> =
            ["p".to_string()].into_iter().chain(state.iter().map(|kind| format!("optimizer.{kind}.p"))).collect();
        let kept = || names.iter().map(|name| store.read(name).expect("it is kept").data).collect::<Vec<_>>();

        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut draw = |size: f32| Fill::Uniform(-size, size).draw(ELEMENTS, &mut random);
        let start = draw(0.1);
        store.write("p", &start).expect("it fits");
        let mut elements: Vec<Element> = start.iter().map(|&p| [f64::from(p), 0.0, 0.0]).collect();
        for step in 1..=20 {
            let learning_rate = if step < 10 { 1e-3 } else { 1e-4 };
            let gradients = draw(0.01);
            session.write(gradient, &gradients).expect("it fits");
            session.write(hyper, &optimizer.hyper(step, learning_rate)).expect("it fits");
            session.run().expect("the device works");
            for (element, &g) in elements.iter_mut().zip(&gradients) {
                exact(element, f64::from(g), step, learning_rate);
            }
        }
        let found = kept();
        for (number, (name, found)) in names.iter().zip(&found).enumerate() {
            let expected: Vec<f64> = elements.iter().map(|element| element[number]).collect();
            let error = relative_norm(found, &expected);
            assert!(error <= 1e-6, "{name} on {}: {error:e}", gpu.report().name);
        }
        // As after an overflow: see ops/loss_scale.rs.
        session.write(gradient, &[f32::INFINITY; ELEMENTS]).expect("it fits");
        session.write(hyper, &[1.0_f32, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0]).expect("it fits");
        session.run().expect("the device works");
        assert_eq!(kept(), found, "{names:?} on {}", gpu.report().name);
    }
}
