//! `[schedule]`: the learning rate over the run.

use serde::{Deserialize, Serialize};

use crate::data::InvalidValue;

/// `[schedule]`: see [`Schedule`](crate::train::Schedule).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// Steps over which the rate rises linearly from nothing.
    pub warmup_steps: u64,
    /// Where in the run the rate changes, and to what.
    pub milestones: Vec<Milestone>,
}

/// From `at` on, the rate is `factor` times the optimizer's learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// A fraction of the whole run, above 0 and below 1.
    pub at: f64,
    /// What the learning rate is multiplied with from there on (not on top of earlier milestones).
    pub factor: f64,
}

impl Default for ScheduleConfig {
    /// The paper's: a tenth from epoch 130 of 210 on, a hundredth from epoch 160 on.
    fn default() -> Self {
        let milestones =
            vec![Milestone { at: 130.0 / 210.0, factor: 0.1 }, Milestone { at: 160.0 / 210.0, factor: 0.01 }];
        Self { warmup_steps: 0, milestones }
    }
}

impl ScheduleConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn check(&self) -> Result<(), InvalidValue> {
        let rule = InvalidValue::unless;
        let (key, milestones) = ("milestones", &self.milestones);
        let inside = milestones.iter().all(|m| m.at > 0.0 && m.at < 1.0);
        rule(inside, key, milestones, "must each have `at` between 0 and 1")?;
        let rising = milestones.windows(2).all(|pair| pair[0].at < pair[1].at);
        rule(rising, key, milestones, "must be in rising order of `at`")?;
        let factors = milestones.iter().all(|m| m.factor.is_finite() && m.factor >= 0.0);
        rule(factors, key, milestones, "must each have a `factor` of 0 or more")
    }
}
