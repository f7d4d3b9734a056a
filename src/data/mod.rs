//! People with their joints: data sets, the crop and augmentation of the public HRNet protocol, and the loader that
//! prepares batches ahead of the training step. Training, prediction and the command line read people through it; it
//! prepares numbers on the host and runs nothing on a device.
//!
//! The host decodes pictures, draws the augmentation and works out each person's affine transform; sampling the
//! crop, normalising it and drawing the target maps are operators that read a [`Batch`].
//!
//! Coordinates are pixels with the origin at the centre of the upper left pixel, x to the right and y down.

pub mod augmentation;
mod batch;
pub mod coco;
pub mod combined;
pub mod crop;
mod dataset;
pub mod decode;
mod error;
pub mod files;
mod invalid;
pub mod kind;
pub mod leeds;
pub mod loader;
mod loader_options;
pub mod mat;
pub mod mpii;
mod person;
pub mod pictures;
mod sides;
mod size;
pub mod skeleton;
pub mod skeleton_table;
pub mod synthetic;
mod window;

pub use augmentation::Augmentation;
pub use batch::{Batch, BatchPerson, Place};
pub use coco::Coco;
pub use combined::{FirstOf, Joined};
pub use dataset::Dataset;
pub use decode::{DecodeError, ExifOrientation, decode_picture};
pub use error::DataError;
pub use invalid::InvalidValue;
pub use kind::DataKind;
pub use leeds::{Leeds, LeedsSplit};
pub use loader::Loader;
pub use loader_options::{Broken, LoaderOptions, Share};
pub use mpii::Mpii;
pub use person::{Annotation, Joint, Person};
pub use pictures::Pictures;
pub use size::{STRIDE, Size};
pub use skeleton::{Side, Skeleton};
pub use skeleton_table::SkeletonTable;
pub use synthetic::{Split, Synthetic, SyntheticOptions};
