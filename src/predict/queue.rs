//! Pictures on their way through a network.

use std::collections::VecDeque;
use std::sync::Arc;

use image::RgbImage;

use super::boxes::PersonBox;
use super::error::PredictError;
use super::explain;
use super::network::PoseNetwork;
use super::pose::Pose;
use crate::data::Batch;
use crate::data::augmentation::Placement;

/// Pictures that wait for the network together have no more bytes than this, unless a single one has more: a large
/// picture does not wait until a batch is full.
const MOST_BYTES: usize = 1 << 28;

/// A person in a picture with the pose that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonPose {
    /// Where the person is.
    pub person: PersonBox,
    /// The joints.
    pub pose: Pose,
}

impl PersonPose {
    /// The mean of the joints' scores.
    pub fn score(&self) -> f32 {
        self.pose.iter().map(|keypoint| keypoint.score).sum::<f32>() / self.pose.len() as f32
    }
}

/// Takes what a [`PictureQueue`] finds, in the order of pictures and boxes.
pub trait Receiver {
    /// What the caller knows a picture by.
    type Picture;
    /// Why it cannot take what was found.
    type Error: From<PredictError>;

    /// Whether [`explained`](Self::explained) is wanted.
    fn explains(&self) -> bool {
        false
    }

    /// What lies behind the pose of a picture's `number`th person (from 1): see [`explain::sheet`].
    ///
    /// # Errors
    /// What the receiver says; the queue ends with it.
    fn explained(&mut self, _picture: &Self::Picture, _number: usize, _sheet: RgbImage) -> Result<(), Self::Error> {
        Ok(())
    }

    /// All people of a picture were found: a pose for each box.
    ///
    /// # Errors
    /// What the receiver says; the queue ends with it.
    fn picture(&mut self, picture: Self::Picture, image: RgbImage, people: Vec<PersonPose>) -> Result<(), Self::Error>;
}

/// A picture with the people in it.
struct Open<P> {
    picture: P,
    image: RgbImage,
    boxes: Vec<PersonBox>,
    /// Of the first people; the others wait.
    poses: Vec<Pose>,
}

/// Sends people through a network in full batches, which may span pictures. A picture is held until all of its people
/// were found, and then handed to the receiver.
pub struct PictureQueue<'a, R: Receiver> {
    network: &'a mut PoseNetwork,
    receiver: R,
    /// The pictures that the receiver does not have yet.
    open: VecDeque<Open<R::Picture>>,
    /// Their people who wait for the network, in order.
    waiting: Batch,
}

impl<'a, R: Receiver> PictureQueue<'a, R> {
    pub(super) fn new(network: &'a mut PoseNetwork, receiver: R) -> Self {
        Self { network, receiver, open: VecDeque::new(), waiting: Batch::default() }
    }

    /// Adds a picture with its people, any number of them. `name` stands for it in messages. The network runs whenever a
    /// batch is full, or the pictures that wait are large together.
    ///
    /// # Errors
    /// [`PredictError::Data`] for a box without extent, errors of the device and of the receiver. The queue is of no use
    /// after one.
    pub fn push(
        &mut self,
        picture: R::Picture,
        name: String,
        image: RgbImage,
        boxes: Vec<PersonBox>,
    ) -> Result<(), R::Error> {
        let held: usize = self.open.iter().map(|open| open.image.len()).sum();
        if held + image.len() > MOST_BYTES {
            self.run()?;
        }
        let (skeleton, input) = (Arc::clone(self.network.skeleton()), self.network.input());
        let people = boxes.len();
        self.open.push_back(Open { picture, image, boxes, poses: Vec::new() });
        for number in 0..people {
            if self.waiting.len() == self.network.batch() {
                self.run()?;
            }
            // The picture stays open until all of its people were found.
            let Some(Open { image, boxes, .. }) = self.open.back() else { break };
            let person = boxes[number].annotation(name.clone(), &skeleton);
            let placement = Placement::upright_at(person.center, person.scale, input);
            let pushed = self.waiting.push_from(0, person, image, &placement, &skeleton, input);
            pushed.map_err(PredictError::from)?;
        }
        self.hand_over()
    }

    /// Finds the people who still wait. Returns the receiver, which then has all pictures.
    ///
    /// # Errors
    /// Errors of the device and of the receiver.
    pub fn finish(mut self) -> Result<R, R::Error> {
        self.run()?;
        Ok(self.receiver)
    }

    /// Finds the people who wait, and hands over the pictures of which no one waits any more.
    fn run(&mut self) -> Result<(), R::Error> {
        let mut batch = std::mem::take(&mut self.waiting);
        if !batch.is_empty() {
            let (skeleton, input) = (Arc::clone(self.network.skeleton()), self.network.input());
            batch.pad(self.network.batch(), &skeleton);
            let poses = self.network.poses(&batch).map_err(PredictError::from)?;
            let explains = self.receiver.explains();
            let explanation = explains.then(|| self.network.explain()).transpose().map_err(PredictError::from)?;
            for (n, pose) in poses.into_iter().enumerate() {
                // Whoever was in the batch is in an open picture.
                let next = self.open.iter_mut().find(|open| open.poses.len() < open.boxes.len());
                let Some(open) = next else { break };
                if let Some(explanation) = &explanation {
                    let sheet = explain::sheet(&batch, n, input, &skeleton, &pose, explanation);
                    self.receiver.explained(&open.picture, open.poses.len() + 1, sheet)?;
                }
                open.poses.push(pose);
            }
        }
        self.hand_over()
    }

    /// Hands over the first pictures, as many as all of whose people were found.
    fn hand_over(&mut self) -> Result<(), R::Error> {
        let done = self.open.iter().take_while(|open| open.poses.len() == open.boxes.len()).count();
        for Open { picture, image, boxes, poses } in self.open.drain(..done) {
            let found = boxes.into_iter().zip(poses).map(|(person, pose)| PersonPose { person, pose });
            self.receiver.picture(picture, image, found.collect())?;
        }
        Ok(())
    }
}
