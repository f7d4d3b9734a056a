//! What can go wrong with a file of PyTorch.

use super::objects::TooMuch;

/// Why a pickle cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    /// The file ends within it, or cannot be read.
    #[error("its pickle ends too early ({0}): copy or download it again")]
    Read(#[from] std::io::Error),
    /// An operation that asks for what is not there.
    #[error("its pickle is broken: {0}")]
    Broken(&'static str),
    /// A byte that is no operation.
    #[error("its pickle is broken: there is no operation {0:#04x}")]
    Unknown(u8),
    /// More objects than weights can need.
    #[error("its pickle describes more objects than any file of weights needs")]
    TooMuch,
}

impl From<TooMuch> for PickleError {
    fn from(_: TooMuch) -> Self {
        Self::TooMuch
    }
}

/// Why a file of PyTorch gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum PyTorchError {
    /// The file system refuses, or the file ends too early.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// It is broken.
    #[error("{0}")]
    Malformed(String),
    /// Its pickle would call what no weights need.
    #[error("its pickle calls `{0}`")]
    Suspicious(String),
}

impl From<PickleError> for PyTorchError {
    fn from(error: PickleError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<TooMuch> for PyTorchError {
    fn from(error: TooMuch) -> Self {
        PickleError::from(error).into()
    }
}
