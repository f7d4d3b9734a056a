//! Why people could not be had.

use std::path::PathBuf;

use super::DecodeError;

/// Why people could not be had.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A folder or file of a data set is not there.
    #[error("{}: not found; {advice}", path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
        /// What to do about it.
        advice: String,
    },
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A picture could not be decoded.
    #[error("{name}: {}: {source}", path.display())]
    Picture {
        /// Picture and person.
        name: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A file is not what its data set releases.
    #[error("{}: {problem}", path.display())]
    Annotation {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A person's number is not in the set.
    #[error("{dataset} has {len} people; index {index} is out of range")]
    Index {
        /// The set's name.
        dataset: String,
        /// Its size.
        len: usize,
        /// What was asked for, from 0.
        index: usize,
    },
    /// Sets that cannot be used together, or in this way.
    #[error("{0}")]
    Unsuitable(String),
}
