//! What a report holds: the JSON document that is sent, its rows, and the events that add them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::machine::{Program, System};
use super::part::Part;
use super::rows::{CheckedKernel, CheckedNetwork, StepKernel, TimedNetwork, TunedCase};
use crate::bench::Ceiling;
use crate::gpu::AdapterReport;
use crate::verify::operators::Tally;

/// What [`Document::format`] says.
const FORMAT: &str = "ditn report";

/// The version of the format that is written. It counts up where a field changes its meaning or goes; further fields do not
/// count.
pub const FORMAT_VERSION: u32 = 1;

/// A report of one adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// `ditn report`.
    pub format: String,
    /// [`FORMAT_VERSION`] of the program that wrote it.
    pub format_version: u32,
    /// The program.
    pub program: Program,
    /// When it began, in UTC: `2026-11-28T15:04:05Z`.
    pub date: String,
    /// The machine.
    pub system: System,
    /// Variables of the environment that change what runs, where they are set.
    pub environment: BTreeMap<String, String>,
    /// The adapter that was measured.
    pub adapter: AdapterReport,
    /// All adapters of the machine.
    pub adapters: Vec<AdapterReport>,
    /// Minutes that were given.
    pub minutes: f64,
    /// Whether it was stopped before its last part.
    pub interrupted: bool,
    /// What was done of each part, in order.
    pub parts: Vec<PartRecord>,
    /// Gradients of each operator against numeric ones.
    pub gradients: Vec<Tally>,
    /// Kernels against their float64 references.
    pub kernels: Vec<CheckedKernel>,
    /// Networks against PyTorch's dumps.
    pub verified: Vec<CheckedNetwork>,
    /// The most that the adapter does.
    pub ceiling: Option<Ceiling>,
    /// Kernels of DITN-W32's training step.
    pub step: Vec<StepKernel>,
    /// Whole networks.
    pub networks: Vec<TimedNetwork>,
    /// Choices by measuring.
    pub tuned: Vec<TunedCase>,
}

/// What was done of a part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartRecord {
    /// The part, by the name of [`Part::name`].
    pub name: String,
    /// Seconds that it took.
    pub seconds: f64,
    /// Whether it ended by itself: neither an error nor an interruption ended it.
    pub complete: bool,
    /// What failed, the whole part or pieces of it.
    pub failed: Vec<Note>,
    /// What was left out.
    pub skipped: Vec<Note>,
}

/// A piece of a part and a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The piece.
    pub what: String,
    /// Why it failed or was left out.
    pub reason: String,
}

/// What a part says while it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// What comes next: piece `done` of `total`; 0 of 0 where the number is not known.
    Next {
        /// The piece.
        what: String,
        /// Pieces done.
        done: usize,
        /// All pieces.
        total: usize,
    },
    /// A gradient check of an operator's case.
    Gradient(Tally),
    /// A check of a kernel's case.
    Kernel(CheckedKernel),
    /// A network against its dump.
    Verified(CheckedNetwork),
    /// The ceilings.
    Ceiling(Ceiling),
    /// A kernel of the step.
    Step(StepKernel),
    /// A network's time.
    Network(TimedNetwork),
    /// A measured choice.
    Tuned(TunedCase),
    /// A piece that failed; the part goes on.
    Failed(Note),
    /// A piece that was left out.
    Skipped(Note),
}

impl Event {
    /// A piece that failed.
    pub fn failed(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Failed(Note { what: what.into(), reason: reason.into() })
    }

    /// A piece that was left out.
    pub fn skipped(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Skipped(Note { what: what.into(), reason: reason.into() })
    }
}

/// A file that is no report.
#[derive(Debug, Error)]
pub enum ReportFileError {
    /// It cannot be read.
    #[error("cannot read '{path}': {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else, or damaged.
    #[error("'{path}' is no report of `ditn report`: {reason}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is newer than this program.
    #[error(
        "'{path}' is a report of format {version}, and this program reads up to {FORMAT_VERSION}: use the ditn that made it \
         or a newer one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

/// What tells a report from other JSON.
#[derive(Deserialize)]
struct Head {
    format: Option<String>,
    format_version: Option<u32>,
}

impl Document {
    /// A report of this adapter in which nothing is measured yet.
    pub fn new(adapter: AdapterReport, adapters: Vec<AdapterReport>, minutes: f64) -> Self {
        Self {
            format: FORMAT.to_owned(),
            format_version: FORMAT_VERSION,
            program: Program::this(),
            date: super::machine::now(),
            system: System::this(),
            environment: super::machine::environment(),
            adapter,
            adapters,
            minutes,
            interrupted: false,
            parts: Vec::new(),
            gradients: Vec::new(),
            kernels: Vec::new(),
            verified: Vec::new(),
            ceiling: None,
            step: Vec::new(),
            networks: Vec::new(),
            tuned: Vec::new(),
        }
    }

