//! Running the parts one after the other: each in its share of the time, whatever becomes of those before it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::attempt::{Failure, attempt};
use super::context::Context;
use super::document::{Document, Event, Note, PartRecord};
use super::part::Part;
use super::{checks, timings};
use crate::gpu::AdapterChoice;

/// The work of a part: it gets the time that it may take and whom to tell what it finds.
pub type Work<'a> = Box<dyn FnMut(Duration, &mut dyn FnMut(Event)) -> Result<(), Failure> + 'a>;

/// A part to run.
pub struct Job<'a> {
    /// Its name.
    pub name: String,
    /// Its share of the time, in relation to the others'.
    pub weight: f64,
    /// What it does.
    pub work: Work<'a>,
}

impl<'a> Job<'a> {
    /// A part that runs in this process.
    pub fn here(part: Part, choice: &AdapterChoice, stop: &'a AtomicBool) -> Self {
        let choice = choice.clone();
        let work: Work = Box::new(move |time, say| run_part(part, &choice, time, stop, say));
        Self { name: part.name().to_owned(), weight: part.weight(), work }
    }
}

/// Who hears how a report comes along.
pub trait Listener {
    /// Part number `number` of `total` begins.
    fn begins(&mut self, part: &str, number: usize, total: usize);
    /// The part goes on with this piece: number `done` of `total`, 0 of 0 where the number is not known.
    fn next(&mut self, piece: &str, done: usize, total: usize);
    /// The last part of the document has ended.
    fn ended(&mut self, document: &Document);
}

/// Runs the jobs within the document's minutes and adds what they find. One that fails or panics is recorded, and the next
/// one's turn comes. Once `stop` is set, no further one begins.
pub fn run(document: &mut Document, jobs: Vec<Job>, stop: &AtomicBool, listener: &mut dyn Listener) {
    let start = Instant::now();
    let all = Duration::try_from_secs_f64(60.0 * document.minutes).unwrap_or(Duration::MAX);
    let mut weights: f64 = jobs.iter().map(|job| job.weight).sum();
    let total = jobs.len();
    for (number, Job { name, weight, mut work }) in jobs.into_iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        listener.begins(&name, number + 1, total);
        let time = all.saturating_sub(start.elapsed()).mul_f64((weight / weights).clamp(0.0, 1.0));
        weights -= weight;
        let began = Instant::now();
        let record = PartRecord { name, seconds: 0.0, complete: false, failed: Vec::new(), skipped: Vec::new() };
        document.parts.push(record);
        let result = attempt(|| {
            work(time, &mut |event| {
                if let Event::Next { what, done, total } = &event {
                    listener.next(what, *done, *total);
                }
                document.add(event);
            })
        });
        let stopped = stop.load(Ordering::Relaxed);
        document.interrupted |= stopped;
        if let Some(record) = document.parts.last_mut() {
            record.seconds = began.elapsed().as_secs_f64();
            record.complete = result.is_ok() && !stopped;
            if let Err(reason) = result
                && !stopped
            {
                record.failed.push(Note { what: String::new(), reason });
            }
        }
        listener.ended(document);
    }
    document.interrupted |= stop.load(Ordering::Relaxed);
}

