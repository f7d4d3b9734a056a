//! Scoring a network on the evaluation split.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use image::RgbImage;

use super::checkpoint::{Shapes, State, check_fits, network_only};
use super::config::Config;
use super::people::People;
use super::run::{TrainError, Watcher};
use crate::data::augmentation::Placement;
use crate::data::{Batch, Size, Skeleton};
use crate::gpu::Gpu;
use crate::ir::{Role, Value};
use crate::metrics::baseline::BaselineError;
use crate::metrics::{MetricError, Score, Scorer};
use crate::nn::{Mode, Network};
use crate::predict::predictor::{NetworkError, Predictor};
use crate::predict::{Pose, places, poses_in_pictures, sheet};

/// People on a sheet, and how many cells a row has: prediction and truth of four people.
const SHEET: (usize, usize) = (24, 8);

/// The network of a checkpoint read from `path`, ready for `batch` pictures at a time.
///
/// # Errors
/// Tensors that are not those of the configuration's network; errors of the adapter.
pub fn predictor_of(
    gpu: &Arc<Gpu>,
    config: &Config,
    skeleton: &'static Skeleton,
    batch: usize,
    path: &Path,
    state: &State,
) -> Result<Predictor, TrainError> {
    let model = config.model_config(skeleton);
    let mut net = Network::new(Mode::Inference);
    let (_, image) = net.pictures(batch, config.train.size).map_err(NetworkError::from)?;
    model.build(&mut net, image).map_err(NetworkError::from)?;
    let kept = |value: &&Value| matches!(value.role, Role::Parameter | Role::State);
    let expected: Shapes =
        net.graph.values().iter().filter(kept).map(|v| (v.name.clone(), v.shape.extents().to_vec())).collect();
    let state = network_only(state);
    check_fits(path, &expected, &state)?;
    let mut predictor = Predictor::new(gpu, &model, config.train.size, batch, config.evaluate.flip_test)?;
    predictor.load(&state)?;
    Ok(predictor)
}

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
