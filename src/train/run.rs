//! The training loop.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::checkpoint::{self, Checkpoint, Header};
use super::clock::Clock;
use super::config::Config;
use super::epochs::Epochs;
use super::error::TrainError;
use super::evaluate::Evaluator;
use super::folder::RunFolder;
use super::log::{CommunicationLine, EpochLine, NamedScore, Summary, SummaryMetric};
use super::people::People;
use super::progress::{EpochSums, Progress, Score};
use super::recorder::{self, Recorder};
use super::resume::{self, Changes};
use super::schedule::Schedule;
use super::start;
use super::step::{StepLoss, Trainer};
use super::team::{Intent, agree, all_succeed};
use super::watcher::{Opening, Watcher};
use crate::data::{Batch, DataError, Loader};
use crate::gpu::Gpu;
use crate::nn::checkpoint::first_not_finite;
use crate::nn::{Communication, NetworkError};
use crate::ranks::{Alone, Communicator, broadcast};

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// All epochs are done.
    Finished(Box<Summary>),
    /// It was asked to stop, saved and stopped.
    Stopped {
        /// Steps of its configuration that are done.
        step: u64,
        /// Steps of the whole run.
        total_steps: u64,
    },
    /// All epochs are done, and another rank has written what they came to.
    Followed,
}

/// A process of a run: its adapter, and the ranks that it trains with.
pub struct Process {
    /// The adapter.
    pub gpu: Arc<Gpu>,
    /// This process among the others.
    pub ranks: Rc<dyn Communicator>,
}

impl Process {
    /// A process that trains without others.
    pub fn alone(gpu: &Arc<Gpu>) -> Self {
        Self { gpu: Arc::clone(gpu), ranks: Rc::new(Alone) }
    }
}

/// Trains on `people`, who were opened from `config`, to the end of the configuration or until `stop` is set.
///
/// `resumed` is the checkpoint to go on from. The run then continues as if it had never stopped: the same batches, the
/// same rates, and on the same adapter the same bits. With a changed configuration it continues from the epochs and
/// pictures that are done, see [`resume`](mod@super::resume); where no epoch is left it ends at once.
///
/// Of several ranks all call it with the same configuration and header of the checkpoint. Rank 0 alone has the folder, the
/// checkpoint's tensors and the file of initial weights; parameters start everywhere as they do there.
///
/// # Errors
/// See [`TrainError`]. Whatever happens, the newest good checkpoint stays in the folder. An error that has not been agreed on by
/// all ranks, which is one of neither [`TrainError::OnRank`] nor [`TrainError::OtherRank`], leaves the others waiting: their
/// communicator is then to be [aborted](Communicator::abort).
pub fn run(
    config: Config,
    people: People,
    folder: &RunFolder,
    resumed: Option<Checkpoint>,
    process: &Process,
    watcher: &mut dyn Watcher,
    stop: &AtomicBool,
) -> Result<Outcome, TrainError> {
    let mut run = Run::open(config, people, folder, resumed, process, watcher)?;
    loop {
        if run.epochs.ends(&run.progress) {
            run.save(false)?;
            if !run.end_epoch(watcher, stop)? {
                return Ok(run.stopped());
            }
        }
        if run.epochs.are_done(&run.progress) {
            return run.finish(watcher, stop);
        }
        let own = if stop.load(Ordering::Relaxed) { Ok(Intent::Stop) } else { run.next_batches().map(Intent::GoOn) };
        match agree(&*process.ranks, own.map_err(TrainError::from)) {
            Ok(Intent::GoOn(batches)) => run.step(&batches, watcher)?,
            Ok(Intent::Stop) => {
                run.drain(watcher)?;
                run.save(false)?;
                return Ok(run.stopped());
            }
            Err(error) => {
                // A picture that cannot be read is no reason to lose the steps before it.
                if run.progress.step + run.trainer.in_flight() > 0 {
                    run.drain(watcher)?;
                    run.save(false)?;
                }
                return Err(error);
            }
        }
        if run.epoch_is_submitted() {
            run.drain(watcher)?;
        } else if run.checkpoint_is_due() {
            run.drain(watcher)?;
            run.save(false)?;
        }
    }
}

