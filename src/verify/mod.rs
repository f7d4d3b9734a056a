//! Compares a network with a dump of the PyTorch reference: outputs, losses, gradients, running statistics, optimizer
//! and the losses of true training steps; and operators with their references. Commands and tests call it; it judges,
//! and nothing else of the crate depends on it.
//!
//! A dump (`tools/ditn_torch.py dump`) holds parameters, inputs and what a correct implementation makes of them,
//! computed in float64, and beside each result the noise: the relative error of PyTorch's own float32, the largest over
//! several orders of summation. [`verify`] rebuilds the network from the dump's metadata, runs it on the adapter and
//! compares whole groups of tensors and each tensor by ||a - b|| / ||b||.

mod compare;
mod dump;
pub mod operators;
mod runs;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

use crate::gpu::Gpu;
use crate::graph::{Choices, PlanError, SessionError};
use crate::ir::ShapeError;
use crate::nn::NetworkError;

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
    /// The network cannot be planned or trained.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// How a group of tensors compares.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// eval, train, loss, grad, stats, after or trajectory.
    pub name: &'static str,
    /// ||a - b|| / ||b|| over the whole group; NaN if any element is.
    pub error: f64,
    /// What `error` may be.
    pub allowance: f64,
    /// The tensor that comes nearest to its allowance, or goes furthest over it; empty if none is judged by itself.
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
    /// The orders of summation that the dump's noise is the largest of.
    pub noise_orders: usize,
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
    let groups = compare::groups(dump.tensors(), &computed);
    Ok(Report { pass: groups.iter().all(|group| group.pass), noise_orders: dump.noise_orders, groups })
}
