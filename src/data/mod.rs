//! People with their joints: data sets, the crop and augmentation of the public HRNet protocol, and the loader that
//! prepares batches ahead of the training step.
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
pub mod files;
mod invalid;
pub mod kind;
pub mod leeds;
pub mod loader;
pub mod mat;
pub mod mpii;
pub mod pictures;
pub mod skeleton;
pub mod synthetic;

use image::RgbImage;
use std::path::PathBuf;

pub use augmentation::Augmentation;
pub use batch::{Batch, BatchPerson};
pub use coco::Coco;
pub use combined::{FirstOf, Joined};
pub use invalid::InvalidValue;
pub use kind::DataKind;
pub use leeds::{Leeds, LeedsSplit};
pub use loader::{Loader, LoaderOptions};
pub use mpii::Mpii;
pub use pictures::Pictures;
pub use skeleton::{Side, Skeleton};
pub use synthetic::{Split, Synthetic, SyntheticOptions};

/// Input pixels a heat-map pixel spans in each direction, in every network here.
pub const STRIDE: u32 = 4;

/// A size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Size {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// The size of the heat maps of an input of this size.
    pub fn heat_map(self) -> Size {
        Size { width: self.width / STRIDE, height: self.height / STRIDE }
    }
}

/// One joint of one person.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Joint {
    /// Column in the picture, pixels, 0-based.
    pub x: f32,
    /// Row in the picture, pixels, 0-based.
    pub y: f32,
    /// Whether the annotation gives a place: the joint then counts in losses and scores. Otherwise x and y mean nothing.
    pub labelled: bool,
    /// Whether the joint can be seen rather than guessed behind something.
    pub visible: bool,
}

/// What is known of a person without looking at the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// Picture and person, for messages.
    pub name: String,
    /// The joints in the skeleton's order, in picture pixels.
    pub joints: Vec<Joint>,
    /// Centre of the person's box in picture pixels.
    pub center: [f32; 2],
    /// Width and height of the box to be cropped in units of 200 pixels, its margin included.
    pub scale: [f64; 2],
    /// The length that PCKh measures errors by, in picture pixels: 0.6 of the head box's diagonal.
    pub head_size: Option<f32>,
}

/// A person with the picture.
#[derive(Clone, Debug)]
pub struct Person {
    /// Picture and person, for messages.
    pub name: String,
    /// The whole picture.
    pub picture: RgbImage,
    /// The joints in the skeleton's order, in picture pixels.
    pub joints: Vec<Joint>,
    /// Centre of the person's box in picture pixels.
    pub center: [f32; 2],
    /// Width and height of the box to be cropped in units of 200 pixels, its margin included.
    pub scale: [f64; 2],
    /// The length that PCKh measures errors by, in picture pixels: 0.6 of the head box's diagonal.
    pub head_size: Option<f32>,
}

impl Person {
    /// The annotation with its picture.
    pub fn new(annotation: Annotation, picture: RgbImage) -> Person {
        let Annotation { name, joints, center, scale, head_size } = annotation;
        Person { name, picture, joints, center, scale, head_size }
    }
}

/// A numbered set of people of one skeleton.
pub trait Dataset: Send + Sync {
    /// Name and split, for messages and logs.
    fn name(&self) -> &str;

    /// The joints of its people.
    fn skeleton(&self) -> &'static Skeleton;

    /// People in one pass.
    fn len(&self) -> usize;

    /// Whether there is nobody in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of person `index` of pass `pass` without decoding or painting the picture.
    ///
    /// `pass` is the epoch: only an endless (synthetic) set gives other people in each pass.
    ///
    /// # Errors
    /// Where the annotation cannot be had; an index past the end is one.
    fn annotation(&self, pass: u64, index: usize) -> Result<Annotation, DataError>;

    /// Person `index` of pass `pass` with the picture; the rest as [`annotation`](Self::annotation) gives it.
    ///
    /// # Errors
    /// As [`annotation`](Self::annotation), and where the picture is missing or broken.
    fn load(&self, pass: u64, index: usize) -> Result<Person, DataError>;
}

/// Why people could not be had.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A folder or file of a data set is not there.
    #[error("{}: not found; {advice}", path.display())]
    Missing {
        /// What was looked for.
        path: PathBuf,
        /// What to do about it.
        advice: String,
    },
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A picture could not be decoded.
    #[error("{name}: {}: broken picture: {source}", path.display())]
    Picture {
        /// Picture and person.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        source: image::ImageError,
    },
    /// A file is not what its data set releases.
    #[error("{}: {problem}", path.display())]
    Annotation {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A person's number is not in the set.
    #[error("{dataset} has {len} people, there is no number {index}")]
    Index {
        /// The set's name.
        dataset: String,
        /// Its size.
        len: usize,
        /// What was asked for, from 0.
        index: usize,
    },
    /// Sets that cannot be used together, or in this way.
    #[error("{0}")]
    Unsuitable(String),
}
