//! Compares a network with a dump of the PyTorch reference: outputs, losses, gradients, running statistics, optimizer
//! and the losses of true training steps; and operators with their references. Commands and tests call it; it judges,
//! and nothing else of the crate depends on it.
//!
//! A dump (`tools/ditn_torch.py dump`) holds parameters, inputs and what a correct implementation makes of them,
//! computed in float64, and beside each result the noise: the relative error of PyTorch's own float32, the largest over
//! several orders of summation. [`verify`] rebuilds the network from the dump's metadata, runs it on the adapter and
//! compares whole groups of tensors and each tensor by ||a - b|| / ||b||.

mod compare;
mod described;
mod dump;
pub mod operators;
mod ranks;
mod report;
mod runs;

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use crate::gpu::Gpu;
use crate::graph::Choices;
use crate::nn::Precision;
use crate::ranks::Communicator;

pub use dump::{Dump, DumpError};
pub use report::{Group, Report, VerifyError};

/// Runs the dump's network on the adapter, by these kernels, and compares.
///
/// # Errors
/// [`VerifyError`] where the file is no dump or its network cannot be run; a difference is no error but a report.
pub fn verify(gpu: &Arc<Gpu>, path: &Path, choices: &Choices) -> Result<Report, VerifyError> {
    verify_dump(gpu, &Dump::open(path)?, choices, Precision::F32)
}

/// As [`verify`], of a dump that has been read, with feature maps stored at this precision.
///
/// With [`Precision::F16`] the optimizer and the trajectory are left out: parameters stay float32, and a step that the loss
/// scale skips would part the losses. The allowances then are those of f16's rounding.
///
/// # Errors
/// As [`verify`]; [`NetworkError::NoF16`](crate::nn::NetworkError::NoF16) where the adapter has no f16.
pub fn verify_dump(
    gpu: &Arc<Gpu>,
    dump: &Dump,
    choices: &Choices,
    precision: Precision,
) -> Result<Report, VerifyError> {
    let computed = runs::run_all(gpu, dump, choices, precision)?;
    let groups = compare::groups(dump.tensors(), &computed, precision);
    Ok(Report { pass: groups.iter().all(|group| group.pass), noise_orders: dump.noise_orders, groups })
}

/// As [`verify_dump`] in float32, of the training steps of several ranks together: each has its share of the dump's batch, and
/// batch normalisation uses the statistics of all. Every rank gets the report of all.
///
/// # Errors
/// As [`verify`]; [`VerifyError::Ranks`] where the batch has no equal shares.
pub fn verify_ranks(
    gpu: &Arc<Gpu>,
    dump: &Dump,
    choices: &Choices,
    ranks: &Rc<dyn Communicator>,
) -> Result<Report, VerifyError> {
    let computed = ranks::run_steps(gpu, dump, choices, ranks)?;
    let mut groups = compare::groups(dump.tensors(), &computed, Precision::F32);
    groups.retain(|group| ["loss", "grad", "stats", "trajectory"].contains(&group.name));
    Ok(Report { pass: groups.iter().all(|group| group.pass), noise_orders: dump.noise_orders, groups })
}
