//! A person and what is known of one.

use image::RgbImage;
use serde::{Deserialize, Serialize};

/// One joint of one person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Joint {
    /// Column in the picture, pixels, 0-based.
    pub x: f32,
    /// Row in the picture, pixels, 0-based.
    pub y: f32,
    /// Whether the annotation gives a place: the joint then counts in losses and scores. Otherwise x and y mean nothing.
    pub labelled: bool,
    /// Whether the joint can be seen rather than guessed behind something; where the annotation does not say, it can.
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
