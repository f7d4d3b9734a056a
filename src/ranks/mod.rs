//! The processes that train one network together: who they are, and what they tell each other.
//!
//! A [`Communicator`] is the little of MPI that training needs. [`Alone`] is that of a process without others; with the
//! feature `mpi`, [`mpi`] is that of `mpirun` and its like. Numbers that ranks add up are added in the order of the ranks, by
//! [`Sum`], so that no result depends on the algorithms of an MPI library.

#[cfg(feature = "mpi")]
pub mod mpi;
mod sum;
mod values;

pub use sum::Sum;
pub use values::{broadcast, gather};

use std::ops::Range;

/// What the ranks of a run tell each other. Every rank calls the same methods in the same order.
///
/// An error of the network ends the process, as MPI has it: no method returns one.
pub trait Communicator {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// How many processes there are.
    fn size(&self) -> usize;

    /// The number of this process among those of its machine, from 0, and how many these are.
    fn local(&self) -> (usize, usize) {
        (0, 1)
    }

    /// The name of this machine.
    fn host(&self) -> String {
        "this machine".to_string()
    }

    /// Sends `words[parts[r]]` to each rank r, and receives what each has for this one: as much as its own part, in the order
    /// of the ranks.
    fn all_to_all(&self, words: &[f32], parts: &[Range<usize>], received: &mut [f32]);

    /// Brings `words[parts[r]]` of each rank r to all. The parts follow each other and cover `words`.
    fn all_gather_parts(&self, words: &mut [f32], parts: &[Range<usize>]);

    /// What each rank gives, in the order of the ranks.
    fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>>;

    /// What rank 0 gives; what the others give has no part in it.
    fn broadcast(&self, bytes: Vec<u8>) -> Vec<u8>;

    /// Ends all ranks, at once, this one with `status`.
    fn abort(&self, status: u8) -> !;
}

/// Whether `mpirun`, `srun` or their like has started this process as one of several, by the environment that they give it.
pub fn is_launched() -> bool {
    let says = |name: &str| std::env::var(name).ok();
    let is_more_than_one = |name: &&str| says(name).is_some_and(|size| size != "1");
    let sizes = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS"];
    // PMIx tells a process its number alone.
    let by_pmix = says("PMIX_RANK").is_some() && sizes.iter().all(|name| says(name).is_none());
    sizes.iter().any(is_more_than_one) || by_pmix && says("SLURM_NTASKS").is_none_or(|size| size != "1")
}

/// Whether this is the first of the processes that were started together, by the environment, so that one of them speaks.
pub fn is_first() -> bool {
    let numbers = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID"];
    numbers.iter().find_map(|name| std::env::var(name).ok()).is_none_or(|number| number == "0")
}

/// The communicator of a process without others.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Communicator for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_to_all(&self, words: &[f32], _: &[Range<usize>], received: &mut [f32]) {
        received.copy_from_slice(words);
    }

    fn all_gather_parts(&self, _: &mut [f32], _: &[Range<usize>]) {}

    fn all_gather(&self, bytes: &[u8]) -> Vec<Vec<u8>> {
        vec![bytes.to_vec()]
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    fn abort(&self, status: u8) -> ! {
        std::process::exit(status.into())
    }
}
