//! The seconds of a run: in all, in training steps, and in waiting for batches.

use std::time::{Duration, Instant};

use super::progress::Progress;

/// Measures one process's part of a run.
pub(super) struct Clock {
    opened: Instant,
    /// Seconds that earlier processes spent on the run.
    seconds_before: f64,
    /// Seconds from opening to the first step of this process.
    startup_seconds: Option<f64>,
    /// When the steps since the last drain began.
    stepping_since: Option<Instant>,
    /// Seconds that the loader was waited for before the last drain.
    waited_before: f64,
}

impl Clock {
    /// A clock that started at `opened`, for a run that took `seconds_before` until then.
    pub fn new(opened: Instant, seconds_before: f64) -> Self {
        Self { opened, seconds_before, startup_seconds: None, stepping_since: None, waited_before: 0.0 }
    }

    /// Seconds of the whole run, pauses between processes left out.
    pub fn seconds(&self) -> f64 {
        self.seconds_before + self.opened.elapsed().as_secs_f64()
    }

    /// Seconds from opening to the first submitted step; `None` where this process has submitted none.
    pub fn startup_seconds(&self) -> Option<f64> {
        self.startup_seconds
    }

    /// A step begins: its batch is asked for next.
    pub fn step_begins(&mut self) {
        self.stepping_since.get_or_insert_with(Instant::now);
    }

    /// A step is about to be submitted.
    pub fn step_submitted(&mut self) {
        self.startup_seconds = self.startup_seconds.or_else(|| Some(self.opened.elapsed().as_secs_f64()));
    }

    /// All submitted steps are done: adds the time since the first of them to `progress`. `waited` is how long the loader
    /// has been waited for since it was made.
    pub fn drained(&mut self, progress: &mut Progress, waited: Duration) {
        let Some(since) = self.stepping_since.take() else { return };
        let seconds = since.elapsed().as_secs_f64();
        progress.epoch.seconds += seconds;
        progress.training_seconds += seconds;
        let waited = waited.as_secs_f64() - self.waited_before;
        progress.epoch.waiting_seconds += waited;
        progress.waiting_seconds += waited;
        self.waited_before += waited;
    }
}
