//! What the ranks of a step exchange: sums of gradients and batch statistics, and what the step stops for in its middle.

use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::NetworkError;
use super::micro_batches::{buckets, sum_of};
use crate::gpu::{Gpu, GpuError, Readback, Staging};
use crate::graph::{Session, Step};
use crate::ir::ValueId;
use crate::ops::over_ranks;
use crate::ranks::{Communicator, Sum};

/// What exchanging with other ranks has taken so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Communication {
    /// Bytes that this rank has sent.
    pub bytes: u64,
    /// Seconds in which this process exchanged and added up, the wait for slower ranks included. The device may have been
    /// computing meanwhile.
    pub seconds: f64,
}

/// Time between looks at whether a sum has come, while others are still being computed.
const LOOK_AGAIN: Duration = Duration::from_micros(100);

/// The exchange of the steps of one session.
pub(super) struct Exchange {
    gpu: Arc<Gpu>,
    ranks: Rc<dyn Communicator>,
    /// In the order in which the session completes them.
    buckets: Vec<Bucket>,
    spent: Communication,
}

/// A sum that lies in one piece of memory.
struct Bucket {
    value: ValueId,
    staging: Staging,
    over_ranks: Sum,
}

/// What the thread that submits a micro-batch tells the one that speaks with other ranks.
enum Event<'a> {
    /// A sum of this rank is complete and on its way to the host.
    Complete(Bucket),
    /// What a step has computed is to be joined, before anything else is submitted.
    Stopped(&'a Step),
}

impl Exchange {
    /// Whether a session is to pause behind this step.
    pub fn is_pause(step: &Step) -> bool {
        sum_of(step).is_some() || over_ranks::is_exchanged(step.node.operator.as_ref())
    }

    pub fn new(gpu: &Arc<Gpu>, ranks: &Rc<dyn Communicator>, session: &Session) -> Result<Self, NetworkError> {
        let reserve = |(value, _)| -> Result<Bucket, NetworkError> {
            let words = session.memory(value)?.bytes() as usize / 4;
            let staging = Staging::new(gpu, "sums on their way", words)?;
            Ok(Bucket { value, staging, over_ranks: Sum::default() })
        };
        let buckets: Result<Vec<_>, _> = buckets(session.plan()).into_iter().map(reserve).collect();
        let spent = Communication::default();
        Ok(Self { gpu: Arc::clone(gpu), ranks: Rc::clone(ranks), buckets: buckets?, spent })
    }

    /// Submits a micro-batch, and joins with other ranks what all need at once. Behind the last of a step it leaves the sums over
    /// all ranks in place of this rank's.
    ///
    /// Submitting has a thread of its own: some drivers do not return before earlier work is done, and sums that are complete are
    /// to be exchanged meanwhile.
    pub fn run(&mut self, session: &Session, is_last: bool) -> Result<(), NetworkError> {
        let steps: Vec<&Step> = session.pauses().collect();
        let complete = if is_last { std::mem::take(&mut self.buckets) } else { Vec::new() };
        let (events, received) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        std::thread::scope(|scope| {
            let submitting = scope.spawn(|| submit(session, &steps, complete, events, may_go_on));
            let exchanged = self.exchange(session, &received, &go_on, || submitting.is_finished());
            // Where that has failed, nobody answers the other thread any more, and it ends.
            drop((received, go_on));
            let submitted = submitting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            exchanged.and(submitted)
        })
    }

