//! Scoring a network on the evaluation split.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use image::RgbImage;

use super::config::Config;
use super::error::TrainError;
use super::people::People;
use super::watcher::Watcher;
use crate::data::augmentation::Placement;
use crate::data::loader::blank;
use crate::data::{Batch, BatchPerson, Broken, DataError, Skeleton};
use crate::gpu::Gpu;
use crate::nn::NetworkError;
use crate::nn::checkpoint::{self, State};
use crate::predict::{Pose, PoseNetwork, places, sheet};

/// People on a sheet, and how many cells a row has: prediction and truth of four people.
const SHEET: (usize, usize) = (24, 8);

/// The network of a checkpoint read from `path`, ready for `batch` pictures at a time.
///
/// # Errors
/// Tensors that are not those of the configuration's network; errors of the adapter.
pub fn network_of(
    gpu: &Arc<Gpu>,
    config: &Config,
    skeleton: &Arc<Skeleton>,
    batch: usize,
    path: &Path,
    state: &State,
) -> Result<PoseNetwork, TrainError> {
    let model = config.model_config(skeleton);
    let state = checkpoint::network_of(path, &model.shapes(config.train.size).map_err(NetworkError::from)?, state)?;
    let mut network = PoseNetwork::new(gpu, &model, config.train.size, batch, config.evaluate.decode_options())?;
    network.load(&state)?;
    Ok(network)
}

/// A person of an evaluation split with the pose that a network found.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// The person, with the true joints.
    pub person: BatchPerson,
    /// What was found, in the pixels of the whole picture.
    pub pose: Pose,
}

impl Prediction {
    /// The mean distance of the labelled joints from where they were found, as a share of the longer side of the
    /// person's box; 0 where no joint is labelled. It orders people of any skeleton, whatever their metric.
    pub fn error(&self) -> f64 {
        let [width, height] = self.person.scale.map(|scale| scale * 200.0);
        let labelled = || self.person.joints.iter().zip(&self.pose).filter(|(joint, _)| joint.labelled);
        let sum: f64 = labelled().map(|(joint, found)| f64::from((joint.x - found.x).hypot(joint.y - found.y))).sum();
        sum / labelled().count().max(1) as f64 / width.max(height)
    }
}

/// The poses alone.
pub fn poses_of(predictions: &[Prediction]) -> Vec<Pose> {
    predictions.iter().map(|prediction| prediction.pose.clone()).collect()
}

/// A network's predictions for the evaluation split of a configuration.
pub struct Evaluator {
    config: Config,
    network: PoseNetwork,
}

impl Evaluator {
    /// Scores with `network`, which was made for the configuration's batch and input size.
    pub fn new(config: &Config, network: PoseNetwork) -> Self {
        Self { config: config.clone(), network }
    }

    /// Predicts the whole split, in its order; `None` where it was asked to stop. People who cannot be used are an error, or
    /// with `data.broken = "skip"` black pictures, unless all are.
    ///
    /// # Errors
    /// A broken picture, a failing adapter.
    pub fn predict(
        &mut self,
        people: &People,
        watcher: &mut dyn Watcher,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<Prediction>>, TrainError> {
        let set = people.evaluation();
        let mut predictions = Vec::with_capacity(set.len());
        let mut skipped = Vec::new();
        for batch in people.evaluation_batches(&self.config)? {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let mut batch = batch?;
            skipped.append(&mut batch.skipped);
            let poses = self.network.poses(&batch)?;
            let found = batch.people.into_iter().zip(poses).map(|(person, pose)| Prediction { person, pose });
            predictions.extend(found);
            watcher.evaluated(predictions.len(), set.len());
        }
        if let Some(first) = skipped.first() {
            let (broken, all, name) = (skipped.len(), set.len(), set.name());
            if broken == all {
                let message = format!("none of the {all} people of {name} can be used; {first}");
                return Err(DataError::Unsuitable(message).into());
            }
            tracing::warn!(
                "{broken} of the {all} people of {name} cannot be used and count as not found (-v says who and why)"
            );
            skipped.iter().for_each(|reason| tracing::info!("counts as not found: {reason}"));
        }
        Ok(Some(predictions))
    }

    /// The first people of the split, each with the predicted skeleton and the true one beside it.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn sheet(&mut self, people: &People) -> Result<RgbImage, TrainError> {
        let set = people.evaluation();
        let (skeleton, input) = (set.skeleton(), self.network.input());
        let (shown, columns) = SHEET;
        let indices: Vec<usize> = (0..set.len().min(shown)).collect();
        let mut cells = Vec::new();
        for group in indices.chunks(self.config.train.batch) {
            let mut batch = Batch::default();
            for &index in group {
                let person = match set.load(0, index) {
                    Err(_) if self.config.data.broken == Broken::Skip => blank(&**set, 0, index)?,
                    person => person?,
                };
                let placement = Placement::upright(&person, input);
                batch.push(index, person, &placement, skeleton, input)?;
            }
            batch.pad(self.config.train.batch, skeleton);
            for (number, pose) in self.network.poses(&batch)?.iter().enumerate() {
                let found = (places(pose), "predicted".to_owned());
                cells.extend(sheet::comparison(&batch, number, input, skeleton, &[found]));
            }
        }
        Ok(sheet::grid(&cells, columns))
    }
}
