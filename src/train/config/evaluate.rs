//! `[evaluate]`: how people are scored.

use serde::{Deserialize, Serialize};

use crate::data::InvalidValue;

use crate::ops::decode::Decode;
use crate::predict::DecodeOptions;

/// Which people a score is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// People that training never sees.
    HeldOut,
    /// The training people themselves, without augmentation: for checking that a network can fit them.
    Train,
}

/// `[evaluate]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateConfig {
    /// Epochs between evaluations; the last epoch always ends with one.
    pub every: usize,
    /// How many people are scored; 0 means all of the split (synthetic: 256).
    pub people: usize,
    /// Average the heat maps with those of the mirrored picture.
    pub flip_test: bool,
    /// How a heat map becomes a point: "quarter" of a pixel towards the larger neighbours, "quarter-floor" that and half a pixel,
    /// "dark", "expectation", or { second-maximum = 21 } with the side of the blur.
    pub decode: Decode,
    /// Which people.
    pub split: Split,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        let DecodeOptions { flip_test, decode } = DecodeOptions::default();
        Self { every: 1, people: 0, flip_test, decode, split: Split::HeldOut }
    }
}

impl EvaluateConfig {
    /// How joints are read from heat maps.
    pub fn decode_options(&self) -> DecodeOptions {
        DecodeOptions { flip_test: self.flip_test, decode: self.decode }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn check(&self) -> Result<(), InvalidValue> {
        let rule = InvalidValue::unless;
        rule(self.every >= 1, "every", &self.every, "must be at least 1")?;
        let blur = match self.decode {
            Decode::SecondMaximum(side) => side >= 5 && !side.is_multiple_of(2),
            _ => true,
        };
        rule(blur, "decode", &self.decode, "must have an odd side of the blur, 5 or more")
    }
}
