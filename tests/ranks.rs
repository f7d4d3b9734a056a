//! Steps of several micro-batches: one after the other, on ranks at the same time, with statistics of their own and of all.

#[path = "common/threads.rs"]
mod threads;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use ditn::data::Place;
use ditn::gpu::{AdapterChoice, Gpu};
use ditn::graph::{Choices, Tensor};
use ditn::ir::ValueId;
use ditn::nn::{
    BatchNormLayer, Conv2dLayer, LinearLayer, Mode, Network, NetworkError, Optimizer, Precision, Spread, Trainer,
    Training, TrainingStep,
};
use ditn::ops::adam::AdamSettings;
use ditn::ops::adamw::AdamWSettings;
use ditn::ops::rmsprop::RmsPropSettings;
use ditn::ops::sgd::SgdSettings;
use ditn::ranks::{Alone, Communicator};
use ditn::train::config;
use ditn::train::people::People;
use ditn::train::step as pose;

use threads::on_ranks;

const STEPS: usize = 3;
const ALONE: Spread = Spread { accumulate: 1, ranks: 1, sync_batch_norm: false };

type State = BTreeMap<String, Tensor>;

fn gpu() -> &'static Arc<Gpu> {
    static GPU: OnceLock<Arc<Gpu>> = OnceLock::new();
    GPU.get_or_init(|| Gpu::open(&AdapterChoice::default()).expect("an adapter: run tools/setup.sh"))
}

/// A residual network whose normalisations follow convolutions, another normalisation and, one of them, an addition that is
/// read twice; more elements a channel than a kernel reduces at a time.
fn step(batch: usize, training: impl Fn(Training) -> Training) -> (TrainingStep, [ValueId; 2]) {
    let mut net = Network::new(Mode::Training);
    let (pictures, labels) = (net.input("pictures", [batch, 3, 96, 96]), net.input("labels", [batch]));
    let mut build = || {
        let x = net.conv2d("conv1", pictures, Conv2dLayer::new(6, 3).padding(1))?;
        let x = net.batch_norm("bn1", x, BatchNormLayer::new())?;
        let x = net.relu(x)?;
        let y = net.conv2d("conv2", x, Conv2dLayer::new(6, 3).padding(1))?;
        let y = net.batch_norm("bn2", y, BatchNormLayer::new())?;
        let x = net.add(y, x)?;
        let x = net.relu(x)?;
        let x = net.batch_norm("bn3", x, BatchNormLayer::new())?;
        let x = net.conv2d("conv3", x, Conv2dLayer::new(70, 3).stride(2).padding(1))?;
        let x = net.batch_norm("bn4", x, BatchNormLayer::new())?;
        let x = net.relu(x)?;
        let x = net.global_average_pool(x)?;
        let x = net.flatten(x)?;
        let x = net.linear("out", x, LinearLayer::new(5))?;
        net.softmax_cross_entropy(x, labels)
    };
    let loss = build().expect("the shapes fit");
    let step = TrainingStep::new(net, training(Training::minimize(loss).seed(4))).expect("it has gradients");
    (step, [pictures, labels])
}

/// The pictures and labels of micro-batch number `number` of a run.
fn micro_batch(number: usize, batch: usize) -> (Vec<f32>, Vec<u32>) {
    let words = 3 * 96 * 96;
    let first = number * batch * words;
    let pictures =
        (first..first + batch * words).map(|at| ((at % 7919) as f32 * 0.7).sin() + (at / words) as f32 * 0.1);
    (pictures.collect(), (number * batch..(number + 1) * batch).map(|picture| picture as u32 % 5).collect())
}

/// The losses of a rank's micro-batches and the state after three steps of a run of micro-batches of `batch` pictures.
fn run(
    ranks: &Rc<dyn Communicator>,
    spread: Spread,
    batch: usize,
    training: impl Fn(Training) -> Training,
) -> (Vec<f32>, State) {
    let (step, [pictures, labels]) = step(batch, |default| training(default).spread(spread));
    let mut trainer = Trainer::with_ranks(gpu(), step, &Choices::default(), ranks).expect("it fits");
    let mut losses = Vec::new();
    for step in 0..STEPS {
        for turn in 0..spread.accumulate {
            let number = step * spread.micro_batches() + ranks.rank() * spread.accumulate + turn;
            let (words, classes) = micro_batch(number, batch);
            trainer.write(pictures, &words).expect("it fits");
            trainer.write(labels, &classes).expect("it fits");
            losses.push(trainer.step(0.01).expect("the device works"));
        }
    }
    assert_eq!(trainer.steps(), STEPS as u64);
    (losses, trainer.state().expect("the device works"))
}

