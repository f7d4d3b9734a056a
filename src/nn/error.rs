//! What can go wrong between a network and its runs.

use thiserror::Error;

use crate::gpu::GpuError;
use crate::graph::{ChoicesError, PlanError, SessionError};
use crate::ir::ShapeError;

/// An error of building, planning, training or running a network.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// A layer does not take the shapes that it is given.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A tensor does not fit the adapter.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device failed, or tensors do not fit.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The file of kernel choices cannot be read.
    #[error(transparent)]
    Choices(#[from] ChoicesError),
    /// A batch of another size than was planned.
    #[error("a batch of {given} pictures came to a network planned for {expected}")]
    Batch {
        /// Pictures planned for.
        expected: usize,
        /// Pictures that came.
        given: usize,
    },
    /// A step for another number of ranks than there are.
    #[error("a step spread over {expected} ranks came to {given}")]
    Ranks {
        /// Ranks that the step is spread over.
        expected: usize,
        /// Ranks that there are.
        given: usize,
    },
    /// Precision f16 on an adapter that does not have it.
    #[error("the adapter has no 16-bit floats in shaders; use precision \"f32\"")]
    NoF16,
    /// A state that lacks a tensor of this network.
    #[error("the state lacks tensor '{0}'")]
    Missing(String),
}

impl From<GpuError> for NetworkError {
    fn from(error: GpuError) -> Self {
        SessionError::from(error).into()
    }
}
