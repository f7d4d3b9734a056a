//! The trainer of `nn`, with every optimizer and precision, on a network of all its layers.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use ditn::gpu::{AdapterChoice, Gpu};
use ditn::graph::{Choices, Tensor};
use ditn::ir::{Capabilities, ShapeError, ValueId};
use ditn::nn::{
    BatchNormLayer, Conv2dLayer, LinearLayer, Mode, Network, NetworkError, Optimizer, Pool2d, Precision, Trainer,
    Training, TrainingStep,
};
use ditn::ops::adam::AdamSettings;
use ditn::ops::adamw::AdamWSettings;
use ditn::ops::rmsprop::RmsPropSettings;
use ditn::ops::sgd::SgdSettings;

const BATCH: usize = 6;

fn gpu() -> &'static Arc<Gpu> {
    static GPU: OnceLock<Arc<Gpu>> = OnceLock::new();
    GPU.get_or_init(|| Gpu::open(&AdapterChoice::default()).expect("an adapter: run tools/setup.sh"))
}

/// `[N, 3, 8, 8]` -> logits `[N, 5]`, through every kind of layer.
fn network(net: &mut Network, x: ValueId) -> Result<ValueId, ShapeError> {
    let x = net.conv2d("conv", x, Conv2dLayer::new(8, 3).stride(2).bias())?;
    let x = net.batch_norm("bn", x, BatchNormLayer::new())?;
    let x = net.relu(x)?;
    let low = net.avg_pool2d(x, Pool2d::new(2))?;
    let low = net.upsample(low, 2)?;
    let x = net.add(x, low)?;
    let x = net.conv_transpose2d("deconv", x, Conv2dLayer::new(4, 4).stride(2).padding(1))?;
    let x = net.max_pool2d(x, Pool2d::new(3).stride(2).padding(1))?;
    let mean = net.global_average_pool(x)?;
    let mean = net.flatten(mean)?;
    let x = net.flatten(x)?;
    let x = net.linear("wide", x, LinearLayer::new(5).no_bias())?;
    let mean = net.linear("narrow", mean, LinearLayer::new(5))?;
    net.add(x, mean)
}

/// A network in training, and its batch uploaded.
struct Run {
    trainer: Trainer,
    logits: ValueId,
}

fn pictures() -> Vec<f32> {
    (0..BATCH * 3 * 64).map(|number| (number as f32 * 0.7).sin()).collect()
}

fn step(optimizer: Optimizer, precision: Precision, seed: u64) -> Result<(TrainingStep, [ValueId; 3]), ShapeError> {
    let mut net = Network::new(Mode::Training);
    let (x, labels) = (net.input("x", [BATCH, 3, 8, 8]), net.input("labels", [BATCH]));
    let logits = network(&mut net, x)?;
    let loss = net.softmax_cross_entropy(logits, labels)?;
    let training = Training::minimize(loss).keep(&[logits]).optimizer(optimizer).precision(precision).seed(seed);
    Ok((TrainingStep::new(net, training)?, [x, labels, logits]))
}

fn start(optimizer: Optimizer, precision: Precision, seed: u64) -> Run {
    let (step, [x, labels, logits]) = step(optimizer, precision, seed).expect("the shapes fit");
    let trainer = Trainer::with_choices(gpu(), step, &Choices::default()).expect("it fits");
    trainer.write(x, &pictures()).expect("it fits");
    trainer.write(labels, &[0_u32, 1, 2, 3, 4, 0]).expect("it fits");
    Run { trainer, logits }
}

fn steps(trainer: &mut Trainer, count: usize) -> Vec<f32> {
    (0..count).map(|_| trainer.step(0.01).expect("the device works")).collect()
}

fn ways() -> Vec<(Optimizer, Precision)> {
    let optimizers = [
        AdamWSettings::default().into(),
        AdamSettings::default().into(),
        RmsPropSettings::default().into(),
        Optimizer::from(SgdSettings::default()),
    ];
    let precisions = [Precision::F32, Precision::F16];
    let all = optimizers.into_iter().flat_map(|optimizer| precisions.map(|precision| (optimizer, precision)));
    all.filter(|&(_, precision)| precision == Precision::F32 || gpu().capabilities().shader_f16).collect()
}

#[test]
fn every_optimizer_and_precision_brings_the_loss_down() {
    for (optimizer, precision) in ways() {
        let Run { mut trainer, .. } = start(optimizer, precision, 1);
        let losses = steps(&mut trainer, 40);
        assert!(losses[39] < 0.5 * losses[0], "{optimizer:?}, {precision:?}: {losses:?}");
        let scale = trainer.loss_scale().expect("the device works");
        assert_eq!(scale.is_some(), precision == Precision::F16);
        assert_eq!(trainer.steps(), 40);
    }
}