/// A run under way. `progress` counts the steps whose losses are known; the trainer holds the few after them.
struct Run<'a> {
    config: Config,
    folder: &'a RunFolder,
    process: &'a Process,
    people: People,
    batches: Loader,
    schedule: Schedule,
    trainer: Trainer,
    /// Parameters of the network, those included that are not trained.
    parameters: usize,
    evaluator: Evaluator,
    recorder: Recorder<'a>,
    clock: Clock,
    epochs: Epochs,
    progress: Progress,
    /// Pictures of the newest step whose loss is known.
    last_pictures: Vec<String>,
    has_checkpoint: bool,
    /// Whether this process has scored the network as it is and written its results.
    has_results: bool,
    /// What had been exchanged when this process began with the epoch, and the epoch's steps and seconds then.
    exchanged_before: (Communication, u64, f64),
}

impl<'a> Run<'a> {
    fn open(
        config: Config,
        people: People,
        folder: &'a RunFolder,
        resumed: Option<Checkpoint>,
        process: &'a Process,
        watcher: &mut dyn Watcher,
    ) -> Result<Self, TrainError> {
        let opened = Instant::now();
        let (gpu, ranks) = (&process.gpu, &*process.ranks);
        let config = people.complete(config);
        let changes = resumed.as_ref().map_or(Ok(Changes::default()), |checkpoint| {
            Changes::between(&checkpoint.header, &config, ranks.size(), folder).map_err(TrainError::from)
        });
        let fits = changes.and_then(|changes| Ok((changes, start::check_epoch(&config, ranks.size())?)));
        let (changes, ()) = all_succeed(ranks, fits)?;
        start::check_people(ranks, &people)?;
        let epochs = Epochs::of(&config, &people, ranks.size());

        // The first pictures are made ready while the kernels compile.
        let first = resume::place(resumed.as_ref(), people.training().len());
        let batches = all_succeed(ranks, people.training_batches(&config, ranks, first).map_err(TrainError::from))?;
        let model = config.model_config(people.skeleton());
        let step = config.step_config_of(ranks.size());
        let trainer = Trainer::with_ranks(gpu, &model, &step, config.seed, &process.ranks);
        let mut trainer = all_succeed(ranks, trainer.map_err(TrainError::from))?;
        let has_checkpoint = resumed.is_some();
        let started = match resumed {
            Some(checkpoint) if folder.is_written() => start::resumed(&mut trainer, checkpoint, folder, gpu, watcher),
            Some(checkpoint) => Ok(resume::progress(checkpoint.header)),
            None if folder.is_written() => start::with_initial_weights(&mut trainer, &config, &people, folder, watcher),
            None => Ok(Progress::default()),
        };
        let mut progress = all_succeed(ranks, started)?;
        progress.ranks = ranks.size();
        start::share_state(ranks, &mut trainer)?;
        if let Some(note) = changes.note() {
            watcher.note(&note);
        }
        if changes.are_of_scores(config.evaluate.split) && progress.best.take().is_some() {
            watcher.note("Scores are not comparable with those before: the best checkpoint is chosen anew");
        }
        let has_ended = epochs.are_done(&progress);
        if !has_ended && folder.is_written() {
            recorder::write_config(folder, &toml::to_string(&config).unwrap_or_default())?;
        }

        let backbone = model.frozen_backbone.then(|| model.backbone_shapes(config.train.size));
        let frozen = backbone.transpose().map_err(NetworkError::from)?.map_or(0, |(_, parameters)| parameters);
        let network = trainer.pose_network(config.evaluate.decode_options()).map_err(TrainError::from);
        let evaluator = Evaluator::new(&config, all_succeed(ranks, network)?);
        gpu.save_pipelines();
        let output = &config.output;
        let first_step = progress.step.saturating_add(1);
        let recorder = Recorder::new(folder, epochs.count, output.sheets, output.tensorboard, first_step);
        watcher.opened(&Opening {
            folder,
            gpu,
            people: &people,
            parameters: trainer.parameters() + frozen,
            first_step: epochs.steps_done(&progress, 0),
            total_steps: epochs.steps(),
            batch: config.train.pictures_per_step(ranks.size()),
        });
        start::say_who(ranks, gpu, watcher);
        if frozen > 0 {
            watcher.note(&format!("  the backbone stays as it is: {} parameters are trained", trainer.parameters()));
        }
        if has_ended {
            let (done, count) = (progress.epochs, epochs.count);
            let open = if progress.epoch.steps > 0 { "; the one under way ends here" } else { "" };
            watcher.note(&format!("{done} epochs are done, and the configuration asks for {count}{open}"));
        }
        Ok(Self {
            schedule: Schedule::new(&config.optimizer, &config.schedule, epochs.steps()),
            clock: Clock::new(opened, progress.seconds),
            config,
            folder,
            process,
            people,
            batches,
            parameters: trainer.parameters() + frozen,
            trainer,
            evaluator,
            recorder,
            epochs,
            last_pictures: Vec::new(),
            has_checkpoint,
            has_results: false,
            exchanged_before: (Communication::default(), progress.epoch.steps, progress.epoch.seconds),
            progress,
        })
    }

