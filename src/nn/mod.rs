//! Networks from operators, and their training: what a user of this crate builds with, as [`models`](crate::models) and
//! [`train`](crate::train) do. It knows the engine below it, and nothing of poses, pictures' files or configurations.
//!
//! A [`Network`] is a graph under construction. [`layers`] give operators their parameters, names and initial values.
//! Names nest by [`Network::scope`] into those of the public PyTorch checkpoints
//! (`stage2.0.branches.0.0.conv1.weight`). A layer that is built a second time under the same name shares its parameters
//! with the first.
//!
//! [`Training`] says what is minimised and how; [`TrainingStep`] is the step as a graph, without a device; a [`Trainer`]
//! runs it on one, or with other ranks on several; a [`Spread`] says how the pictures of a step are divided. [`WeightFile`]
//! reads tensors that others have saved, [`Matching`] says which of them are the network's.

pub mod checkpoint;
mod error;
mod exchange;
mod file_kind;
mod file_names;
mod initial;
mod input;
pub mod layers;
mod matching;
mod micro_batches;
mod network;
mod optimizer;
mod precision;
pub mod pth;
mod public_names;
mod pytorch;
mod spread;
mod stored;
mod trainer;
mod training;
mod weight_error;
mod weight_file;

pub use error::NetworkError;
pub use exchange::Communication;
pub use file_names::{OPTIMIZER, Shapes, says_average};
pub use initial::{Initial, WeightInit};
pub use input::PictureInputs;
pub use layers::{BatchNormLayer, Conv2dLayer, LinearLayer, Pool2d};
pub use matching::{Matching, OtherShape, WeightCopy};
pub use micro_batches::buckets;
pub use network::{Mode, Network};
pub use optimizer::{LOSS_SCALE, Optimizer};
pub use precision::Precision;
pub use public_names::PublicNames;
pub use spread::{BUCKET_BYTES, Spread};
pub use trainer::{LossScale, PendingStep, Trainer};
pub use training::{Gradients, Training, TrainingStep};
pub use weight_error::WeightFileError;
pub use weight_file::WeightFile;
