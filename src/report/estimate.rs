//! How long a network will take, by what others took, and what memory there is for it.

use std::collections::HashMap;
use std::time::Duration;

use super::rows::Storage;
use crate::bench::NetworkRun;
use crate::ir::Capabilities;

/// Runs of a measurement beside its samples: to warm up, once to see how long it takes, for the host's time, with time stamps.
const FURTHER_RUNS: usize = 4;

/// A training step takes about so many times the time of an inference of as many pictures.
const TRAINING: f64 = 5.0;

/// A run that takes longer is measured once; the noise that the median is for is small beside it.
const LONG: f64 = 1.5;

/// What networks took so far.
#[derive(Default)]
pub(super) struct Estimates {
    /// Seconds a picture, by network, training or not, and storage; of the largest batch so far.
    seconds: HashMap<(String, bool, Storage), f64>,
    /// The longest that planning and compiling took.
    start: Duration,
}

impl Estimates {
    /// Takes in a measurement of `samples` that took `whole`.
    pub fn add(&mut self, run: &NetworkRun, storage: Storage, seconds: f64, samples: usize, whole: Duration) {
        self.seconds.insert((run.name.clone(), run.train, storage), seconds / run.batch as f64);
        let running = Duration::from_secs_f64(seconds * (samples + FURTHER_RUNS) as f64);
        self.start = self.start.max(whole.saturating_sub(running));
    }

    /// Seconds of one run, by the nearest that is known: of the same network and storage, else of another; of the same pass,
    /// else by what training takes. None where nothing is known.
    pub fn one(&self, run: &NetworkRun, storage: Storage) -> Option<f64> {
        let of = |train: bool| {
            let exact = self.seconds.get(&(run.name.clone(), train, storage)).copied();
            let of_pass = || self.seconds.iter().filter(|((_, trains, _), _)| *trains == train);
            exact.or_else(|| of_pass().map(|(_, &seconds)| seconds).reduce(f64::max))
        };
        let other_pass = if run.train { TRAINING } else { 1.0 / TRAINING };
        let a_picture = of(run.train).or_else(|| of(!run.train).map(|seconds| seconds * other_pass))?;
        Some(a_picture * run.batch as f64)
    }

    /// How many measurements a run is worth: one where it takes long, else `samples`. Of what nothing is known, `is_slow` says
    /// whether it may take long.
    pub fn samples(&self, run: &NetworkRun, storage: Storage, samples: usize, is_slow: bool) -> usize {
        let is_long = self.one(run, storage).map_or(is_slow, |seconds| seconds > LONG);
        if is_long { 1 } else { samples }
    }

    /// What measuring a run takes from planning on.
    pub fn whole(&self, run: &NetworkRun, storage: Storage, samples: usize) -> Option<Duration> {
        let seconds = self.one(run, storage)? * (samples + FURTHER_RUNS) as f64;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).saturating_add(self.start))
    }
}

/// Bytes of memory that a CPU adapter can take without the machine running out of it, where the system says; GPUs do not say
/// what is free, and their drivers refuse what is not.
pub(super) fn free_memory(capabilities: &Capabilities) -> Option<u64> {
    if !capabilities.is_cpu {
        return None;
    }
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(1024 * kibibytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Size;
    use crate::nn::Precision;

    fn run(name: &str, train: bool, batch: usize) -> NetworkRun {
        NetworkRun { name: name.into(), size: Size::new(256, 256), train, batch, precision: Precision::F32 }
    }

    #[test]
    fn the_nearest_measurement_counts() {
        let mut estimates = Estimates::default();
        assert_eq!(estimates.one(&run("a", false, 1), Storage::F32), None);
        assert_eq!(estimates.samples(&run("a", false, 1), Storage::F32, 5, false), 5);
        estimates.add(&run("a", false, 1), Storage::F32, 0.5, 5, Duration::from_secs(7));
        assert_eq!(estimates.one(&run("a", false, 8), Storage::F32), Some(4.0));
        assert_eq!(estimates.one(&run("b", true, 2), Storage::F16), Some(5.0), "of another network's inference");
        // 5 runs of 4 s, and what was more than 9 runs of half a second.
        let whole = estimates.whole(&run("a", false, 8), Storage::F32, 1);
        assert_eq!(whole, Some(Duration::from_millis(20_000 + 2_500)));
        assert_eq!(estimates.samples(&run("a", false, 8), Storage::F32, 5, false), 1);
        estimates.add(&run("b", true, 2), Storage::F32, 3.0, 1, Duration::from_secs(1));
        assert_eq!(estimates.one(&run("a", true, 4), Storage::F16), Some(6.0), "of training before inference");
    }
}