/// Runs a part on the adapter, in this process, within `time`.
///
/// # Errors
/// What ended it. Pieces of it that failed are events.
pub fn run_part(
    part: Part,
    choice: &AdapterChoice,
    time: Duration,
    stop: &AtomicBool,
    say: &mut dyn FnMut(Event),
) -> Result<(), Failure> {
    let context = &mut Context::new(choice.clone(), time, stop, say);
    match part {
        Part::Gradcheck => checks::gradients(context),
        Part::Kernels => checks::kernels(context),
        Part::Verify => checks::networks(context),
        Part::Ceilings => timings::ceilings(context),
        Part::Step => timings::step(context),
        Part::Networks => timings::networks(context),
        Part::Tune => timings::tuning(context),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Ceiling;
    use crate::gpu::AdapterReport;
    use crate::report::samples::adapter;

    /// Keeps what it hears.
    #[derive(Default)]
    struct Heard(Vec<String>);

    impl Listener for Heard {
        fn begins(&mut self, part: &str, number: usize, total: usize) {
            self.0.push(format!("{number}/{total} {part}"));
        }

        fn next(&mut self, piece: &str, done: usize, total: usize) {
            self.0.push(format!("{piece} {done}/{total}"));
        }

        fn ended(&mut self, document: &Document) {
            self.0.push(format!("{} parts", document.parts.len()));
        }
    }

    fn document() -> Document {
        let adapter: AdapterReport = adapter("GPU");
        Document::new(adapter.clone(), vec![adapter], 10.0)
    }

    fn job<'a>(name: &str, work: impl FnMut(Duration, &mut dyn FnMut(Event)) -> Result<(), Failure> + 'a) -> Job<'a> {
        Job { name: name.to_owned(), weight: 1.0, work: Box::new(work) }
    }

    #[test]
    fn a_part_that_fails_or_panics_does_not_stop_the_others() {
        let stop = AtomicBool::new(false);
        let (mut document, mut heard) = (document(), Heard::default());
        let ceiling = Ceiling { gflops: 3.0, gbps: 4.0 };
        let jobs = vec![
            job("gradcheck", |_, say| {
                say(Event::Next { what: "a".into(), done: 0, total: 2 });
                say(Event::skipped("b", "it is large"));
                Err("the GPU device was lost".into())
            }),
            job("kernels", |_, _| panic!("index out of bounds")),
            job("ceilings", move |_, say| {
                say(Event::Ceiling(ceiling));
                Ok(())
            }),
        ];
        run(&mut document, jobs, &stop, &mut heard);
        assert_eq!(document.ceiling, Some(ceiling));
        let complete: Vec<(&str, bool)> = document.parts.iter().map(|it| (it.name.as_str(), it.complete)).collect();
        assert_eq!(complete, [("gradcheck", false), ("kernels", false), ("ceilings", true)]);
        assert_eq!(document.parts[0].failed[0].reason, "the GPU device was lost");
        assert_eq!(document.parts[0].skipped[0].what, "b");
        assert!(document.parts[1].failed[0].reason.contains("index out of bounds"));
        assert!(!document.interrupted);
        assert_eq!(heard.0[..3], ["1/3 gradcheck", "a 0/2", "1 parts"]);
        let page = crate::report::page(&document);
        for text in ["Gradients: the GPU device was lost", "Kernels against references", "index out of bounds"] {
            assert!(page.contains(text), "no `{text}` in {page}");
        }
    }

    #[test]
    fn what_a_part_leaves_over_goes_to_those_after_it() {
        let stop = AtomicBool::new(false);
        let times = std::cell::RefCell::new(Vec::new());
        let jobs = ["a", "b", "c"].map(|name| {
            job(name, |time, _| {
                times.borrow_mut().push(time.as_secs_f64() / 600.0);
                Ok(())
            })
        });
        run(&mut document(), jobs.into(), &stop, &mut Heard::default());
        for (time, share) in times.borrow().iter().zip([1.0 / 3.0, 1.0 / 2.0, 1.0]) {
            assert!((time - share).abs() < 0.01, "{times:?}");
        }
    }

    #[test]
    fn once_stopped_no_further_part_begins_and_what_was_found_stays() {
        let stop = AtomicBool::new(false);
        let mut document = document();
        let jobs = vec![
            job("ceilings", |_, say| {
                say(Event::Ceiling(Ceiling { gflops: 1.0, gbps: 1.0 }));
                stop.store(true, Ordering::Relaxed);
                Ok(())
            }),
            job("step", |_, _| panic!("it must not begin")),
        ];
        run(&mut document, jobs, &stop, &mut Heard::default());
        assert!(document.interrupted && document.ceiling.is_some());
        assert_eq!(document.parts.len(), 1);
        assert!(!document.parts[0].complete && document.troubles().is_empty());
    }
}
