//! What the ranks of a step exchange: sums of gradients and batch statistics, and what the step stops for in its middle.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::NetworkError;
use super::micro_batches::{buckets, sum_of};
use crate::gpu::{Gpu, GpuError, Readback, Staging};
use crate::graph::{Session, SessionError, Step};
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

/// The exchange of the steps of one session.
pub(super) struct Exchange {
    gpu: Arc<Gpu>,
    ranks: Rc<dyn Communicator>,
    buckets: Vec<Bucket>,
    sum: Sum,
    spent: Communication,
}

/// A sum that lies in one piece of memory.
struct Bucket {
    sum: ValueId,
    staging: Staging,
}

impl Exchange {
    /// Whether a session is to pause behind this step, for [`Exchange::behind`].
    pub fn is_pause(step: &Step) -> bool {
        sum_of(step).is_some() || over_ranks::is_exchanged(step.node.operator.as_ref())
    }

    pub fn new(gpu: &Arc<Gpu>, ranks: &Rc<dyn Communicator>, session: &Session) -> Result<Self, NetworkError> {
        let reserve = |(sum, _)| -> Result<Bucket, SessionError> {
            let words = session.memory(sum)?.bytes() as usize / 4;
            Ok(Bucket { sum, staging: Staging::new(gpu, "sums on their way", words)? })
        };
        let buckets: Result<Vec<_>, _> = buckets(session.plan()).into_iter().map(reserve).collect();
        let (sum, spent) = (Sum::default(), Communication::default());
        Ok(Self { gpu: Arc::clone(gpu), ranks: Rc::clone(ranks), buckets: buckets?, sum, spent })
    }

    /// What is to be done behind a step at which the session pauses: what all need at once is joined, and sums that are
    /// complete, as they are in the last micro-batch, begin their way to the host.
    pub fn behind(&mut self, session: &Session, step: &Step, is_last: bool) -> Result<(), NetworkError> {
        match sum_of(step) {
            Some(_) if !is_last => Ok(()),
            Some(sum) => {
                let bucket = self.buckets.iter_mut().find(|bucket| bucket.sum == sum);
                bucket.map_or(Ok(()), |bucket| {
                    Ok(session.memory(sum)?.copy_to(&mut bucket.staging).map_err(session_error)?)
                })
            }
            None => self.join(session, step),
        }
    }

    /// Replaces what a step has computed of this rank by that of all.
    fn join(&mut self, session: &Session, step: &Step) -> Result<(), NetworkError> {
        let outputs = &step.node.outputs;
        let start = |&output| Readback::start(&self.gpu, session.memory(output)?).map_err(session_error);
        let copies: Result<Vec<_>, SessionError> = outputs.iter().map(start).collect();
        let parts: Result<Vec<Vec<f32>>, GpuError> = copies?.into_iter().map(Readback::wait).collect();
        let own = parts.map_err(session_error)?.concat();
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
            self.gpu.write(view, words).map_err(session_error)?;
            rest = others;
        }
        Ok(())
    }

    /// Replaces the sums of this rank by those over all, in the order in which they were started.
    pub fn finish(&mut self, session: &Session) -> Result<(), NetworkError> {
        let Self { gpu, ranks, buckets, sum, spent } = self;
        for bucket in buckets {
            let view = session.memory(bucket.sum)?;
            let words = view.bytes() as usize / 4;
            let mut seconds = 0.0;
            let added = bucket.staging.wait(|bytes| {
                let begun = Instant::now();
                let written = gpu.write(view, sum.over_ranks(ranks.as_ref(), bytemuck::cast_slice(bytes)));
                seconds = begun.elapsed().as_secs_f64();
                written
            });
            added.and_then(|written| written).map_err(session_error)?;
            spent.seconds += seconds;
            spent.bytes += 2 * 4 * (words * (ranks.size() - 1) / ranks.size()) as u64;
        }
        Ok(())
    }

    pub fn spent(&self) -> Communication {
        self.spent
    }
}

fn session_error(error: GpuError) -> SessionError {
    error.into()
}
