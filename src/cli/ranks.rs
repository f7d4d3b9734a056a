//! Commands that several processes run together: how they find each other and how they end.

use std::rc::Rc;

use super::common::Status;
use super::status_of;
use crate::ranks::{Alone, Communicator, is_first, is_launched};
use crate::train::TrainError;

/// This process among the others that `mpirun` or the like has started.
pub(super) fn join() -> anyhow::Result<Rc<dyn Communicator>> {
    if is_launched() { join_launched() } else { Ok(Rc::new(Alone)) }
}

#[cfg(feature = "mpi")]
fn join_launched() -> anyhow::Result<Rc<dyn Communicator>> {
    use anyhow::Context;
    let ranks = crate::ranks::mpi::Mpi::join().context("MPI has been initialised already")?;
    if ranks.size() == 1 {
        return refuse(
            "this is one of several processes, but the MPI library that this program was built with sees one; start it by \
             that library's mpirun, or by srun --mpi=pmix",
        );
    }
    Ok(Rc::new(ranks))
}

#[cfg(not(feature = "mpi"))]
fn join_launched() -> anyhow::Result<Rc<dyn Communicator>> {
    refuse(
        "this is one of several processes that mpirun or the like has started, and this program was built without MPI; build it \
         with `cargo build --release --features mpi`",
    )
}

/// Refuses a command that is for one process, where there are several.
pub(super) fn be_alone() -> anyhow::Result<()> {
    if is_launched() {
        return refuse("this command runs as one process; `ditn train` and `ditn verify` alone take several");
    }
    Ok(())
}

/// The error of a process that has no part in a run with others: the first of them says it. The others end with status 0, or
/// mpirun might kill the first before it has said anything.
fn refuse<T>(why: &'static str) -> anyhow::Result<T> {
    if is_first() { Err(anyhow::anyhow!(why)) } else { Err(SaidByTheFirst.into()) }
}

/// Why a process ends that the first one speaks for.
#[derive(Debug, thiserror::Error)]
#[error("the first process says why")]
pub(super) struct SaidByTheFirst;

/// Ends a command on all ranks: what went wrong is said by the rank where it did, before any of them has ended with a status
/// that makes mpirun kill the others.
pub(super) fn end_together(ranks: &dyn Communicator, ended: anyhow::Result<Status>) -> anyhow::Result<Status> {
    let (Err(error), true) = (&ended, ranks.size() > 1) else {
        ranks.all_gather(&[]);
        return ended;
    };
    let said = TrainError::OtherRank { rank: ranks.rank(), not_finite: status_of(error) == Status::CheckFailed };
    match error.downcast_ref::<TrainError>() {
        Some(TrainError::OtherRank { .. }) => {}
        Some(TrainError::OnRank { .. } | TrainError::NotFinite { .. }) => eprintln!("error: {error}"),
        _ => {
            let (rank, size, host) = (ranks.rank(), ranks.size(), ranks.host());
            eprintln!("error: rank {rank} of {size}, on {host}: {error:#}");
            // The others do not know and wait for this one.
            ranks.abort(status_of(error).code())
        }
    }
    ranks.all_gather(&[]);
    Err(said.into())
}
