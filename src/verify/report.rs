//! What a verification of a network found, or why it could not be carried out.

use serde::Serialize;
use thiserror::Error;

use super::DumpError;
use crate::graph::{PlanError, SessionError};
use crate::ir::ShapeError;
use crate::nn::NetworkError;

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
    /// The dump's batch has no equal shares for the ranks.
    #[error(
        "the dump's batch of {batch} cannot be divided by {ranks} processes; start a number of them that divides it"
    )]
    Ranks {
        /// Pictures of the dump.
        batch: usize,
        /// Processes.
        ranks: usize,
    },
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
