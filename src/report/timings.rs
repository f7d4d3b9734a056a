//! What is fast: ceilings, kernels, networks, tuning.

use std::time::{Duration, Instant};

use super::attempt::Failure;
use super::context::{Context, NO_TIME};
use super::document::Event;
use super::estimate::{Estimates, free_memory};
use super::rows::{Kernels, StepKernel, Storage, TimedNetwork, TunedCase};
use crate::bench::{BenchError, Ceiling, NetworkRun, Settings, ceiling, kernel_cases, time_network, tune};
use crate::data::Size;
use crate::gpu::{Gpu, GpuError};
use crate::graph::{Choices, GraphError, PlanError, SessionError};
use crate::nn::NetworkError;

/// The network whose step is taken apart and tuned.
const DITN: &str = "ditn-w32";
/// The networks that are measured.
const NETWORKS: [&str; 2] = [DITN, "hrnet-w32"];
/// Height and width of their input.
const SIZE: Size = Size { height: 256, width: 256 };
/// Training or not, and pictures, the most telling first.
const RUNS: [(bool, usize); 5] = [(false, 1), (true, 2), (false, 8), (true, 32), (false, 32)];
/// Kernels of the step, those that should take the longest.
const TOP: usize = 30;
/// Measurements of which the median counts.
const SAMPLES: usize = 5;
/// The part of its time that tuning may measure kernels for; the rest is for the networks before and after.
const TUNING: f64 = 0.5;

/// The adapter's ceilings.
pub(super) fn ceilings(context: &mut Context) -> Result<(), Failure> {
    context.each(
        &["fused multiply-adds and a copy"],
        |piece| piece.to_string(),
        |context, _| {
            let found = ceiling(&context.gpu()?, SAMPLES)?;
            context.say(Event::Ceiling(found));
            Ok(())
        },
    )
}

/// Pictures of a training step that suit the adapter.
fn batch_of(gpu: &Gpu) -> usize {
    if gpu.capabilities().is_cpu { 2 } else { 32 }
}

/// The kernels of DITN-W32's training step by the operators' own choice.
pub(super) fn step(context: &mut Context) -> Result<(), Failure> {
    if context.left().is_zero() {
        context.say(Event::skipped(DITN, NO_TIME));
        return Ok(());
    }
    let ceiling = ceiling(&context.gpu()?, 1)?;
    let mut pieces = Vec::new();
    for storage in context.storages()? {
        let gpu = context.gpu_for(storage)?;
        let settings = Settings {
            models: vec![DITN.to_owned()],
            size: SIZE,
            batch: batch_of(&gpu),
            precision: storage.precision(),
            operator: None,
            case: None,
            top: TOP,
            all_variants: false,
            networks: false,
            samples: SAMPLES,
        };
        let cases = kernel_cases(gpu.capabilities(), &settings, &Choices::default(), &ceiling)?;
        pieces.extend(cases.into_iter().map(|case| (storage, settings.batch, case)));
    }
    context.each(
        &pieces,
        |(storage, _, case)| format!("{} ({})", case.describe(), storage.name()),
        |context, (storage, batch, case)| {
            let time = case.time(&context.gpu_for(*storage)?, 0, SAMPLES, &ceiling)?;
            context.say(Event::Step(StepKernel { storage: *storage, batch: *batch, time }));
            Ok(())
        },
    )
}

/// A run of a network in words.
fn describe(run: &NetworkRun, storage: Storage) -> String {
    let pass = if run.train { "training" } else { "inference" };
    format!("{} {pass} batch {}, {}", run.name, run.batch, storage.name())
}

/// Whole networks, each where there is time and memory for it.
pub(super) fn networks(context: &mut Context) -> Result<(), Failure> {
    if context.left().is_zero() {
        context.say(Event::skipped("all networks", NO_TIME));
        return Ok(());
    }
    let storages = context.storages()?;
    let mut pieces = Vec::new();
    for (train, batch) in RUNS {
        for &storage in &storages {
            for name in NETWORKS {
                let precision = storage.precision();
                pieces.push((storage, NetworkRun { name: name.to_owned(), size: SIZE, train, batch, precision }));
            }
        }
    }
    let ceiling = ceiling(&context.gpu()?, 1)?;
    let mut estimates = Estimates::default();
    context.each(
        &pieces,
        |(storage, run)| describe(run, *storage),
        |context, (storage, run)| {
            measure(context, *storage, run, &Choices::default(), Kernels::Default, &ceiling, &mut estimates)
        },
    )
}