    /// The learning rate of the next step to be submitted.
    fn next_learning_rate(&self) -> f64 {
        let in_flight = self.trainer.in_flight();
        let done = self.epochs.steps_done(&self.progress, in_flight);
        self.schedule.learning_rate(self.progress.step.saturating_add(in_flight), done)
    }

    /// The learning rate of the newest step whose loss is known.
    fn last_learning_rate(&self) -> f64 {
        let done = self.epochs.steps_done(&self.progress, 0);
        self.schedule.learning_rate(self.progress.step.saturating_sub(1), done.saturating_sub(1))
    }

    fn epoch_is_submitted(&self) -> bool {
        let in_flight = self.trainer.in_flight() * self.epochs.pictures_per_step();
        self.epochs.is_full(self.progress.epoch.pictures.saturating_add(in_flight))
    }

    fn checkpoint_is_due(&self) -> bool {
        let every = self.config.output.checkpoint_steps;
        every > 0 && (self.progress.step + self.trainer.in_flight()).is_multiple_of(every)
    }

    /// This process's batches of the next step.
    fn next_batches(&mut self) -> Result<Vec<Batch>, DataError> {
        self.clock.step_begins();
        let batches: Result<Vec<Batch>, _> = self.batches.by_ref().take(self.config.train.accumulate).collect();
        let batches = batches?;
        for reason in batches.iter().flat_map(|batch| &batch.skipped) {
            tracing::info!("left out, another stands in: {reason}");
        }
        if batches.len() < self.config.train.accumulate {
            // Training batches are endless: the loader ends after an error alone.
            return Err(DataError::Unsuitable("the training pictures have run out".into()));
        }
        Ok(batches)
    }

    /// Submits the next step and records the losses that have come back; the device is never waited for here.
    fn step(&mut self, batches: &[Batch], watcher: &mut dyn Watcher) -> Result<(), TrainError> {
        let learning_rate = self.next_learning_rate();
        self.clock.step_submitted();
        self.trainer.submit(batches, learning_rate)?;
        // Nothing is saved before all submitted steps are done.
        self.progress.place = batches.last().map(|batch| batch.end);
        for loss in self.trainer.losses(false)? {
            self.record_step(loss, watcher)?;
        }
        Ok(())
    }

    /// Waits for all submitted steps and records their losses.
    fn drain(&mut self, watcher: &mut dyn Watcher) -> Result<(), TrainError> {
        for loss in self.trainer.losses(true)? {
            self.record_step(loss, watcher)?;
        }
        self.clock.drained(&mut self.progress, self.batches.waited());
        Ok(())
    }

    /// Counts a finished step, or ends the run where its loss is not finite.
    fn record_step(&mut self, loss: StepLoss, watcher: &mut dyn Watcher) -> Result<(), TrainError> {
        let pictures = self.epochs.pictures_per_step();
        self.progress.step += 1;
        if !loss.total.is_finite() {
            let ranks: Vec<String> = loss.not_finite.iter().map(ToString::to_string).collect();
            let what = match (self.process.ranks.size(), ranks.len()) {
                (1, _) => "the loss".to_string(),
                (_, 1) => format!("the loss of rank {}", ranks[0]),
                _ => format!("the loss of ranks {}", ranks.join(", ")),
            };
            return Err(self.not_finite(what, loss.learning_rate, loss.pictures));
        }
        let sums = &mut self.progress.epoch;
        sums.steps = sums.steps.saturating_add(1);
        sums.pictures = sums.pictures.saturating_add(pictures);
        sums.skipped = sums.skipped.saturating_add(loss.skipped);
        sums.add(&loss.losses, loss.total);
        sums.accuracy.add(loss.accuracy);
        self.progress.pictures = self.progress.pictures.saturating_add(pictures);
        self.recorder.step(self.progress.step, &loss)?;
        watcher.step(self.epochs.steps_done(&self.progress, 0), loss.total);
        self.last_pictures = loss.pictures;
        Ok(())
    }

