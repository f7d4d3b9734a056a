//! Ranks that `mpirun`, `srun` or Kubernetes' MPI operator has started, by the MPI library of the system.

use std::ops::Range;

use mpi::Count;
use mpi::Threading;
use mpi::collective::{CommunicatorCollectives, Root};
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment::{Universe, processor_name};
use mpi::topology::{Communicator as _, SimpleCommunicator};

use super::Communicator;

/// Bytes that one message holds at most: MPI counts in 32 bits.
const MESSAGE: usize = 1 << 30;

/// The ranks of MPI's world. MPI is finalised with it.
pub struct Mpi {
    world: SimpleCommunicator,
    local: (usize, usize),
    // Behind what uses it: fields are dropped in order.
    _universe: Universe,
}

impl Mpi {
    /// Joins the others. `None` where MPI has been initialised before.
    pub fn join() -> Option<Self> {
        // The main thread alone speaks.
        let (universe, _) = mpi::initialize_with_threading(Threading::Funneled)?;
        let world = universe.world();
        let machine = world.split_shared(world.rank());
        let local = (machine.rank() as usize, machine.size() as usize);
        Some(Self { world, local, _universe: universe })
    }
}

impl Drop for Mpi {
    /// A panic ends all ranks: to finalise MPI would wait for them.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.world.abort(101);
        }
    }
}

/// Lengths and first places of parts, as MPI counts them.
fn counts(parts: &[Range<usize>]) -> (Vec<Count>, Vec<Count>) {
    parts.iter().map(|part| (part.len() as Count, part.start as Count)).unzip()
}

/// Parts of these lengths, one behind the other.
fn in_a_row(lengths: impl IntoIterator<Item = usize>) -> Vec<Range<usize>> {
    let mut start = 0;
    let part = |length| {
        start += length;
        start - length..start
    };
    lengths.into_iter().map(part).collect()
}

impl Communicator for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn local(&self) -> (usize, usize) {
        self.local
    }

    fn host(&self) -> String {
        processor_name().unwrap_or_else(|_| "an unnamed machine".to_string())
    }

    fn all_to_all(&self, words: &[f32], parts: &[Range<usize>], received: &mut [f32]) {
        let own = parts[self.rank()].len();
        let (sent, received_parts) = (counts(parts), counts(&in_a_row(vec![own; self.size()])));
        let sent = Partition::new(words, sent.0, sent.1);
        let mut received = PartitionMut::new(received, received_parts.0, received_parts.1);
        self.world.all_to_all_varcount_into(&sent, &mut received);
    }

    fn all_gather_parts(&self, words: &mut [f32], parts: &[Range<usize>]) {
        let own = words[parts[self.rank()].clone()].to_vec();
        let (lengths, starts) = counts(parts);
        self.world.all_gather_varcount_into(&own[..], &mut PartitionMut::new(words, lengths, starts));
    }

    fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lengths = vec![0_u64; self.size()];
        self.world.all_gather_into(&(bytes.len() as u64), &mut lengths[..]);
        let parts = in_a_row(lengths.into_iter().map(|length| length as usize));
        let mut all = vec![0; parts.last().map_or(0, |part| part.end)];
        if all.is_empty() {
            return vec![Vec::new(); parts.len()];
        }
        let (lengths, starts) = counts(&parts);
        self.world.all_gather_varcount_into(bytes, &mut PartitionMut::new(&mut all[..], lengths, starts));
        parts.into_iter().map(|part| all[part].to_vec()).collect()
    }

    fn broadcast(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let root = self.world.process_at_rank(0);
        let mut length = bytes.len() as u64;
        root.broadcast_into(&mut length);
        bytes.resize(length as usize, 0);
        bytes.chunks_mut(MESSAGE).for_each(|message| root.broadcast_into(message));
        bytes
    }

    fn abort(&self, status: u8) -> ! {
        self.world.abort(status.into())
    }
}
