//! What can go wrong on the way from operators to a result.

use thiserror::Error;

use super::{PlanError, SessionError};
use crate::ir::ShapeError;

/// A graph that cannot be built, planned or run.
#[derive(Debug, Error)]
pub enum GraphError {
    /// An operator does not take its inputs, or has no gradient rule.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The graph cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan cannot be run.
    #[error(transparent)]
    Session(#[from] SessionError),
}
