//! `[output]`: what is written, and how often. Every value is valid.

use serde::{Deserialize, Serialize};

/// `[output]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// Steps between checkpoints inside an epoch; 0 means one at the end of each epoch only.
    pub checkpoint_steps: u64,
    /// About how many pictures of predicted skeletons are written over the run, besides the last one.
    pub sheets: usize,
    /// Write TensorBoard's event files as well: losses, learning rate, accuracy, scores, and a sheet an evaluation.
    pub tensorboard: bool,
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self { checkpoint_steps: 0, sheets: 4, tensorboard: true }
    }
}
