//! Scoring a network on the evaluation split.

use std::sync::atomic::{AtomicBool, Ordering};

use image::RgbImage;

use super::config::Config;
use super::people::People;
use super::run::{TrainError, Watcher};
use crate::data::augmentation::Placement;
use crate::data::{Batch, Size};
use crate::metrics::baseline::BaselineError;
use crate::metrics::{MetricError, Score, Scorer};
use crate::predict::predictor::Predictor;
use crate::predict::{Pose, places, poses_in_pictures, sheet};

/// People on a sheet, and how many cells a row has: prediction and truth of four people.
const SHEET: (usize, usize) = (24, 8);

/// A network's predictions for the evaluation split of a configuration.
pub struct Evaluator {
    config: Config,
    input: Size,
    predictor: Predictor,
}

impl Evaluator {
    /// Scores with `predictor`, which was made for the configuration's batch and input size.
    pub fn new(config: &Config, predictor: Predictor) -> Self {
        Self { config: config.clone(), input: config.input_size(), predictor }
    }

    /// Predicts and scores the whole split; `None` where it was asked to stop.
    ///
    /// # Errors
    /// A broken picture, a failing adapter, a person that cannot be scored.
    pub fn score(
        &mut self,
        people: &People,
        watcher: &mut dyn Watcher,
        stop: &AtomicBool,
    ) -> Result<Option<Score>, TrainError> {
        let unscorable = |name: &str, source: MetricError| BaselineError::Metric { name: name.into(), source };
        let set = people.evaluation();
        let mut scorer = Scorer::new(set.skeleton()).map_err(|error| unscorable(set.name(), error))?;
        let mut scored = 0;
        for batch in people.evaluation_batches(&self.config)? {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let batch = batch?;
            for (person, pose) in batch.people.iter().zip(self.poses(&batch)?) {
                scorer
                    .add(&person.joints, person.head_size, &places(&pose))
                    .map_err(|error| unscorable(&person.name, error))?;
            }
            scored += batch.people.len();
            watcher.evaluated(scored, set.len());
        }
        Ok(Some(scorer.score()))
    }

    /// The first people of the split, each with the predicted skeleton and the true one beside it.
    ///
    /// # Errors
    /// As [`score`](Self::score).
    pub fn sheet(&mut self, people: &People) -> Result<RgbImage, TrainError> {
        let set = people.evaluation();
        let skeleton = set.skeleton();
        let (shown, columns) = SHEET;
        let indices: Vec<usize> = (0..set.len().min(shown)).collect();
        let mut cells = Vec::new();
        for group in indices.chunks(self.config.train.batch) {
            let mut batch = Batch::default();
            for &index in group {
                let person = set.load(0, index)?;
                let placement = Placement::upright(&person, self.input);
                batch.push(index, person, &placement, skeleton, self.input)?;
            }
            batch.pad(self.config.train.batch, skeleton);
            for (number, pose) in self.poses(&batch)?.iter().enumerate() {
                let caption = "predicted".to_owned();
                cells.extend(sheet::comparison(&batch, number, self.input, skeleton, &places(pose), caption));
            }
        }
        Ok(sheet::grid(&cells, columns))
    }

    /// The poses of a batch's people in picture pixels.
    fn poses(&mut self, batch: &Batch) -> Result<Vec<Pose>, TrainError> {
        Ok(poses_in_pictures(&self.predictor.predict(batch)?, &batch.people, self.input))
    }
}
