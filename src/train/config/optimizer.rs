//! `[optimizer]`: AdamW's constants.

use serde::{Deserialize, Serialize};

use crate::data::InvalidValue;

use crate::ops::adamw::AdamWSettings;

/// `[optimizer]`: AdamW with decoupled weight decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// The rate that the schedule scales.
    pub learning_rate: f64,
    /// Decays of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Fraction of each parameter taken off a step, times the learning rate.
    pub weight_decay: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 1e-4 }
    }
}

impl OptimizerConfig {
    /// The constants of the update, without the learning rate.
    pub fn settings(&self) -> AdamWSettings {
        let Self { betas: [beta1, beta2], epsilon: eps, weight_decay, .. } = *self;
        AdamWSettings { beta1, beta2, eps, weight_decay }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn check(&self) -> Result<(), InvalidValue> {
        let rule = InvalidValue::unless;
        let Self { learning_rate, betas, epsilon, weight_decay } = self;
        rule(learning_rate.is_finite() && *learning_rate > 0.0, "learning_rate", learning_rate, "must be more than 0")?;
        rule(betas.iter().all(|beta| (0.0..1.0).contains(beta)), "betas", betas, "must be in [0, 1)")?;
        rule(epsilon.is_finite() && *epsilon > 0.0, "epsilon", epsilon, "must be more than 0")?;
        rule(weight_decay.is_finite() && *weight_decay >= 0.0, "weight_decay", weight_decay, "must be 0 or more")
    }
}
