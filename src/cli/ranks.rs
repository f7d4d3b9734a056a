//! Commands that several processes run together: how they find each other and how they end.

use std::rc::Rc;

use super::common::Status;
use super::status_of;
use crate::ranks::{Alone, Communicator, is_launched};
use crate::train::TrainError;

/// This process among the others that `mpirun` or the like has started.
pub(super) fn join() -> anyhow::Result<Rc<dyn Communicator>> {
    if is_launched() { join_launched() } else { Ok(Rc::new(Alone)) }
}

#[cfg(feature = "mpi")]
fn join_launched() -> anyhow::Result<Rc<dyn Communicator>> {
    use anyhow::Context;
    Ok(Rc::new(crate::ranks::mpi::Mpi::join().context("MPI has been initialised already")?))
}

#[cfg(not(feature = "mpi"))]
fn join_launched() -> anyhow::Result<Rc<dyn Communicator>> {
    anyhow::bail!(
        "this is one of several processes that mpirun or the like has started, and this program was built without MPI; build it \
         with `cargo build --release --features mpi`"
    )
}

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
