//! Why a run or an evaluation ends early.

use std::path::PathBuf;

use super::config::ConfigError;
use super::folder::FolderError;
use super::init::InitError;
use super::resume::ResumeError;
use crate::data::DataError;
use crate::metrics::ScoreError;
use crate::nn::NetworkError;
use crate::nn::checkpoint::CheckpointError;
use crate::ranks::Communicator;

/// Why a run ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration breaks a rule.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A data set is missing or broken.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network cannot be built or run: it does not fit the input size or the adapter, or the adapter failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A checkpoint cannot be written, read or used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The file of initial weights cannot be used.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The run cannot go on with this configuration.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// The output folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A log, summary or picture cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A person cannot be scored.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// A loss or a parameter is infinite or NaN: training has diverged.
    #[error(
        "{what} is not finite at step {step} (learning rate {learning_rate:e}); pictures of that step: {}; {}",
        pictures.join(", "),
        last_good.as_ref().map_or("no checkpoint had been written yet".into(), |path| format!(
            "the last good checkpoint is {}", path.display()
        ))
    )]
    NotFinite {
        /// The loss, or a parameter's name.
        what: String,
        /// The step, from 1.
        step: u64,
        /// Its learning rate.
        learning_rate: f64,
        /// Its pictures.
        pictures: Vec<String>,
        /// The newest checkpoint, whose parameters are all finite.
        last_good: Option<PathBuf>,
    },
    /// One of several processes has failed: this one.
    #[error("rank {rank} of {size}, on {host}: {error}")]
    OnRank {
        /// Its number.
        rank: usize,
        /// How many there are.
        size: usize,
        /// Its machine.
        host: String,
        /// What happened.
        error: Box<TrainError>,
    },
    /// One of several processes has failed: another, which says why.
    #[error("rank {rank} has failed")]
    OtherRank {
        /// Its number.
        rank: usize,
        /// Whether its error is [`TrainError::NotFinite`].
        not_finite: bool,
    },
}

impl TrainError {
    /// The same error with the rank that it happened on, where there are several.
    #[must_use]
    pub fn on_rank(self, ranks: &dyn Communicator) -> Self {
        match self {
            Self::OnRank { .. } | Self::OtherRank { .. } => self,
            error if ranks.size() == 1 => error,
            error => {
                let (rank, size, host) = (ranks.rank(), ranks.size(), ranks.host());
                Self::OnRank { rank, size, host, error: Box::new(error) }
            }
        }
    }

    /// Whether training has diverged.
    pub fn is_not_finite(&self) -> bool {
        match self {
            Self::NotFinite { .. } | Self::OtherRank { not_finite: true, .. } => true,
            Self::OnRank { error, .. } => error.is_not_finite(),
            _ => false,
        }
    }

    /// The error of a record at `path` that the system refuses to write.
    pub(super) fn record(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |error| Self::Record { path, error }
    }
}