fn alone(spread: Spread, batch: usize, training: impl Fn(Training) -> Training) -> (Vec<f32>, State) {
    let alone: Rc<dyn Communicator> = Rc::new(Alone);
    run(&alone, spread, batch, training)
}

/// The state after three steps whose micro-batches have these numbers, by step and turn.
fn run_in_order(
    ranks: &Rc<dyn Communicator>,
    spread: Spread,
    batch: usize,
    training: impl Fn(Training) -> Training,
    number: impl Fn(usize, usize) -> usize,
) -> State {
    let (step, [pictures, labels]) = step(batch, |default| training(default).spread(spread));
    let mut trainer = Trainer::with_ranks(gpu(), step, &Choices::default(), ranks).expect("it fits");
    for step in 0..STEPS {
        for turn in 0..spread.accumulate {
            let (words, classes) = micro_batch(number(step, turn), batch);
            trainer.write(pictures, &words).expect("it fits");
            trainer.write(labels, &classes).expect("it fits");
            trainer.step(0.01).expect("the device works");
        }
    }
    trainer.state().expect("the device works")
}

/// Largest difference of two states, relative to the largest number of each tensor.
fn difference(a: &State, b: &State) -> f32 {
    assert!(a.keys().eq(b.keys()));
    let of = |(a, b): (&Tensor, &Tensor)| {
        let largest = b.data.iter().fold(f32::MIN_POSITIVE, |most, x| most.max(x.abs()));
        a.data.iter().zip(&b.data).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / largest
    };
    a.values().zip(b.values()).map(of).fold(0.0, f32::max)
}

fn ways() -> Vec<(Optimizer, Precision)> {
    let optimizers: [Optimizer; 4] = [
        AdamWSettings::default().into(),
        AdamSettings::default().into(),
        RmsPropSettings::default().into(),
        SgdSettings::default().into(),
    ];
    let mut ways: Vec<_> = optimizers.into_iter().map(|optimizer| (optimizer, Precision::F32)).collect();
    if gpu().capabilities().shader_f16 {
        ways.push((AdamWSettings::default().into(), Precision::F16));
    }
    ways
}

#[test]
fn ranks_compute_what_one_process_accumulates_to_the_bit() {
    for (optimizer, precision) in ways() {
        let training = |training: Training| training.optimizer(optimizer).precision(precision);
        for size in [2, 3, 4] {
            let (losses, state) = alone(Spread { accumulate: size, ..ALONE }, 2, training);
            let of_ranks = on_ranks(size, |ranks| run(&ranks, Spread { ranks: size, ..ALONE }, 2, training));
            for (rank, (own, of_rank)) in of_ranks.into_iter().enumerate() {
                assert_eq!(of_rank, state, "{optimizer:?} {precision:?}, rank {rank} of {size}");
                let expected: Vec<f32> = losses.iter().skip(rank).step_by(size).copied().collect();
                assert_eq!(own, expected, "{optimizer:?} {precision:?}, rank {rank} of {size}");
            }
        }
    }
}

#[test]
fn ranks_that_accumulate_end_with_one_state() {
    let spread = Spread { accumulate: 2, ranks: 2, sync_batch_norm: false };
    let of_ranks = on_ranks(2, |ranks| run(&ranks, spread, 2, |training| training));
    assert_eq!(of_ranks[0].1, of_ranks[1].1);
    let (_, state) = alone(Spread { accumulate: 4, ..ALONE }, 2, |training| training);
    // (a + b) + (c + d) is not ((a + b) + c) + d to the bit.
    let found = difference(&of_ranks[0].1, &state);
    assert!(found < 1e-3, "{found}");
}

