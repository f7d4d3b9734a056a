//! How long one variant of one workload takes on a device.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::gpu::Gpu;
use crate::graph::{GraphError, Plan, Session, SessionError, Store, Workload};
use crate::ops::Fill;

/// Variant number `number` of a workload with inputs uniform in [-1, 1], ready to run.
///
/// # Errors
/// [`GraphError`] where the operator does not take the shapes, they do not fit the device, or the device fails.
pub fn session(gpu: &Arc<Gpu>, workload: &Workload, number: usize) -> Result<Session, GraphError> {
    let (graph, inputs, outputs) = workload.graph()?;
    let plan = Plan::with_variants(graph, &outputs, gpu.capabilities(), |_, _, mut variants| {
        let number = number.min(variants.len() - 1);
        variants.swap_remove(number)
    })?;
    let session = Session::new(gpu, plan, &mut Store::new(gpu))?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for (input, shape) in inputs.into_iter().zip(&workload.inputs) {
        session.upload(input, &Fill::Uniform(-1.0, 1.0).draw(shape.elements(), &mut random))?;
    }
    Ok(session)
}

/// The names of all variants that operators have on a device, at the shapes of [`cases`](crate::ops::cases).
///
/// # Errors
/// [`GraphError`] where an operator does not take its own cases.
pub fn variant_names(gpu: &Gpu) -> Result<BTreeSet<&'static str>, GraphError> {
    let mut names = BTreeSet::new();
    for case in crate::ops::cases() {
        let inputs = case.inputs.into_iter().map(|(shape, _)| shape).collect();
        let variants = Workload::of_operator(case.operator, inputs).variants(gpu.capabilities())?;
        names.extend(variants.into_iter().map(|variant| variant.name));
    }
    Ok(names)
}

/// Seconds that one run of a session takes: the median of `samples` measurements, each of as many runs in a row as fill
/// `least`, after one run that is not counted.
///
/// # Errors
/// What the device reports.
pub fn seconds_a_run(gpu: &Arc<Gpu>, session: &Session, samples: usize, least: Duration) -> Result<f64, GraphError> {
    let time = |runs: u32| -> Result<f64, GraphError> {
        let start = Instant::now();
        for _ in 0..runs {
            session.run()?;
        }
        gpu.wait().map_err(SessionError::from)?;
        Ok(start.elapsed().as_secs_f64() / f64::from(runs))
    };
    // The first run compiles and pages in.
    time(1)?;
    let once = time(1)?;
    let runs = (least.as_secs_f64() / once.max(1e-9)).ceil().clamp(1.0, 1000.0) as u32;
    let mut seconds = (0..samples.max(1)).map(|_| time(runs)).collect::<Result<Vec<_>, _>>()?;
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}
