//! The whole configuration of a run.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::data::DataConfig;
use super::error::ConfigError;
use super::evaluate::EvaluateConfig;
use super::loss::LossConfig;
use super::optimizer::OptimizerConfig;
use super::output::OutputConfig;
use super::schedule::ScheduleConfig;
use super::train::{Freeze, TrainConfig};
use crate::data::{DataKind, InvalidValue, Skeleton, SkeletonTable};
use crate::ir::{Operator, Shape};
use crate::models::{ModelConfig, NetworkConfig};
use crate::nn::Spread;
use crate::ops::decode::Decode;
use crate::train::step::{StepConfig, TargetMaps};

/// A whole run. The same values, the same seed and the same adapter give the same parameters to the bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Names the run; the default output folder is `runs/<name>-<number>`.
    pub name: String,
    /// Seeds the initial parameters, the order of the pictures, their augmentation and the synthetic people.
    pub seed: u64,
    /// Which people.
    pub data: DataConfig,
    /// COCO: what is said about the joints beyond the file of annotations. The configuration that a run writes has all of
    /// a skeleton of one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skeleton: Option<SkeletonTable>,
    /// Which network.
    pub model: NetworkConfig,
    /// How long, and in what portions.
    pub train: TrainConfig,
    /// What is minimised.
    pub loss: LossConfig,
    /// How parameters follow their gradients.
    pub optimizer: OptimizerConfig,
    /// The learning rate over the run.
    pub schedule: ScheduleConfig,
    /// How the held-out people are scored.
    pub evaluate: EvaluateConfig,
    /// What is written, and how often.
    pub output: OutputConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "run".into(),
            seed: 1,
            data: DataConfig::default(),
            skeleton: None,
            model: NetworkConfig::default(),
            train: TrainConfig::default(),
            loss: LossConfig::default(),
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            evaluate: EvaluateConfig::default(),
            output: OutputConfig::default(),
        }
    }
}

