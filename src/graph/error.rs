//! What can go wrong on the way from operators to a result.

use thiserror::Error;

use super::PlanError;
use crate::gpu::GpuError;
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

/// An error of running a plan.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The device failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// No tensor of this name.
    #[error("there is no tensor '{0}'")]
    Unknown(String),
    /// A state lacks this tensor.
    #[error("tensor '{0}' is missing")]
    Missing(String),
    /// A tensor of this name has another shape.
    #[error("tensor '{tensor}' has shape {held}, expected {wanted}")]
    OtherShape {
        /// Its name.
        tensor: String,
        /// The shape it has.
        held: String,
        /// The shape that was asked for.
        wanted: String,
    },
    /// A tensor that a plan updates together with others lies apart from them in the store.
    #[error(
        "'{0}' must move to lie beside what is updated with it, but another session of this store uses it where it is; \
         make the session that trains before the others, or drop those"
    )]
    InUse(String),
    /// A kernel would read one tensor and overwrite another that lie in one buffer of the store.
    #[error(
        "'{0}' reads one and overwrites another of the tensors that this store keeps in one buffer for its training \
         session; give its session a store of its own"
    )]
    ReadsAndWrites(String),
    /// A value that the plan does not keep after a run.
    #[error("'{0}' is not an output of this plan")]
    NotAnOutput(String),
}
