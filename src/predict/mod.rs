//! Poses from pictures, and pictures from poses: what a program that uses a trained network calls, as `eval` and
//! `predict` of the command line do. It never changes weights, and knows nothing of training.
//!
//! [`Predictor`] is the way in: it opens a checkpoint and finds the joints of people in pictures; a [`PictureQueue`] does
//! so for more pictures than memory holds. Below them [`PoseNetwork`] runs a network on one batch of people. Where the
//! people are is said by [`boxes`]; [`draw`], [`sheet`] and [`explain`] make pictures of what was found; [`video`] reads
//! and writes frames, and [`smooth`] calms poses over time.

pub mod boxes;
pub mod draw;
mod error;
pub mod explain;
pub mod network;
pub mod pictures;
mod pose;
mod predictor;
mod queue;
pub mod sheet;
pub mod shipped;
pub mod smooth;
mod trained;
pub mod video;

pub use boxes::PersonBox;
pub use error::PredictError;
pub use network::{DecodeOptions, Explanation, PoseNetwork};
pub use pose::{Keypoint, Pose, places, poses_in_pictures};
pub use predictor::Predictor;
pub use queue::{PersonPose, PictureQueue, Receiver};
pub use trained::TrainedNetwork;