#[test]
fn with_synchronised_statistics_ranks_compute_what_one_process_does_with_all_their_pictures() {
    let sgd = |training: Training| training.optimizer(SgdSettings { momentum: 0.9, weight_decay: 1e-4 });
    let whole = alone(ALONE, 6, sgd).1;
    for size in [2, 3] {
        let sync = Spread { ranks: size, sync_batch_norm: true, ..ALONE };
        let of_ranks = on_ranks(size, |ranks| run(&ranks, sync, 6 / size, sgd));
        assert!(of_ranks.iter().all(|(_, state)| *state == of_ranks[0].1), "all ranks have one state");
        let found = difference(&of_ranks[0].1, &whole);
        assert!(found < 1e-4, "{size} ranks: {found}");
        let own = on_ranks(size, |ranks| run(&ranks, Spread { sync_batch_norm: false, ..sync }, 6 / size, sgd));
        let without = difference(&own[0].1, &whole);
        assert!(without > 100.0 * found, "{size} ranks: {found} with, {without} without");
    }
}

#[test]
fn synchronised_ranks_that_accumulate_compute_what_one_process_accumulates_with_all_their_pictures() {
    // The others' first steps go by the sign of a gradient, also where it is rounding.
    let by_size = |(optimizer, precision): &(Optimizer, Precision)| {
        matches!(optimizer, Optimizer::Sgd(_)) || *precision == Precision::F16
    };
    for (optimizer, precision) in ways().into_iter().filter(by_size) {
        let training = |training: Training| training.optimizer(optimizer).precision(precision);
        let sync = Spread { accumulate: 2, ranks: 2, sync_batch_norm: true };
        // Micro-batches of one process are those that the ranks compute at the same time.
        let number = |step: usize, turn: usize, rank: usize| 4 * step + 2 * turn + rank;
        let of_ranks =
            on_ranks(2, |ranks| run_in_order(&ranks, sync, 2, training, |step, turn| number(step, turn, ranks.rank())));
        assert_eq!(of_ranks[0], of_ranks[1]);
        let alone: Rc<dyn Communicator> = Rc::new(Alone);
        let spread = Spread { accumulate: 2, ..ALONE };
        let whole = run_in_order(&alone, spread, 4, training, |step, turn| number(step, turn, 0) / 2);
        let found = difference(&of_ranks[0], &whole);
        let allowed = if precision == Precision::F16 { 0.06 } else { 1e-4 };
        assert!(found < allowed, "{optimizer:?} {precision:?}: {found}");
    }
}

#[test]
fn statistics_that_are_updated_twice_a_step_are_refused() {
    let mut net = Network::new(Mode::Training);
    let (x, labels) = (net.input("x", [2, 3, 4, 4]), net.input("labels", [2]));
    let mut build = || {
        let y = net.batch_norm("bn", x, BatchNormLayer::new())?;
        let y = net.batch_norm("bn", y, BatchNormLayer::new())?;
        let y = net.global_average_pool(y)?;
        let y = net.flatten(y)?;
        net.softmax_cross_entropy(y, labels)
    };
    let loss = build().expect("the shapes fit");
    let training = Training::minimize(loss).spread(Spread { accumulate: 2, ..ALONE });
    let error = TrainingStep::new(net, training).err().map(|error| error.to_string()).expect("it is refused");
    assert!(error.contains("'bn.running_mean' is updated twice a step"), "{error}");
}

#[test]
fn one_micro_batch_a_step_is_a_plain_step() {
    let (losses, state) = alone(ALONE, 2, |training| training);
    let (step, inputs) = step(2, |training| training);
    let mut trainer = Trainer::with_choices(gpu(), step, &Choices::default()).expect("it fits");
    for (number, loss) in losses.into_iter().enumerate() {
        let (words, classes) = micro_batch(number, 2);
        trainer.write(inputs[0], &words).expect("it fits");
        trainer.write(inputs[1], &classes).expect("it fits");
        assert_eq!(trainer.step(0.01).expect("the device works"), loss);
    }
    assert_eq!(trainer.state().expect("the device works"), state);
}

