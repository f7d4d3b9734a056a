//! What the processes of a run agree on, so that all of them go the same way.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::TrainError;
use super::step::Trainer;
use super::watcher::Watcher;
use crate::gpu::Gpu;
use crate::graph::Tensor;
use crate::nn::NetworkError;
use crate::ranks::Communicator;

/// What each rank gives, in their order. Ends all ranks where they do not understand each other.
pub fn all_gather<T: Serialize + DeserializeOwned>(ranks: &dyn Communicator, own: &T) -> Vec<T> {
    let all = ranks.all_gather(&serde_json::to_vec(own).unwrap_or_default());
    all.iter().map(|bytes| understood(ranks, bytes)).collect()
}

/// What rank 0 gives. Ends all ranks where they do not understand it.
pub fn broadcast<T: Serialize + DeserializeOwned>(ranks: &dyn Communicator, own: &T) -> T {
    understood(ranks, &ranks.broadcast(serde_json::to_vec(own).unwrap_or_default()))
}

fn understood<T: DeserializeOwned>(ranks: &dyn Communicator, bytes: &[u8]) -> T {
    serde_json::from_slice(bytes).unwrap_or_else(|error| {
        tracing::error!("rank {} does not understand another: is it another version? ({error})", ranks.rank());
        ranks.abort(2)
    })
}

/// What a rank is about to do.
#[derive(Debug)]
pub enum Intent<T> {
    /// To go on, with this.
    GoOn(T),
    /// To save and stop.
    Stop,
}

/// One way for all: to go on where all are, to stop where one is, and where one has failed the error, as the first to fail
/// has it; the others have [`TrainError::OtherRank`].
///
/// # Errors
/// That of a rank.
pub fn agree<T>(ranks: &dyn Communicator, own: Result<Intent<T>, TrainError>) -> Result<Intent<T>, TrainError> {
    if ranks.size() == 1 {
        return own;
    }
    let state = match &own {
        Ok(Intent::GoOn(_)) => 0_u8,
        Ok(Intent::Stop) => 1,
        Err(_) => 2,
    };
    let states = ranks.all_gather(&[state]).concat();
    if let Some(failed) = states.iter().position(|&state| state == 2) {
        return Err(match own {
            Err(error) if failed == ranks.rank() => error.on_rank(ranks),
            _ => TrainError::OtherRank { rank: failed, not_finite: false },
        });
    }
    if states.contains(&1) { Ok(Intent::Stop) } else { own }
}

/// `own`, where all ranks have succeeded.
///
/// # Errors
/// As [`agree`].
pub fn all_succeed<T>(ranks: &dyn Communicator, own: Result<T, TrainError>) -> Result<T, TrainError> {
    match agree(ranks, own.map(Intent::GoOn))? {
        Intent::GoOn(own) => Ok(own),
        // Nobody has wanted to.
        Intent::Stop => Err(TrainError::OtherRank { rank: 0, not_finite: false }),
    }
}

/// Gives all ranks the parameters, running statistics and moments of rank 0.
///
/// # Errors
/// Device errors.
pub(super) fn share_state(ranks: &dyn Communicator, trainer: &mut Trainer) -> Result<(), NetworkError> {
    if ranks.size() == 1 {
        return Ok(());
    }
    let mut state = trainer.state()?;
    let own: Vec<f32> = state.values().flat_map(|tensor| &tensor.data).copied().collect();
    let words: Vec<f32> = bytemuck::pod_collect_to_vec(&ranks.broadcast(bytemuck::cast_slice(&own).to_vec()));
    let mut rest = &words[..];
    for (name, Tensor { data, .. }) in &mut state {
        // The same network has the same tensors on all ranks.
        let (words, others) = rest.split_at_checked(data.len()).ok_or_else(|| NetworkError::Missing(name.clone()))?;
        data.copy_from_slice(words);
        rest = others;
    }
    if ranks.rank() > 0 {
        trainer.restore(&state)?;
    }
    Ok(())
}

/// Says which adapter each rank has.
pub(super) fn say_who(ranks: &dyn Communicator, gpu: &Gpu, watcher: &mut dyn Watcher) {
    if ranks.size() == 1 {
        return;
    }
    let report = gpu.report();
    let adapter = format!("{} ({}, {} {})", report.name, report.backend, report.driver, report.driver_info);
    let all = all_gather(ranks, &(ranks.host(), adapter.clone()));
    for (rank, (host, adapter)) in all.iter().enumerate() {
        watcher.note(&format!("  rank {rank:<7} {host}: {adapter}"));
    }
    if all.iter().any(|(_, other)| *other != adapter) {
        watcher.note(
            "  Ranks have different adapters or drivers: what they compute may differ in the last bits, and with it their \
             parameters in time. Rank 0's are saved and scored",
        );
    }
}
