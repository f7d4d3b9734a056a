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
mod report;
mod runs;

use std::path::Path;
use std::sync::Arc;

use crate::gpu::Gpu;
use crate::graph::Choices;

pub use dump::{Dump, DumpError};
pub use report::{Group, Report, VerifyError};

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
