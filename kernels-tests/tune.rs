//! Choosing variants by measuring: that a choice is made, and that plans go by it.

use std::time::Duration;

use ditn::bench::tune;
use ditn::graph::Choices;
use ditn::graph::Plan;
use ditn::ir::{Graph, ValueId};
use ditn::ops::Epilogue;
use ditn::ops::batch_norm::BatchNorm;
use ditn::ops::conv2d::Conv2d;

use crate::harness::gpus;

fn network() -> (Graph, [ValueId; 1]) {
    let mut graph = Graph::new();
    let x = graph.input("x", [1, 8, 16, 16]);
    let weight = graph.input("weight", [16, 8, 3, 3]);
    let [gamma, beta] = ["gamma", "beta"].map(|name| graph.input(name, [16]));
    let conv = Conv2d { stride: [1; 2], padding: [1; 2], groups: 1, bias: false, epilogue: Epilogue::NONE };
    let y = graph.apply_one(conv, &[x, weight]).expect("the shapes fit");
    let norm = BatchNorm { eps: 1e-5, epilogue: Epilogue::NONE };
    let y = graph.apply(norm, &[y, gamma, beta]).expect("the shapes fit")[0];
    (graph, [y])
}

#[test]
fn what_is_fastest_is_chosen_once_and_then_used() {
    for gpu in gpus() {
        let (graph, outputs) = network();
        let plan = Plan::new(graph.clone(), &outputs, gpu.capabilities()).expect("it fits");
        let mut choices = Choices::default();
        let measured = tune(gpu, &[&plan], &mut choices, Duration::from_secs(60), |_, _, _| {}).expect("a device");
        assert!(!measured.is_empty(), "nothing was measured");
        assert_eq!(measured.len(), choices.variants.len());
        for case in &measured {
            let own = case.seconds[0].1;
            let chosen = case.seconds.iter().find(|(name, _)| *name == case.chosen).expect("one of them").1;
            assert!(case.seconds.iter().all(|(_, seconds)| chosen <= *seconds || *seconds >= 0.95 * own), "{case:?}");
            // Winograd is coarse in a forward pass whose weight changes.
            let never = ["plain", "winograd"];
            assert!(case.seconds.len() > 1 && case.seconds.iter().all(|(name, _)| !never.contains(&name.as_str())));
        }
        let again = tune(gpu, &[&plan], &mut choices, Duration::from_secs(60), |_, _, _| {}).expect("a device");
        assert!(again.is_empty(), "{again:?}");
        for chosen in choices.variants.values_mut() {
            *chosen = "plain".to_string();
        }
        let chosen = Plan::with_choices(graph, &outputs, gpu.capabilities(), &choices).expect("it fits");
        let plain = chosen.steps.iter().filter(|step| step.variant.name == "plain").count();
        assert!(plain >= choices.variants.len(), "{}", chosen.describe());
    }
}

#[test]
fn without_time_the_rules_hold() {
    let gpu = &gpus()[0];
    let (graph, outputs) = network();
    let plan = Plan::new(graph, &outputs, gpu.capabilities()).expect("it fits");
    let mut choices = Choices::default();
    std::thread::sleep(Duration::from_millis(1));
    let measured = tune(gpu, &[&plan], &mut choices, Duration::ZERO, |_, _, _| {}).expect("a device");
    assert!(measured.is_empty() && choices.variants.is_empty());
}