impl Config {
    /// Checks the rules that types cannot carry: those of each table, in the order of the tables.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first broken rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let name_fits = !self.name.is_empty()
            && self.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && !self.name.starts_with('.');
        let letters = "must be letters, digits, '-', '_' and '.', as it names a folder";
        InvalidValue::unless(name_fits, "name", &self.name, letters)?;
        let own = self.data.kind == DataKind::Coco || self.skeleton.is_none();
        InvalidValue::unless(own, "skeleton", &"...", "is for data.kind = \"coco\" only")?;
        for (table, checked) in [
            ("data", self.data.check()),
            ("model", self.model.check()),
            ("train", self.train.check(&self.data, &self.model)),
            ("loss", self.loss.check()),
            ("optimizer", self.optimizer.check()),
            ("schedule", self.schedule.check()),
            ("evaluate", self.evaluate.check()),
        ] {
            checked.map_err(|error| error.within(table))?;
        }
        self.check_together().map_err(ConfigError::from)
    }

    /// Checks what a training needs besides: that joints are read where their targets are. A network of others may be scored by
    /// any rule.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn validate_training(&self) -> Result<(), ConfigError> {
        self.validate()?;
        let Self { loss, evaluate, .. } = self;
        let floor = match evaluate.decode {
            Decode::Quarter | Decode::Dark => false,
            Decode::QuarterFloor | Decode::SecondMaximum(_) => true,
            // Not from maps that have targets.
            Decode::Expectation => return Ok(()),
        };
        let rule = match loss.targets {
            TargetMaps::Gaussian => {
                "is half a pixel off the nearest pixel, on which gaussian targets lie: take quarter or dark"
            }
            TargetMaps::Blurred => {
                "is half a pixel off the pixel that holds the joint, on which blurred targets lie: take { second-maximum = 21 } or \
                 quarter-floor"
            }
        };
        let agree = floor == (loss.targets == TargetMaps::Blurred);
        Ok(InvalidValue::unless(agree, "evaluate.decode", &evaluate.decode, rule)?)
    }

    /// Checks the rules between tables.
    fn check_together(&self) -> Result<(), InvalidValue> {
        let rule = InvalidValue::unless;
        let Self { model, loss, evaluate, .. } = self;
        let expected = evaluate.decode != Decode::Expectation || model.integral;
        rule(expected, "evaluate.decode", &"expectation", "is for model.integral: other maps have no such meaning")?;
        let learnt = !model.integral || loss.joint_weight > 0.0 || evaluate.decode == Decode::Expectation;
        rule(learnt, "evaluate.decode", &evaluate.decode, "must be expectation where only the coordinates are learnt")?;
        let map = self.train.size.heat_map().extents();
        let fits = evaluate.decode.output_shapes(&[&Shape::from([1, 1, map[0], map[1]])]).is_ok();
        rule(fits, "evaluate.decode", &evaluate.decode, "has a blur that is larger than the heat maps")?;
        let learns = loss.joint_weight > 0.0 || model.integral && loss.coordinate_weight > 0.0;
        rule(
            learns,
            "loss.joint_weight",
            &loss.joint_weight,
            "must be more than 0, or the decoded maps learn nothing",
        )?;
        let peaks_fit = !model.integral || loss.joint_weight == 0.0 || loss.targets == TargetMaps::Gaussian;
        rule(
            peaks_fit,
            "loss.targets",
            &"blurred",
            "has peaks of 255, which no softmax has: with model.integral take gaussian",
        )
    }

    /// The network for people of `skeleton`.
    pub fn model_config(&self, skeleton: &Arc<Skeleton>) -> ModelConfig {
        let frozen_backbone = self.train.freeze == Freeze::Backbone;
        ModelConfig { frozen_backbone, ..self.model.model(skeleton) }
    }

    /// What one training step is made of.
    pub fn step_config(&self) -> StepConfig {
        self.step_config_of(1)
    }

    /// What a training step of so many processes is made of.
    pub fn step_config_of(&self, ranks: usize) -> StepConfig {
        let TrainConfig { accumulate, sync_batch_norm, .. } = self.train;
        StepConfig {
            spread: Spread { accumulate, ranks, sync_batch_norm },
            size: self.train.size,
            batch: self.train.batch,
            objective: self.loss.objective(),
            targets: self.loss.targets,
            sigma: self.loss.sigma,
            precision: self.train.precision,
            optimizer: self.optimizer.settings(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{embedded, with_overrides};

    #[test]
    fn tables_that_do_not_go_together_are_refused() {
        let message = |changes: &[&str]| {
            let changes: Vec<String> = changes.iter().map(|change| (*change).to_owned()).collect();
            let config = with_overrides(embedded().unwrap(), &changes).unwrap();
            config.validate_training().err().map_or_else(String::new, |error| error.to_string())
        };
        assert!(message(&["evaluate.decode=expectation"]).contains("evaluate.decode"));
        assert!(message(&["loss.joint_weight=0"]).contains("loss.joint_weight"));
        assert_eq!(message(&["model.integral=true", "loss.joint_weight=0", "evaluate.decode=expectation"]), "");
        assert!(message(&["model.integral=true", "loss.joint_weight=0"]).contains("must be expectation"));
        assert!(message(&["model.integral=true", "model.kind=cpn"]).contains("model.integral"));
        assert!(message(&["loss.targets=blurred"]).contains("second-maximum = 21"));
        assert!(message(&["evaluate.decode=quarter-floor"]).contains("take quarter or dark"));
        assert!(message(&["loss.targets=blurred", "evaluate.decode={second-maximum=4}"]).contains("odd side"));
        assert!(
            message(&["loss.targets=blurred", "evaluate.decode={second-maximum=99}"])
                .contains("larger than the heat maps")
        );
        assert!(message(&["model.integral=true", "loss.targets=blurred"]).contains("loss.targets"));
        assert!(message(&["loss.targets=blurred", "loss.joints=focal-l2"]).contains("loss.joints"));
        assert!(message(&["model.kind=hourglass"]).contains("train.size"), "96 is no multiple of 64");
        assert_eq!(message(&["model.kind=hourglass", "model.levels=3"]), "");
        let frozen = ["model.kind=hourglass", "model.levels=3", "train.freeze=backbone", "model.init=a.pth"];
        assert!(message(&frozen).contains("train.freeze"));
    }
}