#[test]
fn a_restored_trainer_takes_the_same_steps_to_the_bit() {
    for (optimizer, precision) in ways() {
        let mut first = start(optimizer, precision, 1).trainer;
        steps(&mut first, 3);
        let state = first.state().expect("the device works");
        let expected = steps(&mut first, 3);

        let mut second = start(optimizer, precision, 2).trainer;
        assert_ne!(steps(&mut second, 1), expected[..1]);
        second.restore(&state).expect("the state of the same network");
        assert_eq!(second.steps(), 3);
        assert_eq!(steps(&mut second, 3), expected, "{optimizer:?}, {precision:?}");
    }
}

#[test]
fn all_gradients_of_a_step_can_be_read_in_one_flat_value() {
    let rate = 0.25;
    let Run { mut trainer, .. } = start(SgdSettings::default().into(), Precision::F32, 1);
    let [gradients] = Optimizer::gradients(trainer.plan())[..] else { panic!("the network fits one chunk") };
    let before = trainer.state().expect("the device works");
    trainer.step(rate).expect("the device works");
    let (after, flat) = (trainer.state().expect("the device works"), trainer.read(gradients).expect("it is flat"));
    let graph = &trainer.plan().graph;
    // The parameters lie as their gradients do.
    let mut padding = flat.clone();
    for value in graph.parameters().into_iter().map(|id| graph.value(id)) {
        let start = value.part.expect("all parameters are updated").offset;
        let moved = before[&value.name].data.iter().zip(&after[&value.name].data);
        for ((before, after), gradient) in moved.zip(&flat[start..]) {
            assert_eq!(before - rate as f32 * gradient, *after, "{}", value.name);
        }
        padding[start..start + value.shape.elements()].fill(0.0);
    }
    assert!(padding.iter().all(|&gradient| gradient == 0.0) && flat.iter().any(|&gradient| gradient != 0.0));
}

#[test]
fn a_state_names_parameters_statistics_and_what_the_optimizer_keeps() {
    let names = |optimizer: Optimizer| -> Vec<String> {
        let state: BTreeMap<String, Tensor> = start(optimizer, Precision::F32, 1).trainer.state().expect("it works");
        state.into_keys().filter(|name| name.ends_with("step") || name.contains("conv.bias")).collect()
    };
    let adamw = ["conv.bias", "optimizer.m.conv.bias", "optimizer.step", "optimizer.v.conv.bias"];
    assert_eq!(names(AdamWSettings::default().into()), adamw);
    assert_eq!(names(AdamSettings::default().into()), adamw);
    assert_eq!(names(RmsPropSettings::default().into()), ["conv.bias", "optimizer.step", "optimizer.v.conv.bias"]);
    assert_eq!(names(SgdSettings::default().into()), ["conv.bias", "optimizer.momentum.conv.bias", "optimizer.step"]);
}

#[test]
fn an_inference_session_follows_the_weights_in_training() {
    let Run { mut trainer, logits } = start(Optimizer::default(), Precision::F32, 1);
    let mut net = Network::new(Mode::Inference);
    let x = net.input("x", [BATCH, 3, 8, 8]);
    let output = network(&mut net, x).expect("the shapes fit");
    let session = trainer.inference(net, &[output]).expect("it fits");
    session.write(x, &pictures()).expect("it fits");
    let infer = || {
        session.run().expect("the device works");
        session.read(output).expect("it is an output")
    };
    let before = infer();
    steps(&mut trainer, 200);
    let after = infer();
    assert_ne!(before, after);
    // By now the running statistics are those of the one batch that there is.
    let trained = trainer.read(logits).expect("it is kept");
    let largest = trained.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let difference = trained.iter().zip(&after).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(difference < 0.05 * largest, "{trained:?} in training, {after:?} in inference");
}

#[test]
fn a_weighted_sum_of_losses_is_minimised() {
    let losses = |weight: f32| {
        let mut net = Network::new(Mode::Training);
        let (x, labels) = (net.input("x", [2, 3]), net.input("labels", [2]));
        let logits = net.linear("linear", x, LinearLayer::new(2)).expect("the shapes fit");
        let loss = net.softmax_cross_entropy(logits, labels).expect("the shapes fit");
        let again = net.softmax_cross_entropy(logits, labels).expect("the shapes fit");
        let training = Training::minimize(loss).plus(again, weight).optimizer(SgdSettings::default());
        let mut trainer = Trainer::new(gpu(), net, training).expect("it fits");
        trainer.write(x, &[1.0_f32, 2.0, 3.0, -1.0, 0.5, 0.0]).expect("it fits");
        trainer.write(labels, &[0_u32, 1]).expect("it fits");
        [trainer.step(0.1).expect("the device works"), trainer.step(0.1).expect("the device works")]
    };
    // The same loss twice, once with weight w, is 1 + w times the loss.
    let (once, thrice) = (losses(0.0), losses(2.0));
    assert!((thrice[0] - 3.0 * once[0]).abs() < 1e-6 * thrice[0]);
    assert!(thrice[1] / 3.0 < once[1] && once[1] < once[0]);
}

