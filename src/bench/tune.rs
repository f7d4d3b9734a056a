//! Choosing kernels by measuring: which variant of each workload is fastest on this adapter.
//!
//! Operators put the variant first that their rules prefer. [`tune`] measures the others beside it, once for each
//! distinct workload, and keeps what was fastest in [`Choices`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::measure::{seconds_a_run, session};
use crate::gpu::Gpu;
use crate::graph::{Choices, GraphError, Plan, Workload};
use crate::ir::Accuracy;

/// What one case gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tuned {
    /// The case.
    pub case: String,
    /// Seconds of each variant that was measured, the operator's own choice first.
    pub seconds: Vec<(String, f64)>,
    /// The operator's own choice, or the fastest where that is clearly faster.
    pub chosen: String,
}

/// Measures the distinct cases of the plans that have a choice and are not in `choices` yet, until `budget` is used up;
/// what is left keeps the operators' rules.
///
/// Plain kernels do not take part: they are there to be read and to test against, and may take a thousand times as long.
/// Nor do those of [`Accuracy::Reduced`]. Once a variant takes four times as long as the fastest, those that the
/// rules put after it are left out.
///
/// # Errors
/// What the device reports.
pub fn tune(
    gpu: &Arc<Gpu>,
    plans: &[&Plan],
    choices: &mut Choices,
    budget: Duration,
    mut progress: impl FnMut(usize, usize, &str),
) -> Result<Vec<Tuned>, GraphError> {
    const SAMPLES: usize = 3;
    const LEAST: Duration = Duration::from_millis(5);
    /// Another variant must take less than this part of the time of the operator's own choice; the rest is noise.
    const CLEARLY: f64 = 0.95;
    /// One that takes so many times the time of the fastest is made for other kinds of adapters, as are those after it.
    const HOPELESS: f64 = 4.0;
    let start = Instant::now();
    choices.adapter = gpu.describe();
    let mut cases: BTreeMap<String, Workload> = BTreeMap::new();
    for plan in plans {
        cases.extend(plan.steps.iter().map(|step| plan.workload(step)).map(|workload| (workload.key(), workload)));
    }
    cases.retain(|key, _| !choices.variants.contains_key(key));
    let mut tuned = Vec::new();
    let count = cases.len();
    for (number, (case, workload)) in cases.into_iter().enumerate() {
        let variants = workload.variants(gpu.capabilities())?;
        let tuned_ones =
            variants.iter().enumerate().filter(|(_, it)| it.name != "plain" && it.accuracy != Accuracy::Reduced);
        let candidates: Vec<usize> = tuned_ones.map(|(number, _)| number).collect();
        if candidates.len() < 2 {
            continue;
        }
        if start.elapsed() > budget {
            break;
        }
        progress(number, count, &case);
        let mut seconds = Vec::with_capacity(candidates.len());
        let mut least = f64::INFINITY;
        for number in candidates {
            let session = session(gpu, &workload, number)?;
            let time = seconds_a_run(gpu, &session, SAMPLES, LEAST)?;
            seconds.push((variants[number].name.to_string(), time));
            if time > HOPELESS * least {
                break;
            }
            least = least.min(time);
        }
        let Some(fastest) = seconds.iter().min_by(|a, b| a.1.total_cmp(&b.1)) else { continue };
        let chosen = if fastest.1 < CLEARLY * seconds[0].1 { fastest.0.clone() } else { seconds[0].0.clone() };
        choices.variants.insert(case.clone(), chosen.clone());
        tuned.push(Tuned { case, seconds, chosen });
    }
    Ok(tuned)
}
