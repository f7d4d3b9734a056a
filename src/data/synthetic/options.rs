//! How hard synthetic pictures are: `[data.synthetic]` of a configuration.

use serde::{Deserialize, Serialize};

use crate::data::InvalidValue;

/// How hard the pictures are. The default is moderate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyntheticOptions {
    /// Side of the square picture in pixels; the person's box takes 0.6 to 0.9 of it.
    pub picture: u32,
    /// Probability of a person seen from behind.
    pub back_views: f64,
    /// Probability of a lunge, kick, jump, bow or squat; a fifth of it is also that of a person who lies down.
    pub unusual_poses: f64,
    /// Probability of another person in the picture, and of one more when there is one.
    pub other_people: f64,
    /// Probability of a thing in front of the person.
    pub occluders: f64,
    /// Probability that an edge of the picture cuts the person.
    pub truncation: f64,
    /// Mean number of things in the background.
    pub clutter: f64,
    /// Most that a pixel's neighbours contribute to it, 0 to 1; half of the pictures are sharp.
    pub blur: f64,
    /// Most that noise changes a channel, as a share of white.
    pub noise: f64,
}

impl Default for SyntheticOptions {
    fn default() -> Self {
        SyntheticOptions {
            picture: 160,
            back_views: 0.15,
            unusual_poses: 0.12,
            other_people: 0.2,
            occluders: 0.15,
            truncation: 0.05,
            clutter: 6.0,
            blur: 1.0,
            noise: 0.04,
        }
    }
}

impl SyntheticOptions {
    /// Checks the ranges of the values.
    ///
    /// # Errors
    /// The first value outside its range.
    pub fn check(&self) -> Result<(), InvalidValue> {
        let rule = InvalidValue::unless;
        for (key, value) in [
            ("back_views", self.back_views),
            ("unusual_poses", self.unusual_poses),
            ("other_people", self.other_people),
            ("occluders", self.occluders),
            ("truncation", self.truncation),
            ("blur", self.blur),
            ("noise", self.noise),
        ] {
            rule((0.0..=1.0).contains(&value), key, &value, "must lie between 0 and 1")?;
        }
        let clutter = (0.0..=1000.0).contains(&self.clutter);
        rule(clutter, "clutter", &self.clutter, "must lie between 0 and 1000")?;
        let picture = (32..=4096).contains(&self.picture);
        rule(picture, "picture", &self.picture, "must lie between 32 and 4096 pixels")
    }
}
