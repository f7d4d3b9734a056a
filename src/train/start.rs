//! How a run starts: whether it can, what its network starts with, and who takes part.

use super::checkpoint::Checkpoint;
use super::config::Config;
use super::error::TrainError;
use super::folder::RunFolder;
use super::init::InitialWeights;
use super::people::People;
use super::progress::Progress;
use super::recorder;
use super::resume::{self, ResumeError};
use super::step::Trainer;
use super::team::all_succeed;
use super::watcher::Watcher;
use crate::data::DataError;
use crate::gpu::Gpu;
use crate::graph::Tensor;
use crate::nn::NetworkError;
use crate::nn::checkpoint::{check_fits, shapes};
use crate::ranks::{Communicator, broadcast, gather};

/// Whether a rank has the people that rank 0 has: data sets that differ would give ranks different epochs.
pub(super) fn check_people(ranks: &dyn Communicator, people: &People) -> Result<(), TrainError> {
    if ranks.size() == 1 {
        return Ok(());
    }
    let own = all_succeed(ranks, people.fingerprint().map_err(TrainError::from))?;
    let first = broadcast(ranks, &own);
    let checked = if own == first {
        Ok(())
    } else if (own.0, own.1) == (first.0, first.1) {
        Err("the people have other names or another order here than on rank 0".to_string())
    } else {
        Err(format!(
            "there are {} people to learn from and {} to be scored here, and {} and {} on rank 0",
            own.0, own.1, first.0, first.1
        ))
    };
    let checked = checked.map_err(|what| DataError::Unsuitable(format!("{what}; give all the same files")));
    all_succeed(ranks, checked.map_err(TrainError::from))
}

/// Whether an epoch of a limited number of pictures has a step.
pub(super) fn check_epoch(config: &Config, ranks: usize) -> Result<(), DataError> {
    let (pictures, step) = (config.train.pictures_per_epoch, config.train.pictures_per_step(ranks));
    if pictures == 0 || pictures >= step {
        return Ok(());
    }
    Err(DataError::Unsuitable(format!(
        "train.pictures_per_epoch is {pictures}, fewer than the {step} pictures of a step of {ranks} processes; make it more, or \
         train.batch or train.accumulate less"
    )))
}

/// Continues the run of a checkpoint: its tensors, and the log as it was then.
pub(super) fn resumed(
    trainer: &mut Trainer,
    checkpoint: Checkpoint,
    folder: &RunFolder,
    gpu: &Gpu,
    watcher: &mut dyn Watcher,
) -> Result<Progress, TrainError> {
    let Checkpoint { header, mut state } = checkpoint;
    let (progress, fresh) = (resume::progress(header), trainer.state()?);
    resume::fit_precision(&mut state, &fresh);
    check_fits(&folder.last(), &shapes(&fresh), &state)?;
    trainer.restore(&state)?;
    if trainer.steps() != progress.step {
        let (path, header, optimizer) = (folder.last(), progress.step, trainer.steps());
        return Err(ResumeError::Steps { path, header, optimizer }.into());
    }
    recorder::truncate_log(folder, progress.epochs)?;
    let adapter = &gpu.report().name;
    if progress.adapter != *adapter {
        let before = &progress.adapter;
        watcher.note(&format!("the run was started on {before}; on {adapter} results may differ in the last bits"));
    }
    Ok(progress)
}

/// Replaces the initial values by those of the configuration's file, where it names one.
pub(super) fn with_initial_weights(
    trainer: &mut Trainer,
    config: &Config,
    people: &People,
    folder: &RunFolder,
    watcher: &mut dyn Watcher,
) -> Result<Progress, TrainError> {
    let Some(weights) = InitialWeights::open(config, people.skeleton())? else { return Ok(Progress::default()) };
    let mut state = trainer.state()?;
    weights.replace_in(&mut state);
    trainer.restore(&state)?;
    watcher.note(&weights.report(&folder.init()));
    recorder::write_initial(folder, weights.matching())?;
    Ok(Progress::default())
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
    let all = gather(ranks, &(ranks.host(), adapter.clone()));
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
