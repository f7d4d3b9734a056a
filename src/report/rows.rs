//! The rows of a report's tables.

use serde::{Deserialize, Serialize};

use crate::bench::{KernelTime, NetworkTime, Tuned};
use crate::nn::Precision;
use crate::verify::operators::{Tally, nan_where_null};
use crate::verify::{self, Group};

/// How tensors are stored and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// Everything as float32.
    F32,
    /// Feature maps as f16.
    F16,
    /// Feature maps as f16, with kernels for cooperative matrices.
    Cooperative,
}

impl Storage {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Cooperative];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Cooperative => "cooperative",
        }
    }

    /// How feature maps are stored.
    pub fn precision(self) -> Precision {
        if self == Self::F32 { Precision::F32 } else { Precision::F16 }
    }
}

/// A variant of an operator's kernels against the float64 reference, over the cases of the operator's table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckedKernel {
    /// The variant.
    pub variant: String,
    /// How tensors were stored.
    pub storage: Storage,
    /// Operator, cases and the worst error, in units of 2^-24 of the element's magnitude.
    #[serde(flatten)]
    pub tally: Tally,
}

impl CheckedKernel {
    /// Whether both are of one operator, variant and storage.
    pub fn is_like(&self, other: &Self) -> bool {
        (&self.tally.operator, &self.variant, self.storage) == (&other.tally.operator, &other.variant, other.storage)
    }

    /// Variant and storage in a line.
    pub fn way(&self) -> String {
        format!("{}, {}", self.variant, self.storage.name())
    }
}

/// A network against a dump of PyTorch's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckedNetwork {
    /// The dump.
    pub dump: String,
    /// The variant of the kernels that was used wherever there is one; none for the operators' own choice.
    pub variant: Option<String>,
    /// How feature maps were stored.
    pub storage: Storage,
    /// Whether everything is within its allowance.
    pub pass: bool,
    /// Outputs, losses, gradients and so on.
    pub groups: Vec<CheckedGroup>,
}

impl CheckedNetwork {
    /// The report of a verification as a row.
    pub fn new(dump: &str, variant: Option<&str>, storage: Storage, report: verify::Report) -> Self {
        let groups = report.groups.into_iter().map(CheckedGroup::from).collect();
        Self { dump: dump.to_owned(), variant: variant.map(str::to_owned), storage, pass: report.pass, groups }
    }

    /// Variant and storage in a line.
    pub fn way(&self) -> String {
        format!("{}, {}", self.variant.as_deref().unwrap_or("default kernels"), self.storage.name())
    }
}

/// A group of a dump's tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckedGroup {
    /// eval, train, loss, grad, stats, after or trajectory.
    pub name: String,
    /// ||a - b|| / ||b||.
    #[serde(deserialize_with = "nan_where_null")]
    pub error: f64,
    /// What it may be.
    #[serde(deserialize_with = "nan_where_null")]
    pub allowance: f64,
    /// The tensor that comes nearest to its allowance or goes furthest over it.
    pub worst_tensor: String,
    /// Its error.
    #[serde(deserialize_with = "nan_where_null")]
    pub worst_error: f64,
    /// Whether the group passes.
    pub pass: bool,
}

impl From<Group> for CheckedGroup {
    fn from(group: Group) -> Self {
        let Group { name, error, allowance, worst_tensor, worst_error, pass, .. } = group;
        Self { name: name.to_owned(), error, allowance, worst_tensor, worst_error, pass }
    }
}

/// A kernel of the training step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepKernel {
    /// How feature maps are stored.
    pub storage: Storage,
    /// Pictures a step.
    pub batch: usize,
    /// What was measured.
    #[serde(flatten)]
    pub time: KernelTime,
}

/// Which kernels a network was measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernels {
    /// The operators' own choice, in the part `networks`.
    Default,
    /// The same, in the part `tune` before it measures kernels.
    BeforeTuning,
    /// Those that were fastest, in the part `tune` behind it.
    Tuned,
}

/// A whole network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedNetwork {
    /// How feature maps are stored.
    pub storage: Storage,
    /// Which kernels.
    pub kernels: Kernels,
    /// What was measured.
    #[serde(flatten)]
    pub time: NetworkTime,
}

impl TimedNetwork {
    /// Pictures a second.
    pub fn rate(&self) -> f64 {
        self.time.batch as f64 / self.time.seconds
    }
}

/// A workload whose kernels were chosen by measuring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TunedCase {
    /// The workload.
    pub case: String,
    /// Each variant that was measured with its seconds, the operator's own choice first.
    pub seconds: Vec<(String, f64)>,
    /// What was chosen.
    pub chosen: String,
}

impl From<Tuned> for TunedCase {
    fn from(tuned: Tuned) -> Self {
        let Tuned { case, seconds, chosen } = tuned;
        Self { case, seconds, chosen }
    }
}

impl TunedCase {
    /// How many times as fast as the operator's own choice the chosen variant is.
    pub fn gain(&self) -> f64 {
        let of = |name: &str| self.seconds.iter().find(|(variant, _)| variant == name).map(|(_, seconds)| *seconds);
        match (self.seconds.first(), of(&self.chosen)) {
            (Some((_, own)), Some(chosen)) => own / chosen,
            _ => 1.0,
        }
    }
}