#[test]
fn a_step_is_planned_without_a_device_and_f16_needs_an_adapter_that_has_it() {
    let capabilities = Capabilities { shader_f16: false, ..gpu().capabilities().clone() };
    let plan = |precision| {
        let (step, _) = step(Optimizer::default(), precision, 0).expect("the shapes fit");
        step.plan(&capabilities, &Choices::default())
    };
    assert!(plan(Precision::F32).is_ok_and(|plan| plan.overwrites()));
    assert!(matches!(plan(Precision::F16), Err(NetworkError::NoF16)));
}

/// The step of a network whose convolution is frozen or not, with its inputs.
fn half_frozen(frozen: bool, precision: Precision) -> (TrainingStep, [ValueId; 2]) {
    let mut net = Network::new(Mode::Training);
    let (x, labels) = (net.input("x", [BATCH, 3, 8, 8]), net.input("labels", [BATCH]));
    let body = |net: &mut Network| {
        let x = net.conv2d("conv", x, Conv2dLayer::new(8, 3))?;
        let x = net.batch_norm("bn", x, BatchNormLayer::new())?;
        net.relu(x)
    };
    let features = if frozen { net.frozen(body) } else { body(&mut net) }.expect("the shapes fit");
    assert_eq!(net.mode(), Mode::Training);
    let features = net.conv2d("head", features, Conv2dLayer::new(4, 3)).expect("the shapes fit");
    let features = net.batch_norm("head_bn", features, BatchNormLayer::new()).expect("the shapes fit");
    let features = net.flatten(features).expect("the shapes fit");
    let logits = net.linear("linear", features, LinearLayer::new(5)).expect("the shapes fit");
    let loss = net.softmax_cross_entropy(logits, labels).expect("the shapes fit");
    (TrainingStep::new(net, Training::minimize(loss).precision(precision)).expect("the heads learn"), [x, labels])
}

#[test]
fn a_frozen_part_stays_to_the_bit_while_the_rest_learns_and_has_no_optimizer() {
    for precision in ways().into_iter().map(|(_, precision)| precision) {
        let (step, [x, labels]) = half_frozen(true, precision);
        let mut trainer = Trainer::with_choices(gpu(), step, &Choices::default()).expect("it fits");
        trainer.write(x, &pictures()).expect("it fits");
        trainer.write(labels, &[0_u32, 1, 2, 3, 4, 0]).expect("it fits");
        let before = trainer.state().expect("the device works");
        let losses = steps(&mut trainer, 40);
        assert!(losses[39] < 0.5 * losses[0], "{precision:?}: {losses:?}");
        let after = trainer.state().expect("the device works");
        for (name, tensor) in before.iter().filter(|(name, _)| !name.starts_with("optimizer.")) {
            let is_frozen = name.starts_with("conv.") || name.starts_with("bn.");
            assert_eq!(tensor == &after[name], is_frozen, "{precision:?}: {name}");
        }
        assert!(after.contains_key("optimizer.m.head.weight") && !after.contains_key("optimizer.m.conv.weight"));
        assert_eq!(trainer.parameters(), 4 * 8 * 9 + 4 + 4 + 4 * 64 * 5 + 5);
    }
}

#[test]
fn the_step_of_a_frozen_part_is_shorter_and_of_nothing_else_is_refused() {
    let plan = |frozen| {
        let (step, _) = half_frozen(frozen, Precision::F32);
        step.plan(gpu().capabilities(), &Choices::default()).expect("it fits")
    };
    let (frozen, whole) = (plan(true), plan(false));
    assert!(frozen.slot_bytes() < whole.slot_bytes());
    let backward = |plan: &ditn::graph::Plan| {
        plan.steps
            .iter()
            .filter(|step| step.node.name.starts_with("conv:") || step.node.name.starts_with("bn:"))
            .count()
    };
    assert_eq!(backward(&frozen), 0);
    assert!(backward(&whole) > 0);

    let mut net = Network::new(Mode::Training);
    let (x, labels) = (net.input("x", [BATCH, 4]), net.input("labels", [BATCH]));
    let logits = net.frozen(|net| net.linear("linear", x, LinearLayer::new(5))).expect("the shapes fit");
    let loss = net.softmax_cross_entropy(logits, labels).expect("the shapes fit");
    let refused = TrainingStep::new(net, Training::minimize(loss).precision(Precision::F16)).err();
    assert!(refused.is_some_and(|error| error.to_string().contains("depend on no parameter")));
}
