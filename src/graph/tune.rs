//! Choosing kernels by measuring: which variant of each case is fastest on this adapter.
//!
//! Operators put the variant first that their rules prefer. [`tune`] measures the others beside it, once for each
//! distinct case, and keeps what was fastest in [`Choices`], a file by adapter and driver. [`Plan::on`](super::Plan::on)
//! goes by it from then on. The same choices give the same bits; others may round otherwise.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::check::CheckError;
use super::measure::{Isolated, seconds_a_run};
use super::plan::Plan;
use crate::gpu::Gpu;

/// The variant to use, by the case's [`Isolated::key`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// Adapter and driver that they were measured on.
    pub adapter: String,
    /// Name of the variant of each case.
    pub variants: BTreeMap<String, String>,
    /// Name of the variant of every other case that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub everywhere: Option<String>,
}

/// A file of choices that cannot be used.
#[derive(Debug, Error)]
#[error("'{path}' holds no choice of kernels: {reason}; remove it, or run `ditn tune` again")]
pub struct ChoicesError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
}

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

/// Where an adapter's choices are kept: `DITN_CHOICES`, which pins a file, or a name of adapter and driver in the user's
/// cache folder. `None` where there is no such folder, or where `DITN_CHOICES` is empty: the operators' rules then hold.
pub fn choices_path(gpu: &Gpu) -> Option<PathBuf> {
    match std::env::var_os("DITN_CHOICES") {
        Some(path) if path.is_empty() => None,
        Some(path) => Some(path.into()),
        None => gpu.cache_file("choices.json"),
    }
}

impl Choices {
    /// Those kept for this adapter, none where there are none yet.
    ///
    /// # Errors
    /// [`ChoicesError`] where there is a file that cannot be read as such.
    pub fn of(gpu: &Gpu) -> Result<Self, ChoicesError> {
        choices_path(gpu).map_or_else(|| Ok(Self::default()), |path| Self::load(&path))
    }

    /// The variant to use of those with these names, if this says so.
    pub(super) fn position(&self, case: &str, names: &[&str]) -> Option<usize> {
        let chosen = self.variants.get(case).into_iter().chain(&self.everywhere);
        chosen.into_iter().find_map(|chosen| names.iter().position(|name| name == chosen))
    }

    /// The choices for an adapter, empty where there are none yet.
    ///
    /// # Errors
    /// [`ChoicesError`] where there is a file that cannot be read as such.
    pub fn load(path: &Path) -> Result<Self, ChoicesError> {
        let wrong = |reason: String| ChoicesError { path: path.to_owned(), reason };
        match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| wrong(error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// As JSON, one case a line.
    pub fn to_json(&self) -> String {
        // Maps from strings to strings always serialise.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// Measures the distinct cases of the plans that have a choice and are not in `choices` yet, until `budget` is used up;
/// what is left keeps the operators' rules.
///
/// Plain kernels do not take part: they are there to be read and to test against, and may take a thousand times as long.
/// Nor do coarse ones, which are fast and less exact. Once a variant takes four times as long as the fastest, those that the
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
) -> Result<Vec<Tuned>, CheckError> {
    const SAMPLES: usize = 3;
    const LEAST: Duration = Duration::from_millis(5);
    /// Another variant must take less than this part of the time of the operator's own choice; the rest is noise.
    const CLEARLY: f64 = 0.95;
    /// One that takes so many times the time of the fastest is made for other kinds of adapters, as are those after it.
    const HOPELESS: f64 = 4.0;
    let start = Instant::now();
    choices.adapter = gpu.describe();
    let mut cases: BTreeMap<String, Isolated> = BTreeMap::new();
    for plan in plans {
        for step in &plan.steps {
            let isolated = Isolated::of(plan, step);
            cases.insert(isolated.key(), isolated);
        }
    }
    cases.retain(|key, _| !choices.variants.contains_key(key));
    let mut tuned = Vec::new();
    let count = cases.len();
    for (number, (case, isolated)) in cases.into_iter().enumerate() {
        let variants = isolated.variants(gpu)?;
        let tuned_ones = variants.iter().enumerate().filter(|(_, it)| it.name != "plain" && !it.coarse);
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
            let session = isolated.session(gpu, number)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_named_and_an_absent_one_is_empty() {
        let path = std::env::temp_dir().join(format!("ditn-choices-{}.json", std::process::id()));
        assert_eq!(Choices::load(&path).expect("no file is no error"), Choices::default());
        std::fs::write(&path, "{\"adapter\": 3}").expect("room for a file");
        let error = Choices::load(&path).expect_err("an adapter is a text").to_string();
        std::fs::remove_file(&path).expect("the file");
        assert!(error.contains("ditn-choices-") && error.contains("ditn tune"), "{error}");
    }
}
