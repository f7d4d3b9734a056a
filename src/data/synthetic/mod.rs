//! Synthetic people: an endless supply of pictures of articulated figures with exact joints, in MPII's skeleton.
//!
//! A person is a function of the seed, the split, the pass and the index alone. Left and right can be told as on a
//! real person: by the face, the feet, the way knees and elbows bend, and by what hides what.
//!
//! From the ground up: `vector` calculates, `random` draws; a `pose` bends a `body`, a `figure` dresses it in what
//! `surface` colours, as `shapes`; a `scene` puts people, things and background together and `paint` paints it.

mod body;
mod figure;
mod options;
mod paint;
mod people;
mod pose;
mod random;
mod scene;
mod shapes;
mod surface;
mod vector;

pub use options::SyntheticOptions;
pub use people::{Split, Synthetic};