    /// Answers the submitting thread until it has ended.
    fn exchange(
        &mut self,
        session: &Session,
        events: &mpsc::Receiver<Event>,
        go_on: &mpsc::Sender<()>,
        all_is_submitted: impl Fn() -> bool,
    ) -> Result<(), NetworkError> {
        let mut uploads = self.buckets.len();
        for event in events {
            let mut bucket = match event {
                Event::Complete(bucket) => bucket,
                Event::Stopped(step) => {
                    self.join(session, step)?;
                    // It waits for nothing else.
                    let _ = go_on.send(());
                    continue;
                }
            };
            // To wait in the driver would keep the other thread from submitting.
            while !all_is_submitted() && !bucket.staging.is_there()? {
                std::thread::sleep(LOOK_AGAIN);
            }
            let Bucket { staging, over_ranks, .. } = &mut bucket;
            let ranks = self.ranks.as_ref();
            let seconds = staging.wait(|bytes| {
                let begun = Instant::now();
                over_ranks.add_up(ranks, bytemuck::cast_slice(bytes));
                begun.elapsed().as_secs_f64()
            });
            self.spent.seconds += seconds?;
            let others = ranks.size() - 1;
            self.spent.bytes += 2 * 4 * (over_ranks.sums().len() * others / ranks.size()) as u64;
            self.buckets.push(bucket);
            // An upload has to wait for what is being submitted.
            if all_is_submitted() {
                self.upload(session, &mut uploads)?;
            }
        }
        self.upload(session, &mut uploads)
    }

    /// Writes the sums from number `next` on in place of this rank's.
    fn upload(&self, session: &Session, next: &mut usize) -> Result<(), NetworkError> {
        for bucket in &self.buckets[*next..] {
            self.gpu.write(session.memory(bucket.value)?, bucket.over_ranks.sums())?;
        }
        *next = self.buckets.len();
        Ok(())
    }

    /// Replaces what a step has computed of this rank by that of all.
    fn join(&mut self, session: &Session, step: &Step) -> Result<(), NetworkError> {
        let outputs = &step.node.outputs;
        let start =
            |&output| -> Result<Readback, NetworkError> { Ok(Readback::start(&self.gpu, session.memory(output)?)?) };
        let copies: Result<Vec<_>, _> = outputs.iter().map(start).collect();
        let parts: Result<Vec<Vec<f32>>, GpuError> = copies?.into_iter().map(Readback::wait).collect();
        let own = parts?.concat();
        let begun = Instant::now();
        let all = self.ranks.all_gather(bytemuck::cast_slice(&own));
        let all: Vec<Vec<f32>> = all.iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect();
        let all: Vec<&[f32]> = all.iter().map(Vec::as_slice).collect();
        let joined = over_ranks::join(step.node.operator.as_ref(), &all).unwrap_or(own);
        self.spent.seconds += begun.elapsed().as_secs_f64();
        self.spent.bytes += 4 * (joined.len() * (self.ranks.size() - 1)) as u64;
        let mut rest = &joined[..];
        for &output in outputs {
            let view = session.memory(output)?;
            let (words, others) = rest.split_at(view.bytes() as usize / 4);
            self.gpu.write(view, words)?;
            rest = others;
        }
        Ok(())
    }

    pub fn spent(&self) -> Communication {
        self.spent
    }
}

/// Submits a micro-batch part by part. Of a step's last one, `complete` are the buckets, in order.
fn submit<'a>(
    session: &Session,
    steps: &[&'a Step],
    complete: Vec<Bucket>,
    events: mpsc::Sender<Event<'a>>,
    may_go_on: mpsc::Receiver<()>,
) -> Result<(), NetworkError> {
    let mut complete = complete.into_iter();
    for (part, step) in steps.iter().enumerate() {
        session.run_part(part)?;
        let event = match sum_of(step) {
            None => Event::Stopped(step),
            Some(_) => match complete.next() {
                None => continue,
                Some(mut bucket) => {
                    session.memory(bucket.value)?.copy_to(&mut bucket.staging)?;
                    Event::Complete(bucket)
                }
            },
        };
        let has_stopped = matches!(event, Event::Stopped(_));
        // The other thread has ended with an error of its own where it neither listens nor answers.
        if events.send(event).is_err() || has_stopped && may_go_on.recv().is_err() {
            return Ok(());
        }
    }
    Ok(session.run_part(steps.len())?)
}
