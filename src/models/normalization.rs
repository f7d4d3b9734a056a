//! How a network wants its pictures: what is subtracted from the colours, and what they are divided by.

use serde::{Deserialize, Serialize};

use crate::ops::crop::Normalization;

/// The normalisations of pictures that networks are trained with. The weights of a network are of one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputNormalization {
    /// Mean and deviation of ImageNet's colours.
    #[default]
    Imagenet,
    /// The same, with blue in front of green and red, as OpenCV reads pictures.
    ImagenetBgr,
    /// Less the mean of MPII's colours.
    MpiiMean,
    /// Less the mean of the colours that CPN was trained with.
    CpnMean,
    /// From 0 to 1.
    Unit,
}

impl InputNormalization {
    /// The constants of the crop.
    pub fn constants(self) -> Normalization {
        match self {
            Self::Imagenet => Normalization::IMAGENET,
            Self::ImagenetBgr => Normalization::IMAGENET_BGR,
            Self::MpiiMean => Normalization::MPII_MEAN,
            Self::CpnMean => Normalization::CPN_MEAN,
            Self::Unit => Normalization::UNIT,
        }
    }

    /// Whether it is the one of configurations that do not name any.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
