//! Scores of predicted poses: PCKh, OKS and PCK, the mean pose to compare with, and the files of other tools.
//! [`train`](crate::train) and the command line call it with joints and annotations on the host; it runs no network and
//! knows [`data`](crate::data) alone.

pub mod baseline;
pub mod files;
pub mod oks;
pub mod pck;
pub mod pckh;
pub mod suppression;

use crate::data::{Annotation, DataError, Dataset, Joint, Skeleton};
use serde::{Deserialize, Serialize};

pub use baseline::MeanPose;
pub use oks::OksScores;
pub use pck::{Pck, PckScores};
pub use pckh::{Pckh, PckhScores};

/// Why people could not be scored.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum MetricError {
    /// No metric is defined for the skeleton.
    #[error("there is no metric for the {0} skeleton")]
    Skeleton(String),
    /// A person has another number of joints than the skeleton.
    #[error("{found} joints where the skeleton has {expected}")]
    Joints {
        /// Joints of the skeleton.
        expected: usize,
        /// Joints that were given.
        found: usize,
    },
    /// PCKh needs a head size greater than 0.
    #[error("a person without a head size cannot be scored by PCKh")]
    HeadSize,
    /// PCK needs the two ends of the torso.
    #[error("a person without right shoulder and left hip cannot be scored by PCK")]
    Torso,
}

/// Why the people of a set could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The people could not be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Someone could not be scored.
    #[error("{name}: {source}")]
    Metric {
        /// Picture and person.
        name: String,
        /// Why not.
        source: MetricError,
    },
}

/// Scores people one by one with the metric of their data set: PCKh for MPII's skeleton, PCK for LSP's.
#[derive(Clone, Debug)]
pub enum Scorer {
    /// Errors measured by the head.
    Pckh(Pckh),
    /// Errors measured by the torso.
    Pck(Pck),
}

/// A data set's customary score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Score {
    /// PCKh at 0.5.
    Pckh(PckhScores),
    /// PCK at 0.2.
    Pck(PckScores),
    /// Average precision over OKS.
    Oks(OksScores),
}

impl Scorer {
    /// A scorer that has seen nobody.
    ///
    /// # Errors
    /// Where no metric is defined for the skeleton.
    pub fn new(skeleton: &Skeleton) -> Result<Scorer, MetricError> {
        match skeleton.name.as_str() {
            "mpii" => Ok(Scorer::Pckh(Pckh::default())),
            "lsp" => Ok(Scorer::Pck(Pck::default())),
            _ => Err(MetricError::Skeleton(skeleton.name.clone())),
        }
    }

    /// Adds a person: true joints, head size and predicted joints, all in pixels of the same picture.
    ///
    /// # Errors
    /// Where the metric cannot measure the person.
    pub fn add(&mut self, truth: &[Joint], head_size: Option<f32>, predicted: &[[f32; 2]]) -> Result<(), MetricError> {
        match self {
            Scorer::Pckh(pckh) => pckh.add(truth, head_size.ok_or(MetricError::HeadSize)?, predicted),
            Scorer::Pck(pck) => pck.add(truth, predicted),
        }
    }

    /// The score of everyone so far.
    pub fn score(&self) -> Score {
        match self {
            Scorer::Pckh(pckh) => Score::Pckh(pckh.at(0.5)),
            Scorer::Pck(pck) => Score::Pck(pck.at(0.2)),
        }
    }

    /// Thresholds in head sizes or torso lengths, 0 to 0.5, and the one number at each, in percent.
    pub fn curve(&self) -> Vec<[f64; 2]> {
        match self {
            Scorer::Pckh(pckh) => pckh.curve(),
            Scorer::Pck(pck) => pck.curve(),
        }
    }
}

impl Score {
    /// The metric's name.
    pub fn name(&self) -> &'static str {
        match self {
            Score::Pckh(_) => "PCKh@0.5",
            Score::Pck(_) => "PCK@0.2",
            Score::Oks(_) => "AP",
        }
    }

    /// The one number, in percent: HRNet's weighted mean of PCKh, the mean over joints of PCK, COCO's AP.
    pub fn value(&self) -> f64 {
        match self {
            Score::Pckh(scores) => scores.mean_weighted,
            Score::Pck(scores) => scores.mean,
            Score::Oks(scores) => 100.0 * scores.ap,
        }
    }

    /// Name and percent of each row of a table for people, the means last. `None` where no such joint was labelled.
    pub fn rows(&self) -> Rows {
        match self {
            Score::Pckh(scores) => scores.rows(),
            Score::Pck(scores) => scores.rows(),
            Score::Oks(scores) => scores.rows(),
        }
    }
}

/// How well everyone in a set was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The data set's customary score.
    pub score: Score,
    /// Thresholds in head sizes or torso lengths, 0 to 0.5, and the one number at each, in percent; none for AP.
    pub curve: Vec<[f64; 2]>,
}

/// Scores everyone in a set, person by person. `predicted` gives a person's joints by number and annotation.
///
/// # Errors
/// Where an annotation cannot be had, or a person cannot be scored.
pub fn score_people(
    dataset: &dyn Dataset,
    predicted: impl Fn(usize, &Annotation) -> Vec<[f32; 2]>,
) -> Result<Evaluation, ScoreError> {
    let unscorable = |name: &str, source| ScoreError::Metric { name: name.to_string(), source };
    let mut scorer = Scorer::new(dataset.skeleton()).map_err(|source| unscorable(dataset.name(), source))?;
    for index in 0..dataset.len() {
        let person = dataset.annotation(0, index)?;
        scorer
            .add(&person.joints, person.head_size, &predicted(index, &person))
            .map_err(|source| unscorable(&person.name, source))?;
    }
    Ok(Evaluation { score: scorer.score(), curve: scorer.curve() })
}

/// Name and percent of each row of a table; `None` where nothing was counted.
pub type Rows = Vec<(String, Option<f64>)>;

/// Distance from a true joint to a predicted one, pixels. Not a number where the prediction is not.
fn distance(truth: &Joint, predicted: [f32; 2]) -> f64 {
    (f64::from(predicted[0]) - f64::from(truth.x)).hypot(f64::from(predicted[1]) - f64::from(truth.y))
}

/// How many joints were counted and how many of them were near enough.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    near: usize,
    counted: usize,
}

impl Tally {
    /// Errors up to the threshold are near; one that is not a number is not.
    fn of(errors: &[f64], threshold: f64) -> Tally {
        Tally { near: errors.iter().filter(|error| **error <= threshold).count(), counted: errors.len() }
    }

    fn percent(self) -> Option<f64> {
        (self.counted > 0).then(|| 100.0 * self.near as f64 / self.counted as f64)
    }
}

/// The mean of what there is; 0 where there is nothing.
fn mean(values: impl IntoIterator<Item = Option<f64>>) -> f64 {
    let (sum, count) = values.into_iter().flatten().fold((0.0, 0), |(sum, count), v| (sum + v, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}
