//! What a part has at hand: the devices, the time that is left, and whom it tells what it finds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::attempt::{Failure, attempt};
use super::document::Event;
use super::rows::Storage;
use crate::gpu::{AdapterChoice, Gpu};

/// Why something is left out for time.
pub(super) const NO_TIME: &str = "no time was left for it; --minutes gives more";

/// So many pieces that fail one after the other for one reason end a part.
const SAME_FAILURES: usize = 4;

/// The devices and the time of a part.
pub struct Context<'a> {
    choice: AdapterChoice,
    until: Instant,
    stop: &'a AtomicBool,
    say: &'a mut dyn FnMut(Event),
    gpu: Option<Arc<Gpu>>,
    with_matrices: Option<Arc<Gpu>>,
}

impl<'a> Context<'a> {
    /// For a part on this adapter that has `time`; it ends early once `stop` is set, and `say` hears what it finds.
    pub fn new(choice: AdapterChoice, time: Duration, stop: &'a AtomicBool, say: &'a mut dyn FnMut(Event)) -> Self {
        Self { choice, until: Instant::now() + time, stop, say, gpu: None, with_matrices: None }
    }

    /// Tells what was found.
    pub fn say(&mut self, event: Event) {
        (self.say)(event);
    }

    /// The time that is left; none once the part is to stop.
    pub fn left(&self) -> Duration {
        if self.stop.load(Ordering::Relaxed) {
            return Duration::ZERO;
        }
        self.until.saturating_duration_since(Instant::now())
    }

    /// The device, opened anew where it was lost.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn gpu(&mut self) -> Result<Arc<Gpu>, Failure> {
        if let Some(gpu) = self.gpu.as_ref().filter(|gpu| gpu.wait().is_ok()) {
            return Ok(Arc::clone(gpu));
        }
        self.gpu = None;
        let gpu = Gpu::open(&self.choice)?;
        self.gpu = Some(Arc::clone(&gpu));
        Ok(gpu)
    }

    /// The device for tensors that are stored so.
    ///
    /// # Errors
    /// Where it cannot be opened, or lacks what this storage needs.
    pub fn gpu_for(&mut self, storage: Storage) -> Result<Arc<Gpu>, Failure> {
        if storage != Storage::Cooperative {
            return self.gpu();
        }
        if let Some(gpu) = self.with_matrices.as_ref().filter(|gpu| gpu.wait().is_ok()) {
            return Ok(Arc::clone(gpu));
        }
        self.with_matrices = None;
        let gpu = Gpu::open_with_matrices(&self.choice)?;
        self.with_matrices = Some(Arc::clone(&gpu));
        Ok(gpu)
    }

    /// The ways to store tensors that the adapter has; what it lacks is noted as left out.
    ///
    /// # Errors
    /// Where the device cannot be opened.
    pub fn storages(&mut self) -> Result<Vec<Storage>, Failure> {
        let mut found = vec![Storage::F32];
        if !self.gpu()?.capabilities().shader_f16 {
            self.say(Event::skipped("f16 and cooperative", "the adapter has no 16-bit floats in shaders"));
            return Ok(found);
        }
        found.push(Storage::F16);
        match self.gpu_for(Storage::Cooperative) {
            Ok(gpu) if gpu.capabilities().cooperative_matrix.is_some() => found.push(Storage::Cooperative),
            Ok(_) => {
                self.with_matrices = None;
                let why = "the adapter has no cooperative matrices of f16 that pass the test product";
                self.say(Event::skipped("cooperative", why));
            }
            Err(error) => self.say(Event::failed("a device with cooperative matrices", error.to_string())),
        }
        Ok(found)
    }

    /// Does each piece while there is time. One that fails is noted, and the next one's turn comes.
    ///
    /// # Errors
    /// The reason why pieces fail one after the other.
    pub fn each<T>(
        &mut self,
        pieces: &[T],
        name: impl Fn(&T) -> String,
        mut work: impl FnMut(&mut Self, &T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut last: Option<(String, usize)> = None;
        let total = pieces.len();
        for (done, piece) in pieces.iter().enumerate() {
            if self.left().is_zero() {
                if !self.stop.load(Ordering::Relaxed) {
                    let left_out = total - done;
                    let what = match left_out {
                        1 => name(piece),
                        _ => format!("{left_out} of {total} pieces, from {} on", name(piece)),
                    };
                    self.say(Event::skipped(what, NO_TIME));
                }
                break;
            }
            let what = name(piece);
            self.say(Event::Next { what: what.clone(), done, total });
            match attempt(|| work(self, piece)) {
                Ok(()) => last = None,
                Err(reason) => {
                    let times = last.take().filter(|(before, _)| *before == reason).map_or(1, |(_, times)| times + 1);
                    self.say(Event::failed(what, reason.clone()));
                    if times == SAME_FAILURES {
                        return Err(
                            format!("{times} pieces in a row failed; {} were not tried", total - done - 1).into()
                        );
                    }
                    last = Some((reason, times));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces_said(time: Duration, work: impl Fn(u32) -> Result<(), Failure>) -> (Result<(), String>, Vec<Event>) {
        let mut events = Vec::new();
        let mut say = |event| events.push(event);
        let stop = AtomicBool::new(false);
        let mut context = Context::new(AdapterChoice::default(), time, &stop, &mut say);
        let pieces: Vec<u32> = (0..9).collect();
        let result = context.each(&pieces, |piece| format!("piece {piece}"), |_, &piece| work(piece));
        (
            result.map_err(|error| error.to_string()),
            events.into_iter().filter(|it| !matches!(it, Event::Next { .. })).collect(),
        )
    }

    #[test]
    fn a_piece_that_fails_does_not_stop_the_others() {
        let (result, events) = pieces_said(Duration::from_secs(60), |piece| match piece {
            2 => Err("out of memory".into()),
            5 => panic!("lost"),
            _ => Ok(()),
        });
        assert_eq!(result, Ok(()));
        assert_eq!(events[0], Event::failed("piece 2", "out of memory"));
        assert!(matches!(&events[1], Event::Failed(note) if note.what == "piece 5" && note.reason.contains("lost")));
        assert_eq!(events.len(), 2);
    }

    #[test]
    fn one_reason_again_and_again_ends_the_part() {
        let (result, events) = pieces_said(Duration::from_secs(60), |_| Err("no device".into()));
        assert_eq!(events.len(), SAME_FAILURES);
        assert!(result.unwrap_err().contains("5 were not tried"));
    }

    #[test]
    fn without_time_all_is_left_out_with_the_reason() {
        let (result, events) = pieces_said(Duration::ZERO, |_| panic!("it has no time"));
        assert_eq!((result, events), (Ok(()), vec![Event::skipped("9 of 9 pieces, from piece 0 on", NO_TIME)]));
    }
}
