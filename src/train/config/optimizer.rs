//! `[optimizer]`: how parameters follow their gradients.

use serde::{Deserialize, Serialize};

use crate::data::InvalidValue;
use crate::nn::Optimizer;
use crate::ops::adam::AdamSettings;
use crate::ops::adamw::AdamWSettings;
use crate::ops::rmsprop::RmsPropSettings;

/// The optimizers of a run. They are PyTorch's of these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// Adam with decoupled weight decay.
    AdamW,
    /// Adam; weight decay is a part of the gradient.
    Adam,
    /// RMSprop without momentum and centring; weight decay is a part of the gradient.
    RmsProp,
}

/// `[optimizer]`: which one, and its constants. A constant of another kind of optimizer is refused where it is not at its
/// default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// The optimizer.
    pub kind: OptimizerName,
    /// The rate that the schedule scales.
    pub learning_rate: f64,
    /// `adamw`, `adam`: decays of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// `adamw`: fraction of each parameter taken off a step, times the learning rate. `adam`, `rmsprop`: times the
    /// parameter, added to its gradient. The default is the paper's for `adamw`, and the same for all kinds.
    pub weight_decay: f64,
    /// `rmsprop`: decay of the second moment.
    pub alpha: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            kind: OptimizerName::AdamW,
            learning_rate: 1e-3,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 1e-4,
            alpha: 0.99,
        }
    }
}

impl OptimizerConfig {
    /// The update, without the learning rate.
    pub fn settings(&self) -> Optimizer {
        let Self { kind, betas: [beta1, beta2], epsilon: eps, weight_decay, alpha, .. } = *self;
        match kind {
            OptimizerName::AdamW => AdamWSettings { beta1, beta2, eps, weight_decay }.into(),
            OptimizerName::Adam => AdamSettings { beta1, beta2, eps, weight_decay }.into(),
            OptimizerName::RmsProp => RmsPropSettings { alpha, eps, weight_decay }.into(),
        }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn check(&self) -> Result<(), InvalidValue> {
        let rule = InvalidValue::unless;
        let Self { kind, learning_rate, betas, epsilon, weight_decay, alpha } = self;
        rule(learning_rate.is_finite() && *learning_rate > 0.0, "learning_rate", learning_rate, "must be more than 0")?;
        rule(betas.iter().all(|beta| (0.0..1.0).contains(beta)), "betas", betas, "must be in [0, 1)")?;
        rule(epsilon.is_finite() && *epsilon > 0.0, "epsilon", epsilon, "must be more than 0")?;
        rule(weight_decay.is_finite() && *weight_decay >= 0.0, "weight_decay", weight_decay, "must be 0 or more")?;
        rule((0.0..1.0).contains(alpha), "alpha", alpha, "must be in [0, 1)")?;
        let (default, is_rmsprop) = (Self::default(), *kind == OptimizerName::RmsProp);
        let of_adam = "is for optimizer.kind = \"adamw\" or \"adam\" only";
        rule(!is_rmsprop || *betas == default.betas, "betas", betas, of_adam)?;
        rule(is_rmsprop || *alpha == default.alpha, "alpha", alpha, "is for optimizer.kind = \"rmsprop\" only")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> OptimizerConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_table_of_an_older_program_is_adamws() {
        let config = read("learning_rate = 0.5\nbetas = [0.8, 0.9]\nepsilon = 1e-3\nweight_decay = 0.25\n");
        let settings = AdamWSettings { beta1: 0.8, beta2: 0.9, eps: 1e-3, weight_decay: 0.25 };
        assert_eq!(config.settings(), settings.into());
        assert_eq!(read("").settings(), AdamWSettings::default().into());
        config.check().unwrap();
    }

    #[test]
    fn each_kind_has_its_constants() {
        let adam = read("kind = \"adam\"\nbetas = [0.8, 0.9]\nweight_decay = 0\n");
        let settings = AdamSettings { beta1: 0.8, beta2: 0.9, eps: 1e-8, weight_decay: 0.0 };
        assert_eq!(adam.settings(), settings.into());
        let rmsprop = read("kind = \"rmsprop\"\nalpha = 0.5\nepsilon = 0.25\n");
        let settings = RmsPropSettings { alpha: 0.5, eps: 0.25, weight_decay: 1e-4 };
        assert_eq!(rmsprop.settings(), settings.into());
        adam.check().unwrap();
        rmsprop.check().unwrap();
    }

    #[test]
    fn constants_of_another_kind_are_refused() {
        for (text, message) in [
            ("alpha = 0.5", "`optimizer.alpha` = 0.5: is for optimizer.kind = \"rmsprop\" only"),
            ("kind = \"adam\"\nalpha = 0.5", "`optimizer.alpha` = 0.5: is for optimizer.kind = \"rmsprop\" only"),
            (
                "kind = \"rmsprop\"\nbetas = [0.9, 0.99]",
                "`optimizer.betas` = [0.9, 0.99]: is for optimizer.kind = \"adamw\" or \"adam\" only",
            ),
            ("kind = \"rmsprop\"\nalpha = 1", "`optimizer.alpha` = 1.0: must be in [0, 1)"),
        ] {
            let error = read(text).check().unwrap_err().within("optimizer").to_string();
            assert_eq!(error, message);
        }
        assert!(toml::from_str::<OptimizerConfig>("kind = \"sgd\"").is_err());
    }
}
