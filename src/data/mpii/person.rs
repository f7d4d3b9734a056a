//! A person of MPII, from either kind of annotations.

use crate::data::Joint;

/// A person of either kind of annotations, in 0-based picture pixels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AnnotatedPerson {
    pub picture: String,
    pub joints: Vec<Joint>,
    pub center: [f32; 2],
    pub scale: f64,
    pub head_size: Option<f32>,
}

impl AnnotatedPerson {
    /// From numbers as both kinds of annotations give them: 1-based pixels, the scale in units of 200 pixels.
    ///
    /// As the public HRNet code does, the box is moved down a little and made a quarter larger to hold all limbs.
    pub fn new(picture: String, joints: Vec<Joint>, center: [f64; 2], scale: f64, head_size: Option<f32>) -> Self {
        let (down, larger) = if center[0] == -1.0 { (0.0, 1.0) } else { (15.0 * scale, 1.25) };
        let center = [center[0] - 1.0, center[1] + down - 1.0].map(|v| v as f32);
        AnnotatedPerson { picture, joints, center, scale: scale * larger, head_size }
    }
}

/// A joint at 1-based pixels.
pub(super) fn joint([x, y]: [f64; 2], labelled: bool, visible: bool) -> Joint {
    Joint { x: (x - 1.0) as f32, y: (y - 1.0) as f32, labelled, visible }
}
