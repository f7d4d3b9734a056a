//! What a loader makes batches like.

use serde::{Deserialize, Serialize};
use std::ops::Range;

use super::Size;

/// What batches are made like.
#[derive(Clone, Debug)]
pub struct LoaderOptions {
    /// People in a batch.
    pub batch: usize,
    /// Size of the network's input.
    pub input: Size,
    /// Seed of the order and of the augmentation.
    pub seed: u64,
    /// Threads that prepare batches.
    pub workers: usize,
    /// Batches that each worker prepares ahead.
    pub ahead: usize,
    /// What becomes of people who cannot be used.
    pub broken: Broken,
    /// Which batches of all.
    pub share: Share,
}

/// The batches that a loader makes, of those that a step takes together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Batches of a step.
    pub of: usize,
    /// Which of them, one after the other.
    pub own: Range<usize>,
}

impl Default for Share {
    /// All batches, one a step.
    fn default() -> Self {
        Self { of: 1, own: 0..1 }
    }
}

/// What becomes of a person whose picture cannot be read or whose annotation gives nothing to cut out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Broken {
    /// The batches end with an error that names the person.
    #[default]
    Stop,
    /// In training, the next person in the pass's order who can be used stands in, in the augmentation that the broken
    /// one would have had; where nobody can be used, the batches end with an error. In an evaluation the person is shown
    /// as a black picture, so that the score counts the joints as not found.
    Skip,
}