#[test]
fn the_mean_of_equal_micro_batches_is_one_of_them() {
    let sgd = |training: Training| training.optimizer(SgdSettings { momentum: 0.0, weight_decay: 0.0 });
    let update = |spread: Spread| {
        let (step, [pictures, labels]) = step(2, |training| sgd(training).spread(spread));
        let mut trainer = Trainer::with_choices(gpu(), step, &Choices::default()).expect("it fits");
        let (words, classes) = micro_batch(0, 2);
        trainer.write(pictures, &words).expect("it fits");
        trainer.write(labels, &classes).expect("it fits");
        for _ in 0..spread.accumulate {
            trainer.step(0.1).expect("the device works");
        }
        trainer.state().expect("the device works")
    };
    let once = update(ALONE);
    // Halves and quarters are exact, and so are sums of equal ones; the third of a running statistic is rounded.
    let difference_of = |accumulate| difference(&update(Spread { accumulate, ..ALONE }), &once);
    assert_eq!([2, 4].map(difference_of), [0.0; 2]);
    let thirds = difference_of(3);
    assert!(thirds < 1e-4, "{thirds}");
}

#[test]
fn what_is_not_finite_on_one_rank_changes_nothing_in_half_precision() {
    if !gpu().capabilities().shader_f16 {
        return;
    }
    let spread = Spread { ranks: 2, ..ALONE };
    on_ranks(2, |ranks| {
        let (step, [pictures, labels]) = step(2, |default| default.precision(Precision::F16).spread(spread));
        let mut trainer = Trainer::with_ranks(gpu(), step, &Choices::default(), &ranks).expect("it fits");
        let before = trainer.state().expect("the device works");
        let (mut words, classes) = micro_batch(0, 2);
        if ranks.rank() == 1 {
            words[5] = f32::INFINITY;
        }
        trainer.write(pictures, &words).expect("it fits");
        trainer.write(labels, &classes).expect("it fits");
        trainer.step(0.1).expect("the device works");
        let scale = trainer.loss_scale().expect("the device works").expect("it has one");
        assert_eq!(scale.skipped_steps, 1);
        let parameters = |state: &State| -> State {
            let all = state.iter().filter(|(name, _)| name.ends_with(".weight") || name.ends_with(".bias"));
            all.map(|(name, tensor)| (name.clone(), tensor.clone())).collect()
        };
        assert_eq!(parameters(&trainer.state().expect("the device works")), parameters(&before));
    });
}

#[test]
fn a_step_for_other_ranks_is_refused() {
    let (step, _) = step(2, |training| training.spread(Spread { ranks: 2, ..ALONE }));
    let refused = Trainer::with_choices(gpu(), step, &Choices::default()).err();
    assert!(matches!(refused, Some(NetworkError::Ranks { expected: 2, given: 1 })), "{refused:?}");
}

#[test]
fn a_loss_that_is_not_finite_on_one_rank_is_known_to_all_with_its_rank_and_pictures() {
    let config = config::embedded().expect("it is valid");
    let config = config::with_overrides(config, &["train.batch=2", "train.size=[64, 64]"].map(String::from));
    let config = config.expect("they are valid");
    let losses = on_ranks(2, |ranks| {
        let people = People::open(&config).expect("synthetic people are always there");
        let model = config.model_config(people.skeleton());
        let step = config.step_config_of(2);
        let mut trainer = pose::Trainer::with_ranks(gpu(), &model, &step, 1, &ranks).expect("it fits");
        let batches = people.training_batches(&config, &*ranks, Place::default()).expect("there are enough");
        let mut losses = Vec::new();
        for (number, batch) in batches.take(2).enumerate() {
            let mut batch = batch.expect("it can be drawn");
            if ranks.rank() == 1 && number == 1 {
                batch.joints[0] = [f32::NAN, 1.0, 1.0];
            }
            trainer.submit(&[batch], 1e-3).expect("the device works");
            losses.extend(trainer.losses(true).expect("the device works"));
        }
        losses
    });
    let pictures = |rank: usize, step: usize| &losses[rank][step].pictures;
    for rank in [0, 1] {
        assert!(losses[rank][0].total.is_finite() && losses[rank][0].not_finite.is_empty());
        assert!(losses[rank][1].total.is_nan());
        assert_eq!(losses[rank][1].not_finite, [1]);
    }
    assert_eq!(losses[0][0].total, losses[1][0].total, "both have the mean loss");
    assert_ne!(pictures(0, 0), pictures(1, 0), "each rank has pictures of its own");
    assert_eq!((pictures(0, 1), pictures(0, 1).len()), (pictures(1, 1), 2), "those of rank 1 are said");
}
