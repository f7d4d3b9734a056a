//! Why there are no poses.

use thiserror::Error;

use crate::data::DataError;
use crate::graph::SessionError;
use crate::nn::NetworkError;
use crate::nn::checkpoint::CheckpointError;

/// Why there are no poses.
#[derive(Debug, Error)]
pub enum PredictError {
    /// The checkpoint cannot be read, or its tensors are not those of its network.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The network cannot be built or run on the adapter.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The device failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A box has no extent or is too large.
    #[error(transparent)]
    Data(#[from] DataError),
    /// There is not one list of boxes for each picture.
    #[error("{boxes} lists of boxes were given for {pictures} pictures")]
    Boxes {
        /// Pictures that were given.
        pictures: usize,
        /// Lists of boxes that were given.
        boxes: usize,
    },
}
