//! How far a run has come: what a checkpoint holds besides configuration and tensors.

use serde::{Deserialize, Serialize};

use super::accuracy::Accuracy;
use super::objective::LossValues;
use crate::data::Place;

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimizer steps done.
    pub step: u64,
    /// Training pictures seen. 0 beside steps in the checkpoints of older programs, which counted steps alone.
    #[serde(default)]
    pub pictures: u64,
    /// Where the next batch begins in the training people.
    #[serde(default)]
    pub place: Option<Place>,
    /// Epochs done, scored and logged.
    pub epochs: u64,
    /// Losses and found joints of the epoch that is under way.
    pub epoch: EpochSums,
    /// The last score, with its epoch.
    pub score: Option<Score>,
    /// The best score, with its epoch.
    pub best: Option<Score>,
    /// Seconds spent so far, evaluation included.
    pub seconds: f64,
    /// Seconds spent so far on training steps.
    pub training_seconds: f64,
    /// Seconds of these in which no batch was ready.
    #[serde(default)]
    pub waiting_seconds: f64,
    /// Name of the adapter; another one may round differently.
    pub adapter: String,
    /// Processes that trained together.
    #[serde(default = "one")]
    pub ranks: usize,
}

fn one() -> usize {
    1
}

impl Default for Progress {
    /// That of a run of one process which has not begun.
    fn default() -> Self {
        Self {
            step: 0,
            pictures: 0,
            place: None,
            epochs: 0,
            epoch: EpochSums::default(),
            score: None,
            best: None,
            seconds: 0.0,
            training_seconds: 0.0,
            waiting_seconds: 0.0,
            adapter: String::new(),
            ranks: 1,
        }
    }
}

/// Sums over the steps of an epoch so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochSums {
    /// Steps summed.
    pub steps: u64,
    /// Their pictures.
    #[serde(default)]
    pub pictures: u64,
    /// People who could not be used and for whom others stood in.
    #[serde(default)]
    pub skipped: u64,
    /// Joint losses.
    pub joints: f64,
    /// Bone losses.
    pub bones: f64,
    /// Coordinate losses.
    #[serde(default)]
    pub coordinates: f64,
    /// Losses of the joint maps before the last ones.
    #[serde(default)]
    pub sides: Vec<f64>,
    /// Total losses.
    pub total: f64,
    /// Joints found in the training pictures.
    #[serde(default)]
    pub accuracy: Accuracy,
    /// Seconds of training.
    pub seconds: f64,
    /// Seconds of these in which no batch was ready.
    #[serde(default)]
    pub waiting_seconds: f64,
}

/// A score on the evaluation split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Epochs done when it was taken.
    pub epoch: u64,
    /// Such as `PCKh@0.5`.
    pub name: String,
    /// In percent.
    pub value: f64,
}

impl EpochSums {
    /// Adds the losses of a step.
    pub fn add(&mut self, losses: &LossValues, total: f32) {
        self.joints += f64::from(losses.joints);
        self.bones += f64::from(losses.bones);
        self.coordinates += f64::from(losses.coordinates);
        self.sides.resize(losses.sides.len(), 0.0);
        self.sides.iter_mut().zip(&losses.sides).for_each(|(sum, &loss)| *sum += f64::from(loss));
        self.total += f64::from(total);
    }
}