/// Measures a run where there is time and memory for it, and notes why not where there is not.
fn measure(
    context: &mut Context,
    storage: Storage,
    run: &NetworkRun,
    choices: &Choices,
    kernels: Kernels,
    ceiling: &Ceiling,
    estimates: &mut Estimates,
) -> Result<(), Failure> {
    let what = describe(run, storage);
    let left = context.left();
    let gpu = context.gpu_for(storage)?;
    let samples = estimates.samples(run, storage, SAMPLES, gpu.capabilities().is_cpu);
    if let Some(needed) = estimates.whole(run, storage, samples).filter(|needed| *needed > left) {
        let (needed, left) = (needed.as_secs_f64(), left.as_secs_f64());
        let why = format!("it would take about {needed:.0} s, of which {left:.0} s are left; --minutes gives more");
        context.say(Event::skipped(what, why));
        return Ok(());
    }
    let start = Instant::now();
    let plan = run.plan(gpu.capabilities(), choices).map(|plan| plan.total_bytes());
    if let (Ok(bytes), Some(free)) = (&plan, free_memory(gpu.capabilities()))
        && *bytes > free
    {
        let why = format!("it needs {} MiB, and {} MiB of memory are free", bytes >> 20, free >> 20);
        context.say(Event::skipped(what, why));
        return Ok(());
    }
    match plan.and_then(|_| time_network(&gpu, run, choices, samples, ceiling)) {
        Ok(time) => {
            estimates.add(run, storage, time.seconds, samples, start.elapsed());
            context.say(Event::Network(TimedNetwork { storage, kernels, time }));
            Ok(())
        }
        Err(error) if is_too_large(&error) => {
            context.say(Event::skipped(what, error.to_string()));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a run failed for want of memory alone.
fn is_too_large(error: &BenchError) -> bool {
    let of_gpu = |error: &GpuError| matches!(error, GpuError::OutOfMemory { .. } | GpuError::BindingTooLarge { .. });
    let of_session = |error: &SessionError| matches!(error, SessionError::Gpu(error) if of_gpu(error));
    match error {
        BenchError::Kernel(GraphError::Session(error)) | BenchError::Network(NetworkError::Session(error)) => {
            of_session(error)
        }
        BenchError::Kernel(GraphError::Plan(error)) | BenchError::Network(NetworkError::Plan(error)) => {
            matches!(error, PlanError::BindingTooLarge { .. })
        }
        _ => false,
    }
}

/// DITN-W32 before and after each of its kernels was measured in all its variants. The user's own choices stay as they are.
pub(super) fn tuning(context: &mut Context) -> Result<(), Failure> {
    if context.left().is_zero() {
        context.say(Event::skipped(DITN, NO_TIME));
        return Ok(());
    }
    let ceiling = ceiling(&context.gpu()?, 1)?;
    let mut estimates = Estimates::default();
    let storages = context.storages()?;
    let mut remaining = storages.len() as f64;
    context.each(
        &storages,
        |storage| format!("{DITN}, {}", storage.name()),
        |context, &storage| {
            let budget = context.left().mul_f64(TUNING / remaining);
            remaining -= 1.0;
            tune_storage(context, storage, budget, &ceiling, &mut estimates)
        },
    )
}

/// The same for tensors that are stored so; variants are measured for `budget`.
fn tune_storage(
    context: &mut Context,
    storage: Storage,
    budget: Duration,
    ceiling: &Ceiling,
    estimates: &mut Estimates,
) -> Result<(), Failure> {
    let gpu = context.gpu_for(storage)?;
    let precision = storage.precision();
    let run = |(train, batch)| NetworkRun { name: DITN.to_owned(), size: SIZE, train, batch, precision };
    let runs = [(false, 1), (true, batch_of(&gpu))].map(run);
    let mut choices = Choices::default();
    for run in &runs {
        context.say(Event::Next { what: format!("{}, before", describe(run, storage)), done: 0, total: 0 });
        measure(context, storage, run, &choices, Kernels::BeforeTuning, ceiling, estimates)?;
    }
    let plans = runs.iter().map(|run| run.plan(gpu.capabilities(), &choices)).collect::<Result<Vec<_>, _>>()?;
    let plans: Vec<_> = plans.iter().collect();
    let tuned = tune(&gpu, &plans, &mut choices, budget.min(context.left()), |done, total, case| {
        context.say(Event::Next { what: format!("{case}, {}", storage.name()), done, total });
    })?;
    for case in tuned {
        context.say(Event::Tuned(TunedCase::from(case)));
    }
    for run in runs.iter().filter(|_| !choices.variants.is_empty()) {
        context.say(Event::Next { what: format!("{}, tuned", describe(run, storage)), done: 0, total: 0 });
        measure(context, storage, run, &choices, Kernels::Tuned, ceiling, estimates)?;
    }
    Ok(())
}