    fn not_finite(&self, what: String, learning_rate: f64, pictures: Vec<String>) -> TrainError {
        if !self.folder.is_written() {
            return TrainError::OtherRank { rank: 0, not_finite: true };
        }
        let last_good = self.has_checkpoint.then(|| self.folder.last());
        TrainError::NotFinite { what, step: self.progress.step, learning_rate, pictures, last_good }
    }

    /// Writes `last.safetensors`, and before it `best.safetensors` where the network `is_best`; on the rank that writes. All
    /// submitted steps have come back.
    fn save(&mut self, is_best: bool) -> Result<(), TrainError> {
        let saved = if self.folder.is_written() { self.write_checkpoints(is_best) } else { Ok(()) };
        all_succeed(&*self.process.ranks, saved)?;
        self.has_checkpoint = true;
        Ok(())
    }

    fn write_checkpoints(&mut self, is_best: bool) -> Result<(), TrainError> {
        let checkpoint = self.checkpoint()?;
        if is_best {
            checkpoint::save(&self.folder.best(), &checkpoint)?;
        }
        Ok(checkpoint::save(&self.folder.last(), &checkpoint)?)
    }

    /// The run as it stands, or an error where a parameter is not finite: a good checkpoint is not to be lost to that.
    fn checkpoint(&mut self) -> Result<Checkpoint, TrainError> {
        let state = self.trainer.state()?;
        if let Some(name) = first_not_finite(&state) {
            let others = if self.process.ranks.size() > 1 { " (the pictures are rank 0's)" } else { "" };
            let name = format!("parameter {name}{others}");
            return Err(self.not_finite(name, self.last_learning_rate(), self.last_pictures.clone()));
        }
        self.progress.seconds = self.clock.seconds();
        self.progress.adapter = self.process.gpu.report().name.clone();
        let header = Header { config: self.config.clone(), progress: self.progress.clone() };
        Ok(Checkpoint { header, state })
    }

    /// Scores, logs and saves at the end of an epoch. False where it was asked to stop in between; the epoch then
    /// still counts as open, and resuming comes back here.
    fn end_epoch(&mut self, watcher: &mut dyn Watcher, stop: &AtomicBool) -> Result<bool, TrainError> {
        let epoch = self.progress.epochs.saturating_add(1);
        let is_last = epoch >= self.epochs.count;
        let due = epoch.is_multiple_of(self.config.evaluate.every as u64) || is_last;
        if due && !self.score(epoch, is_last, watcher, stop)? {
            return Ok(false);
        }
        let line = self.epoch_line(epoch, due)?;
        self.recorder.epoch(&line)?;
        self.recorder.epoch_sheet(&line, || self.evaluator.sheet(&self.people))?;
        self.recorder.log(&line)?;
        self.progress.epochs = epoch;
        self.progress.epoch = EpochSums::default();
        self.exchanged_before = (self.trainer.communication().unwrap_or_default(), 0, 0.0);
        self.save_scored(due)?;
        watcher.epoch(&line);
        Ok(true)
    }

    /// Scores the network as it is after `epoch` epochs, and writes its results where it `is_last`. False where it was
    /// asked to stop in between.
    fn score(
        &mut self,
        epoch: u64,
        is_last: bool,
        watcher: &mut dyn Watcher,
        stop: &AtomicBool,
    ) -> Result<bool, TrainError> {
        let ranks = &*self.process.ranks;
        let Some(poses) = self.evaluator.poses(&self.people, ranks, watcher, stop)? else { return Ok(false) };
        // All ranks know, so that none scores by itself.
        self.has_results |= is_last;
        if !self.folder.is_written() {
            return Ok(true);
        }
        let input = self.config.train.size;
        let score = self.people.score(&poses, input)?.score;
        if is_last {
            self.recorder.results(&self.people.results(&poses, input)?)?;
        }
        self.progress.score = Some(Score { epoch, name: score.name().into(), value: score.value() });
        Ok(true)
    }

