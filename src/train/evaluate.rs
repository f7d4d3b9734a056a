//! Scoring a network on the evaluation split.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use image::RgbImage;

use super::config::Config;
use super::error::TrainError;
use super::people::People;
use super::team::{Intent, agree, all_succeed};
use super::watcher::Watcher;
use crate::data::augmentation::Placement;
use crate::data::loader::blank;
use crate::data::{Batch, BatchPerson, Broken, DataError, Share, Skeleton};
use crate::gpu::Gpu;
use crate::nn::NetworkError;
use crate::nn::checkpoint::{self, State};
use crate::predict::{Keypoint, Pose, PoseNetwork, places, sheet};
use crate::ranks::{Communicator, gather};

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

/// Predictions for a share of a split, with the reasons why people of it cannot be used.
type ShareOfSplit = (Vec<Prediction>, Vec<String>);

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
        let Some((predictions, skipped)) = self.predict_share(people, (&Share::default(), 1), watcher, stop)? else {
            return Ok(None);
        };
        say_skipped(people, &skipped)?;
        Ok(Some(predictions))
    }

    /// The poses of the whole split, in its order, of which each rank predicts its share; `None` where one was asked to stop. All
    /// ranks have all poses in the end.
    ///
    /// # Errors
    /// As [`predict`](Self::predict), of any rank.
    pub fn poses(
        &mut self,
        people: &People,
        ranks: &dyn Communicator,
        watcher: &mut dyn Watcher,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<Pose>>, TrainError> {
        let share = Share { of: ranks.size(), own: ranks.rank()..ranks.rank() + 1 };
        let own = self.predict_share(people, (&share, ranks.local().1), watcher, stop);
        let own = own.map(|found| found.map_or(Intent::Stop, Intent::GoOn));
        let Intent::GoOn((predictions, skipped)) = agree(ranks, own)? else { return Ok(None) };
        let poses = poses_of(&predictions);
        if ranks.size() == 1 {
            say_skipped(people, &skipped)?;
            return Ok(Some(poses));
        }
        let skipped = gather(ranks, &skipped).concat();
        all_succeed(
            ranks,
            if ranks.rank() == 0 { say_skipped(people, &skipped).map_err(TrainError::from) } else { Ok(()) },
        )?;
        let words: Vec<f32> = poses.iter().flatten().flat_map(|it| [it.x, it.y, it.score]).collect();
        let joints = people.skeleton().joints.len();
        let of_ranks = ranks.all_gather(bytemuck::cast_slice(&words)).into_iter().map(|bytes| {
            let words: Vec<[f32; 3]> = bytemuck::pod_collect_to_vec(&bytes);
            let joint = |&[x, y, score]: &[f32; 3]| Keypoint { x, y, score };
            words.chunks_exact(joints).map(|pose| pose.iter().map(joint).collect()).collect()
        });
        Ok(Some(taking_turns(&of_ranks.collect::<Vec<Vec<Pose>>>(), self.config.train.batch)))
    }

    /// Predicts a share of the split; `None` where it was asked to stop.
    fn predict_share(
        &mut self,
        people: &People,
        (share, sharers): (&Share, usize),
        watcher: &mut dyn Watcher,
        stop: &AtomicBool,
    ) -> Result<Option<ShareOfSplit>, TrainError> {
        let all = people.evaluation().len();
        let mut predictions = Vec::with_capacity(all / share.of);
        let mut skipped = Vec::new();
        for batch in people.evaluation_batches(&self.config, share.clone(), sharers)? {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let mut batch = batch?;
            skipped.append(&mut batch.skipped);
            let poses = self.network.poses(&batch)?;
            let found = batch.people.into_iter().zip(poses).map(|(person, pose)| Prediction { person, pose });
            predictions.extend(found);
            // The others have come as far.
            watcher.evaluated((predictions.len() * share.of).min(all), all);
        }
        Ok(Some((predictions, skipped)))
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

/// Says that people cannot be used, and why.
///
/// # Errors
/// Where nobody can.
fn say_skipped(people: &People, skipped: &[String]) -> Result<(), DataError> {
    let Some(first) = skipped.first() else { return Ok(()) };
    let set = people.evaluation();
    let (broken, all, name) = (skipped.len(), set.len(), set.name());
    if broken == all {
        let message = format!("none of the {all} people of {name} can be used; {first}");
        return Err(DataError::Unsuitable(message));
    }
    tracing::warn!(
        "{broken} of the {all} people of {name} cannot be used and count as not found (-v says who and why)"
    );
    skipped.iter().for_each(|reason| tracing::info!("counts as not found: {reason}"));
    Ok(())
}

/// All of `shares` where they take turns by `batch`.
fn taking_turns<T: Clone>(shares: &[Vec<T>], batch: usize) -> Vec<T> {
    let rounds = shares.iter().map(|share| share.len().div_ceil(batch)).max().unwrap_or(0);
    let turn = |round: usize| shares.iter().flat_map(move |share| share.chunks(batch).nth(round).unwrap_or_default());
    (0..rounds).flat_map(turn).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::taking_turns;

    #[test]
    fn shares_take_turns_until_none_has_any_left() {
        let shares = [vec![0, 1, 6, 7, 10], vec![2, 3, 8, 9], vec![4, 5]];
        assert_eq!(taking_turns(&shares, 2), (0..=10).collect::<Vec<_>>());
        assert!(taking_turns::<u8>(&[Vec::new(), Vec::new()], 2).is_empty());
    }
}
