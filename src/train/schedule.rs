//! The learning rate over a run: a linear warm-up, then a constant that milestones lower.

use super::config::{Milestone, OptimizerConfig, ScheduleConfig};

/// The learning rate as a function of the steps done alone, so that a resumed run continues on the same curve.
#[derive(Clone, Debug)]
pub struct Schedule {
    base: f64,
    warmup_steps: u64,
    milestones: Vec<Milestone>,
    total_steps: u64,
}

impl Schedule {
    /// A schedule over `total_steps` optimizer steps.
    pub fn new(optimizer: &OptimizerConfig, schedule: &ScheduleConfig, total_steps: u64) -> Self {
        Self {
            base: optimizer.learning_rate,
            warmup_steps: schedule.warmup_steps,
            milestones: schedule.milestones.clone(),
            total_steps,
        }
    }

    /// The learning rate of step `step` of the optimizer, counted from 0: `base * min(1, (step + 1) / warmup) * factor`,
    /// the factor being that of the last milestone whose `at * total_steps` is not after `done`. This is how much of the
    /// run is done, in steps of its configuration: `step` itself, unless the configuration has changed on the way.
    pub fn learning_rate(&self, step: u64, done: u64) -> f64 {
        let warmup = if step < self.warmup_steps { (step + 1) as f64 / self.warmup_steps as f64 } else { 1.0 };
        let passed = self.milestones.iter().rfind(|m| done as f64 >= m.at * self.total_steps as f64);
        self.base * warmup * passed.map_or(1.0, |m| m.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule() -> Schedule {
        let optimizer = OptimizerConfig { learning_rate: 2.0, ..OptimizerConfig::default() };
        let milestones = vec![Milestone { at: 0.6, factor: 0.3 }, Milestone { at: 0.85, factor: 0.1 }];
        Schedule::new(&optimizer, &ScheduleConfig { warmup_steps: 20, milestones }, 100)
    }

    #[test]
    fn the_rate_rises_linearly_over_the_warm_up() {
        let s = schedule();
        let rate = |step| s.learning_rate(step, step);
        assert_eq!((rate(0), rate(9), rate(19)), (0.1, 1.0, 2.0));
        assert_eq!(rate(20), 2.0);
    }

    #[test]
    fn the_rate_falls_at_each_milestone_to_its_factor_of_the_base() {
        let s = schedule();
        let rate = |step| s.learning_rate(step, step);
        assert_eq!((rate(59), rate(60)), (2.0, 0.6));
        assert_eq!((rate(84), rate(85), rate(99)), (0.6, 0.2, 0.2));
    }

    #[test]
    fn milestones_follow_what_is_done_and_the_warm_up_the_optimizer() {
        // After 30 steps with twice the batch: no second warm-up, and 60 of 100 steps are done.
        assert_eq!(schedule().learning_rate(30, 60), 0.6);
        assert_eq!(schedule().learning_rate(9, 60), 0.3);
    }
}
