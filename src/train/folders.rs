//! Where data sets lie, and what stands in for those that do not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data::{Coco, DataError, Dataset};

/// The environment variable that names the folder of all data sets.
pub const DATA_VARIABLE: &str = "DITN_DATA";

/// Who is on either side of an experiment.
pub(super) struct Sides {
    pub training: Arc<dyn Dataset>,
    pub held_out: Arc<dyn Dataset>,
    pub typical: Arc<dyn Dataset>,
    pub coco: Option<Arc<Coco>>,
}

/// The people to be scored in place of those to learn from, where these are missing and nothing is to be learned.
pub(super) fn stand_in<T>(error: DataError, held_out: &Arc<T>, scoring: bool) -> Result<Arc<T>, DataError> {
    match error {
        DataError::Missing { .. } if scoring => Ok(Arc::clone(held_out)),
        error => Err(error),
    }
}

/// The folder of all data sets: the configuration's, else the environment's.
pub(super) fn data_root(configured: Option<&Path>) -> Result<PathBuf, DataError> {
    match (configured, std::env::var_os(DATA_VARIABLE)) {
        (Some(root), _) => Ok(root.to_owned()),
        (None, Some(root)) if !root.is_empty() => Ok(root.into()),
        _ => Err(DataError::Unsuitable(format!(
            "this configuration needs pictures from disk, and no folder is given: use --set data.root=DIR, data.root \
             in the configuration, or the environment variable {DATA_VARIABLE}"
        ))),
    }
}
