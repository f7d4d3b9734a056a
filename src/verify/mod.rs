//! Compares a network with a dump of the PyTorch reference: outputs, losses, gradients, running statistics, optimizer
//! and the losses of true training steps.
//!
//! A dump (`reference/ditn_torch.py dump`) holds parameters, inputs and what a correct implementation makes of them,
//! computed in float64, and beside each result the relative error of PyTorch's own float32: the noise. [`verify`]
//! rebuilds the network from the dump's metadata, runs it on the adapter and compares whole groups of tensors and each
//! tensor by ||a - b|| / ||b||.

mod dump;
pub mod operators;
mod runs;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

use crate::gpu::Gpu;
use crate::graph::Choices;
use crate::graph::{PlanError, SessionError, Tensor};
use crate::ir::ShapeError;

pub use dump::{Dump, DumpError};

/// A verification that could not be carried out (not one that found a difference).
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The dump cannot be used.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// The dump's tensors do not fit its network.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The network does not fit the adapter.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device failed, or the dump lacks a parameter.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// What a group of tensors may differ by, as multiples of PyTorch's noise plus a constant.
struct Allowance {
    group: &'static str,
    whole: (f64, f64),
    /// For one tensor; `None` where only the whole group counts.
    tensor: Option<(f64, f64)>,
}

/// These allowances are the definition of "the same network"; an exceeding tensor is a finding.
const ALLOWANCES: [Allowance; 7] = [
    Allowance { group: "eval", whole: (3.0, 1e-5), tensor: Some((10.0, 1e-4)) },
    Allowance { group: "train", whole: (3.0, 1e-5), tensor: Some((10.0, 1e-4)) },
    Allowance { group: "loss", whole: (3.0, 1e-5), tensor: Some((10.0, 1e-4)) },
    // A ReLU at a tie may flip.
    Allowance { group: "grad", whole: (3.0, 5e-4), tensor: Some((10.0, 5e-3)) },
    Allowance { group: "stats", whole: (3.0, 1e-5), tensor: Some((10.0, 1e-4)) },
    // The optimizer on the dump's own gradients.
    Allowance { group: "after", whole: (0.0, 1e-6), tensor: Some((0.0, 1e-5)) },
    Allowance { group: "trajectory", whole: (10.0, 1e-3), tensor: None },
];

/// How a group of tensors compares.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// eval, train, loss, grad, stats, after or trajectory.
    pub name: &'static str,
    /// ||a - b|| / ||b|| over the whole group; NaN if any element is.
    pub error: f64,
    /// What `error` may be.
    pub allowance: f64,
    /// The tensor that comes nearest to its allowance, or goes furthest over it.
    pub worst_tensor: String,
    /// Its error.
    pub worst_error: f64,
    /// What `worst_error` may be.
    pub worst_allowance: f64,
    /// Tensors that only one side has.
    pub unmatched: Vec<String>,
    /// Whether everything is within its allowance and every tensor has its partner.
    pub pass: bool,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Whether every group passes.
    pub pass: bool,
    /// The groups, in the order of a training step.
    pub groups: Vec<Group>,
}

/// Runs the dump's network on the adapter, by these kernels, and compares.
///
/// # Errors
/// [`VerifyError`] where the file is no dump or its network cannot be run; a difference is no error but a report.
pub fn verify(gpu: &Arc<Gpu>, path: &Path, choices: &Choices) -> Result<Report, VerifyError> {
    let dump = Dump::open(path)?;
    let computed = runs::run_all(gpu, &dump, choices)?;
    let groups: Vec<Group> = ALLOWANCES.iter().map(|allowance| compare(allowance, &dump, &computed)).collect();
    Ok(Report { pass: groups.iter().all(|group| group.pass), groups })
}

/// Squared norms of a difference and of what it is relative to.
#[derive(Clone, Copy, Default)]
struct Norms {
    difference: f64,
    expected: f64,
}

impl Norms {
    fn of(found: &[f32], expected: &[f32]) -> Self {
        let mut norms = Self::default();
        for (&a, &b) in found.iter().zip(expected) {
            norms.difference += (f64::from(a) - f64::from(b)).powi(2);
            norms.expected += f64::from(b).powi(2);
        }
        norms
    }

    fn relative(self) -> f64 {
        self.difference.sqrt() / self.expected.sqrt().max(1e-30)
    }
}

fn compare(allowance: &Allowance, dump: &Dump, computed: &BTreeMap<String, Tensor>) -> Group {
    let prefix = format!("{}.", allowance.group);
    let expected: BTreeMap<_, _> = dump.tensors().filter(|(name, _)| name.starts_with(&prefix)).collect();
    let mut unmatched: Vec<String> = computed
        .keys()
        .filter(|name| name.starts_with(&prefix) && !expected.contains_key(name.as_str()))
        .map(|name| format!("{name} is not in the dump"))
        .collect();

    let (mut whole, mut noise) = (Norms::default(), Norms::default());
    let mut worst = (String::new(), 0.0_f64, f64::INFINITY);
    let mut all_pass = true;
    for (name, tensor) in expected {
        let Some(found) = computed.get(name).filter(|found| found.shape == tensor.shape) else {
            unmatched.push(format!("{name} {:?} was not computed", tensor.shape));
            continue;
        };
        let norms = Norms::of(&found.data, &tensor.data);
        let own_noise = dump.noise(name);
        whole.difference += norms.difference;
        whole.expected += norms.expected;
        noise.difference += own_noise.powi(2) * norms.expected;
        noise.expected += norms.expected;
        let limit = allowance.tensor.map_or(f64::INFINITY, |(times, plus)| times * own_noise + plus);
        let error = norms.relative();
        // Written so that NaN fails.
        all_pass &= error <= limit;
        let share = |error: f64, limit: f64| if error.is_nan() { f64::INFINITY } else { error / limit };
        if worst.0.is_empty() || share(error, limit) > share(worst.1, worst.2) {
            worst = (name.to_string(), error, limit);
        }
    }
    let (times, plus) = allowance.whole;
    let limit = times * noise.relative() + plus;
    let error = whole.relative();
    Group {
        name: allowance.group,
        error,
        allowance: limit,
        pass: error <= limit && all_pass && unmatched.is_empty(),
        worst_tensor: worst.0,
        worst_error: worst.1,
        worst_allowance: worst.2,
        unmatched,
    }
}
