//! `[loss]`: what is minimised.

use serde::{Deserialize, Serialize};

use crate::data::InvalidValue;

use crate::ops::loss::LossKind;
use crate::train::objective::Objective;
use crate::train::step::TargetMaps;

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

/// `[loss]`: `joint_weight * joints + bone_weight * bones`, and where the network has them, the joint maps before the last ones
/// (as `joints`, or the coarse ones as `coarse`) and `coordinate_weight * coordinates`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// Loss of the joint heat maps, and of those of earlier stacks or stages.
    pub joints: LossName,
    /// What these losses count. 0 leaves them out, as integral pose regression may.
    pub joint_weight: f32,
    /// CPN, RSN: loss of the coarse maps, GlobalNet's and those of each stage but the finest.
    pub coarse: LossName,
    /// CPN, RSN: what these losses count.
    pub coarse_weight: f32,
    /// Loss of the bone heat maps.
    pub bones: LossName,
    /// The paper's lambda (Equation 10).
    pub bone_weight: f32,
    /// Integral pose regression (`model.integral`): what the L1 distance of the coordinates counts, in widths and heights of the
    /// crop, summed over the joints. The joint maps, where they count too, are judged behind their softmax.
    pub coordinate_weight: f32,
    /// Targets of the joint maps: "gaussian" with peak 1, or "blurred" with peak 255, wider for coarse maps, which then learn
    /// only the joints that can be seen: those of CPN and RSN.
    pub targets: TargetMaps,
    /// Deviation of the target's Gaussian in heat-map pixels, for joints and bones.
    pub sigma: f32,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            joints: LossName::FocalL2,
            joint_weight: 1.0,
            coarse: LossName::Mse,
            coarse_weight: 1.0,
            bones: LossName::SmoothL1,
            bone_weight: 0.1,
            coordinate_weight: 1.0,
            targets: TargetMaps::Gaussian,
            sigma: 2.0,
        }
    }
}

impl LossConfig {
    /// What a training step minimises.
    pub fn objective(&self) -> Objective {
        Objective {
            loss: self.joints.operator(),
            joint_weight: self.joint_weight,
            coarse_loss: self.coarse.operator(),
            coarse_weight: self.coarse_weight,
            bone_loss: self.bones.operator(),
            bone_weight: self.bone_weight,
            coordinate_weight: self.coordinate_weight,
            softmax_factor: std::f32::consts::TAU * self.sigma * self.sigma,
        }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn check(&self) -> Result<(), InvalidValue> {
        use LossName::{FocalL2, Mse, SmoothL1};
        let rule = InvalidValue::unless;
        let Self { joints, coarse, bones, sigma, .. } = self;
        rule(*joints != SmoothL1, "joints", joints, "must be one of focal-l2, focal-l2-printed, mse, ohkm")?;
        rule(*coarse != SmoothL1, "coarse", coarse, "must be one of focal-l2, focal-l2-printed, mse, ohkm")?;
        let known = matches!(bones, SmoothL1 | Mse | FocalL2);
        rule(known, "bones", bones, "must be one of smooth-l1, mse, focal-l2")?;
        // The focal losses are made for peaks of 1.
        let whole = |loss: &LossName| self.targets == TargetMaps::Gaussian || matches!(loss, Mse | LossName::Ohkm);
        rule(whole(joints), "joints", joints, "must be mse or ohkm with blurred targets")?;
        rule(whole(coarse), "coarse", coarse, "must be mse or ohkm with blurred targets")?;
        for (key, weight) in [
            ("joint_weight", self.joint_weight),
            ("coarse_weight", self.coarse_weight),
            ("bone_weight", self.bone_weight),
            ("coordinate_weight", self.coordinate_weight),
        ] {
            rule(weight.is_finite() && weight >= 0.0, key, &weight, "must be 0 or more")?;
        }
        rule(sigma.is_finite() && *sigma > 0.0, "sigma", sigma, "must be more than 0")
    }
}