    /// Saves, as the best so far where the network `is_scored` and is that.
    fn save_scored(&mut self, is_scored: bool) -> Result<(), TrainError> {
        let best = is_scored && self.is_best();
        if best {
            self.progress.best = self.progress.score.clone();
        }
        self.save(best)
    }

    fn is_best(&self) -> bool {
        match (&self.progress.score, &self.progress.best) {
            (Some(score), Some(best)) => score.value > best.value,
            (score, _) => score.is_some(),
        }
    }

    fn epoch_line(&self, epoch: u64, scored: bool) -> Result<EpochLine, TrainError> {
        let Progress { step, pictures, epoch: sums, score, .. } = &self.progress;
        let steps = sums.steps as f64;
        let score = score.as_ref().filter(|_| scored);
        Ok(EpochLine {
            epoch,
            step: *step,
            pictures: *pictures,
            skipped: sums.skipped,
            loss: sums.total / steps,
            joint_loss: sums.joints / steps,
            bone_loss: sums.bones / steps,
            coordinate_loss: (sums.coordinates != 0.0).then_some(sums.coordinates / steps),
            side_losses: sums.sides.iter().map(|sum| sum / steps).collect(),
            training_accuracy: sums.accuracy.percent(),
            loss_scale: self.trainer.loss_scale()?,
            learning_rate: self.last_learning_rate(),
            pictures_per_second: sums.pictures as f64 / sums.seconds,
            waiting_share: sums.waiting_seconds / sums.seconds,
            communication: self.communication_line(),
            seconds: self.clock.seconds(),
            metric: score.map(|score| NamedScore { name: score.name.clone(), value: score.value }),
        })
    }

    /// What has been exchanged since the epoch began.
    fn communication_line(&self) -> Option<CommunicationLine> {
        let (now, (before, steps, training)) = (self.trainer.communication()?, self.exchanged_before);
        let (steps, training) = (self.progress.epoch.steps - steps, self.progress.epoch.seconds - training);
        let seconds = now.seconds - before.seconds;
        let bytes_per_step = (now.bytes - before.bytes) as f64 / steps.max(1) as f64;
        Some(CommunicationLine { bytes_per_step, seconds, share: seconds / training.max(f64::MIN_POSITIVE) })
    }

    /// Writes the last sheet and the summary. A finished run that was only opened again keeps its summary.
    fn finish(&mut self, watcher: &mut dyn Watcher, stop: &AtomicBool) -> Result<Outcome, TrainError> {
        let is_recorded = !self.has_results && self.recorder.has_summary(self.progress.epochs);
        let is_recorded = broadcast(&*self.process.ranks, &is_recorded);
        if !self.has_results && !is_recorded {
            // It ends earlier than it was going to: its last epoch was not scored as the last.
            if !self.score(self.progress.epochs, true, watcher, stop)? {
                return Ok(self.stopped());
            }
            self.save_scored(true)?;
        }
        if !self.folder.is_written() {
            return Ok(Outcome::Followed);
        }
        self.recorder.last_sheet(&self.evaluator.sheet(&self.people)?)?;
        let value = self.progress.score.as_ref().map_or(f64::NAN, |score| score.value);
        let baseline = self.people.mean_pose_score(self.config.train.size)?;
        let startup_seconds = self.clock.startup_seconds();
        let summary = Summary {
            metric: SummaryMetric { name: baseline.name().into(), value, mean_pose_baseline: baseline.value() },
            seconds: self.progress.seconds,
            startup_seconds,
            pictures_per_second: self.progress.pictures as f64 / self.progress.training_seconds,
            waiting_share: self.progress.waiting_seconds / self.progress.training_seconds,
            epochs: self.progress.epochs,
            parameters: self.parameters,
            adapter: self.process.gpu.report().clone(),
        };
        if !is_recorded {
            self.recorder.summary(&summary)?;
        }
        Ok(Outcome::Finished(Box::new(summary)))
    }

    fn stopped(&self) -> Outcome {
        Outcome::Stopped { step: self.epochs.steps_done(&self.progress, 0), total_steps: self.epochs.steps() }
    }
}