    /// Reads a report.
    ///
    /// # Errors
    /// [`ReportFileError`] with the file's name and what is wrong.
    pub fn read(path: &Path) -> Result<Self, ReportFileError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ReportFileError::Read { path: path.to_owned(), source })?;
        let foreign = |reason: String| ReportFileError::Foreign { path: path.to_owned(), reason };
        let head: Head = serde_json::from_str(&text).map_err(|error| foreign(error.to_string()))?;
        match (head.format.as_deref(), head.format_version) {
            (Some(FORMAT), Some(version)) if version > FORMAT_VERSION => {
                return Err(ReportFileError::Newer { path: path.to_owned(), version });
            }
            (Some(FORMAT), Some(_)) => {}
            _ => return Err(foreign(format!("its \"format\" is not \"{FORMAT}\""))),
        }
        let mut reader = serde_json::Deserializer::from_str(&text);
        serde_path_to_error::deserialize(&mut reader).map_err(|error| foreign(error.to_string()))
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        // Structs of texts and numbers always serialise.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Takes in what the part that runs, the last, has said.
    pub fn add(&mut self, event: Event) {
        match event {
            Event::Next { .. } => {}
            Event::Gradient(one) => match self.gradients.iter_mut().find(|row| row.operator == one.operator) {
                Some(row) => row.merge(one),
                None => self.gradients.push(one),
            },
            Event::Kernel(one) => match self.kernels.iter_mut().find(|row| row.is_like(&one)) {
                Some(row) => row.tally.merge(one.tally),
                None => self.kernels.push(one),
            },
            Event::Verified(one) => self.verified.push(one),
            Event::Ceiling(ceiling) => self.ceiling = Some(ceiling),
            Event::Step(one) => self.step.push(one),
            Event::Network(one) => self.networks.push(one),
            Event::Tuned(one) => self.tuned.push(one),
            Event::Failed(note) => self.parts.iter_mut().last().into_iter().for_each(|it| it.failed.push(note.clone())),
            Event::Skipped(note) => {
                self.parts.iter_mut().last().into_iter().for_each(|it| it.skipped.push(note.clone()));
            }
        }
    }

    /// What is wrong, a line each: checks that do not hold, parts that failed.
    pub fn troubles(&self) -> Vec<String> {
        let gradients = self.gradients.iter().filter(|row| !row.pass).map(|row| {
            format!("gradient of {}: error {:.1e}, allowed {:.0e}", row.worst_case, row.worst_error, row.allowed)
        });
        let kernels = self.kernels.iter().filter(|row| !row.tally.pass).map(|row| {
            let Tally { worst_case, worst_error, allowed, .. } = &row.tally;
            format!("{worst_case} ({}): error {worst_error:.1}, allowed {allowed:.1} units of 2^-24", row.way())
        });
        let verified = self.verified.iter().filter(|row| !row.pass).map(|row| {
            let groups: Vec<&str> =
                row.groups.iter().filter(|group| !group.pass).map(|group| group.name.as_str()).collect();
            format!("{} ({}) differs from PyTorch in {}", row.dump, row.way(), groups.join(", "))
        });
        let failed = self.parts.iter().flat_map(|part| {
            let title = Part::title_of(&part.name);
            part.failed.iter().map(move |note| {
                let colon = if note.what.is_empty() { "" } else { ": " };
                format!("{title}{colon}{}: {}", note.what, note.reason)
            })
        });
        gradients.chain(kernels).chain(verified).chain(failed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Storage;
    use crate::report::samples::measured;

    fn tally(case: &str, error: f64) -> Tally {
        let (operator, worst_case) = ("relu".to_owned(), case.to_owned());
        // As `Tally::of` has it: NaN fails.
        Tally { operator, cases: 1, worst_case, worst_error: error, allowed: 2.0, pass: error <= 2.0 }
    }

    /// A file of a test's own, removed at its end.
    struct File(PathBuf);

    impl File {
        fn new(name: &str, text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ditn-report-{name}-{}.json", std::process::id()));
            std::fs::write(&path, text).unwrap();
            Self(path)
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).ok();
        }
    }

    #[test]
    fn a_document_is_read_as_it_was_written_and_errors_that_are_no_numbers_stay_wrong() {
        let mut document = measured("GPU", 100.0);
        for (case, error) in [("a", 1.0), ("b", f64::NAN), ("c", 1.5)] {
            document.add(Event::Gradient(tally(case, error)));
        }
        let kernel = |storage, case: &str, error| {
            Event::Kernel(CheckedKernel { variant: "plain".into(), storage, tally: tally(case, error) })
        };
        document.add(kernel(Storage::F32, "d", 0.5));
        document.add(kernel(Storage::F32, "e", 3.0));
        document.add(kernel(Storage::F16, "f", 0.5));
        let file = File::new("round", &document.to_json());
        let read = Document::read(&file.0).unwrap();
        assert_eq!(read.to_json(), document.to_json());
        let [row] = read.gradients.as_slice() else { panic!("{:?}", read.gradients) };
        assert!(row.cases == 3 && row.worst_case == "b" && row.worst_error.is_nan() && !row.pass, "{row:?}");
        assert_eq!(
            read.kernels.iter().map(|row| (row.tally.cases, row.tally.pass)).collect::<Vec<_>>(),
            [(2, false), (1, true)]
        );
        let troubles = read.troubles();
        assert!(troubles.len() == 2 && troubles[1].contains("e (plain, f32)"), "{troubles:?}");
    }

    #[test]
    fn what_is_no_report_is_named_with_the_reason() {
        let newer = measured("GPU", 1.0).to_json().replacen("\"format_version\": 1", "\"format_version\": 9", 1);
        let damaged = measured("GPU", 1.0).to_json().replacen("\"gflops\": 20000.0", "\"gflops\": true", 1);
        for (name, text, reason) in [
            ("text", "a report", "no report"),
            ("list", "[1, 2]", "no report"),
            ("foreign", "{\"adapter\": {}}", "\"format\" is not"),
            ("other", "{\"format\": \"ditn bench\", \"format_version\": 1}", "\"format\" is not"),
            ("newer", &newer, "reads up to 1"),
            ("damaged", &damaged, "ceiling.gflops"),
            ("short", "{\"format\": \"ditn report\", \"format_version\": 1}", "missing field"),
        ] {
            let file = File::new(name, text);
            let error = Document::read(&file.0).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(&format!("ditn-report-{name}-")), "{error}");
        }
        let missing = Document::read(Path::new("no-such-report.json")).unwrap_err().to_string();
        assert!(missing.contains("cannot read 'no-such-report.json'"), "{missing}");
    }
}
