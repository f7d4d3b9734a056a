//! From pictures and boxes to poses, in one call.

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;

use super::boxes::PersonBox;
use super::error::PredictError;
use super::network::PoseNetwork;
use super::pose::Pose;
use super::queue::{PersonPose, PictureQueue, Receiver};
use super::trained::TrainedNetwork;
use crate::data::Skeleton;
use crate::gpu::Gpu;
use crate::nn::NetworkError;
use crate::nn::checkpoint::network_of;

/// People that [`Predictor::open`] lets the network look at together.
const BATCH: usize = 8;

/// A trained network on a device, with what is needed to use it on pictures.
///
/// ```no_run
/// use std::path::Path;
///
/// use ditn::gpu::{AdapterChoice, Gpu};
/// use ditn::predict::{PersonBox, Predictor};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gpu = Gpu::open(&AdapterChoice::default())?;
/// let mut predictor = Predictor::open(&gpu, Path::new("best.safetensors"))?;
/// let street = ditn::predict::pictures::open(Path::new("street.jpg"), ditn::data::ExifOrientation::Apply)?;
/// let people = vec![PersonBox { x: 40.0, y: 20.0, width: 180.0, height: 400.0 }];
/// let poses = predictor.predict(&[street], &[people])?;
/// for (joint, keypoint) in predictor.skeleton().joints.iter().zip(&poses[0][0]) {
///     println!("{joint}: {:.1}, {:.1} with a score of {:.2}", keypoint.x, keypoint.y, keypoint.score);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Predictor {
    network: PoseNetwork,
}

impl Predictor {
    /// Opens a checkpoint that `ditn train`, `ditn import` or `ditn export` wrote. Joints are decoded as the run was
    /// evaluated.
    ///
    /// # Errors
    /// [`PredictError::Checkpoint`], [`PredictError::Network`].
    pub fn open(gpu: &Arc<Gpu>, checkpoint: &Path) -> Result<Self, PredictError> {
        Self::new(gpu, &TrainedNetwork::load(checkpoint)?, BATCH)
    }

    /// Puts a network on a device, to look at `batch` people together (at least 1).
    ///
    /// # Errors
    /// [`PredictError::Checkpoint`] where the tensors are not those of the network; [`PredictError::Network`].
    pub fn new(gpu: &Arc<Gpu>, trained: &TrainedNetwork, batch: usize) -> Result<Self, PredictError> {
        let TrainedNetwork { model, size, decode, state, path } = trained;
        let state = network_of(path, &model.shapes(*size).map_err(NetworkError::from)?, state)?;
        let mut network = PoseNetwork::new(gpu, model, *size, batch.max(1), *decode)?;
        network.load(&state)?;
        Ok(Self { network })
    }

    /// The joints that it finds, in the order of each pose.
    pub fn skeleton(&self) -> &Arc<Skeleton> {
        self.network.skeleton()
    }

    /// The poses of the people in pictures: for each picture, one for each of its boxes, in the pixels of the picture.
    /// The network looks at one person at a time; [`PersonBox::whole`] is the box of a picture of one person.
    ///
    /// # Errors
    /// [`PredictError::Boxes`] where there is not one list of boxes for each picture; [`PredictError::Data`] for a box
    /// without extent; errors of the device.
    pub fn predict(&mut self, pictures: &[RgbImage], boxes: &[Vec<PersonBox>]) -> Result<Vec<Vec<Pose>>, PredictError> {
        if pictures.len() != boxes.len() {
            return Err(PredictError::Boxes { pictures: pictures.len(), boxes: boxes.len() });
        }
        let mut queue = self.queue(Poses(Vec::new()));
        for (number, (picture, boxes)) in pictures.iter().zip(boxes).enumerate() {
            queue.push((), format!("picture {number}"), picture.clone(), boxes.clone())?;
        }
        Ok(queue.finish()?.0)
    }

    /// A queue for pictures that come one after the other, such as more than memory holds.
    pub fn queue<R: Receiver>(&mut self, receiver: R) -> PictureQueue<'_, R> {
        PictureQueue::new(&mut self.network, receiver)
    }
}

/// Collects the poses of each picture.
struct Poses(Vec<Vec<Pose>>);

impl Receiver for Poses {
    type Picture = ();
    type Error = PredictError;

    fn picture(&mut self, (): (), _: RgbImage, people: Vec<PersonPose>) -> Result<(), PredictError> {
        self.0.push(people.into_iter().map(|person| person.pose).collect());
        Ok(())
    }
}
