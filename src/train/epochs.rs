//! How a configuration divides a run into epochs and steps.

use super::config::{Config, TrainConfig};
use super::people::People;
use super::progress::Progress;

/// Epochs of whole steps. What is done is counted in epochs and pictures, so that a run can go on with another batch,
/// other epochs or another set of people; steps are derived from them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epochs {
    /// How many.
    pub count: u64,
    /// Pictures that one asks for.
    pictures: u64,
    /// Pictures a step.
    batch: u64,
}

impl Epochs {
    /// Those of a valid configuration, which `ranks` processes train on `people`.
    pub fn of(config: &Config, people: &People, ranks: usize) -> Self {
        let TrainConfig { epochs, pictures_per_epoch, .. } = config.train;
        let pictures = if pictures_per_epoch == 0 { people.training().len() } else { pictures_per_epoch };
        Self { count: epochs as u64, pictures: pictures as u64, batch: config.train.pictures_per_step(ranks) as u64 }
    }

    /// Pictures a step.
    pub fn pictures_per_step(&self) -> u64 {
        self.batch
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> u64 {
        self.count.saturating_mul(self.pictures / self.batch)
    }

    /// Steps of this configuration that stand for what is done, and `in_flight` more. They are the optimizer's unless the
    /// configuration has changed.
    pub fn steps_done(&self, progress: &Progress, in_flight: u64) -> u64 {
        let an_epoch = self.pictures / self.batch;
        let in_epoch = (progress.epoch.pictures / self.batch).saturating_add(in_flight).min(an_epoch);
        progress.epochs.saturating_mul(an_epoch).saturating_add(in_epoch)
    }

    /// Whether an epoch that has this many pictures has no room for another batch.
    pub fn is_full(&self, pictures: u64) -> bool {
        self.pictures.saturating_sub(pictures) < self.batch
    }

    /// Whether there is no epoch left to begin.
    pub fn are_done(&self, progress: &Progress) -> bool {
        progress.epochs >= self.count
    }

    /// Whether the epoch that is under way is to be closed: it is full, or it is one more than there are to be.
    pub fn ends(&self, progress: &Progress) -> bool {
        progress.epoch.steps > 0 && (self.is_full(progress.epoch.pictures) || self.are_done(progress))
    }
}

#[cfg(test)]
mod tests {
    use super::super::progress::EpochSums;
    use super::*;

    fn epochs(count: u64, pictures: u64, batch: u64) -> Epochs {
        Epochs { count, pictures, batch }
    }

    fn progress(epochs: u64, steps: u64, pictures: u64) -> Progress {
        Progress { epochs, epoch: EpochSums { steps, pictures, ..EpochSums::default() }, ..Progress::default() }
    }

    #[test]
    fn an_epoch_has_the_whole_batches_that_fit() {
        let three = epochs(3, 22, 4);
        assert_eq!(three.steps(), 15);
        let ends: Vec<bool> = (0..=5).map(|step| three.ends(&progress(1, step, 4 * step))).collect();
        assert_eq!(ends, [false, false, false, false, false, true]);
        assert_eq!(three.steps_done(&progress(2, 3, 12), 1), 14);
    }

    #[test]
    fn every_epoch_ends_whatever_the_batch_was_before() {
        // 12 pictures are done in batches of 4; those of 9 go on.
        assert!(!epochs(3, 22, 9).ends(&progress(1, 3, 12)));
        assert!(epochs(3, 22, 9).ends(&progress(1, 4, 21)));
        assert!(epochs(3, 22, 20).ends(&progress(1, 3, 12)), "a batch of 20 does not fit any more");
        assert!(epochs(3, 5, 4).ends(&progress(1, 3, 12)), "the set is smaller now");
        assert_eq!(epochs(3, 22, 20).steps_done(&progress(1, 3, 12), 0), 1);
        assert_eq!(epochs(3, 5, 4).steps_done(&progress(1, 3, 12), 0), 2);
    }

    #[test]
    fn a_run_with_more_epochs_than_there_are_to_be_is_done_and_its_open_epoch_ends() {
        let two = epochs(2, 22, 4);
        assert!(two.are_done(&progress(2, 0, 0)) && !two.ends(&progress(2, 0, 0)));
        assert!(two.are_done(&progress(3, 1, 4)) && two.ends(&progress(3, 1, 4)));
        assert!(!two.are_done(&progress(1, 5, 20)));
    }

    #[test]
    fn counts_that_no_run_reaches_do_not_overflow() {
        let most = epochs(u64::MAX, u64::MAX, 1);
        assert_eq!((most.steps(), most.steps_done(&progress(u64::MAX, 1, u64::MAX), u64::MAX)), (u64::MAX, u64::MAX));
        assert!(most.ends(&progress(0, 1, u64::MAX)));
    }
}
