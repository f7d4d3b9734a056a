//! `[loss]`: what is minimised.

use serde::{Deserialize, Serialize};

use crate::data::InvalidValue;

use crate::ops::loss::LossKind;
use crate::train::objective::Objective;

/// The losses of the joint and bone heat maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossName {
    /// Focal L2 as its source defines it.
    FocalL2,
    /// Focal L2 with the factor exactly as the paper's Equation 7 prints it.
    FocalL2Printed,
    /// Mean squared error.
    Mse,
    /// Mean squared error of each picture's 8 hardest joints.
    Ohkm,
    /// Smooth L1 with its bend at 1.
    SmoothL1,
}

impl LossName {
    /// Joints of each picture that `ohkm` counts, as the public code does.
    const HARDEST: usize = 8;

    /// The operator's attribute.
    fn operator(self) -> LossKind {
        match self {
            Self::FocalL2 => LossKind::FocalL2,
            Self::FocalL2Printed => LossKind::FocalL2Printed,
            Self::Mse => LossKind::Mse,
            Self::Ohkm => LossKind::Ohkm { hardest: Self::HARDEST },
            Self::SmoothL1 => LossKind::SmoothL1,
        }
    }
}

/// `[loss]`: `joints + bone_weight * bones`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// Loss of the joint heat maps.
    pub joints: LossName,
    /// Loss of the bone heat maps.
    pub bones: LossName,
    /// The paper's lambda (Equation 10).
    pub bone_weight: f32,
    /// Deviation of the target's Gaussian in heat-map pixels, for joints and bones.
    pub sigma: f32,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self { joints: LossName::FocalL2, bones: LossName::SmoothL1, bone_weight: 0.1, sigma: 2.0 }
    }
}

impl LossConfig {
    /// What a training step minimises.
    pub fn objective(&self) -> Objective {
        Objective { loss: self.joints.operator(), bone_loss: self.bones.operator(), bone_weight: self.bone_weight }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn check(&self) -> Result<(), InvalidValue> {
        use LossName::{FocalL2, Mse, SmoothL1};
        let rule = InvalidValue::unless;
        let Self { joints, bones, bone_weight, sigma } = self;
        rule(*joints != SmoothL1, "joints", joints, "must be one of focal-l2, focal-l2-printed, mse, ohkm")?;
        let known = matches!(bones, SmoothL1 | Mse | FocalL2);
        rule(known, "bones", bones, "must be one of smooth-l1, mse, focal-l2")?;
        rule(bone_weight.is_finite() && *bone_weight >= 0.0, "bone_weight", bone_weight, "must be 0 or more")?;
        rule(sigma.is_finite() && *sigma > 0.0, "sigma", sigma, "must be more than 0")
    }
}
