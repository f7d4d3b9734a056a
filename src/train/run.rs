//! The training loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::checkpoint::{self, Checkpoint, Header};
use super::clock::Clock;
use super::config::{Config, TrainConfig};
use super::error::TrainError;
use super::evaluate::{Evaluator, poses_of};
use super::folder::RunFolder;
use super::init::InitialWeights;
use super::log::{EpochLine, NamedScore, Summary, SummaryMetric};
use super::people::People;
use super::progress::{EpochSums, Progress, Score};
use super::recorder::{self, Recorder};
use super::schedule::Schedule;
use super::step::{StepLoss, Trainer};
use super::watcher::{Opening, Watcher};
use crate::data::{DataError, Loader};
use crate::gpu::Gpu;
use crate::nn::checkpoint::{check_fits, first_not_finite, shapes};

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// All epochs are done.
    Finished(Box<Summary>),
    /// It was asked to stop, saved and stopped.
    Stopped {
        /// Steps done.
        step: u64,
        /// Steps of the whole run.
        total_steps: u64,
    },
}

/// Trains on `people`, who were opened from `config`, to the end of the configuration or until `stop` is set.
///
/// `resumed` is the checkpoint to go on from. The run then continues as if it had never stopped: the same batches, the
/// same rates, and on the same adapter the same bits.
///
/// # Errors
/// See [`TrainError`]. Whatever happens, the newest good checkpoint stays in the folder.
pub fn run(
    config: Config,
    people: People,
    folder: &RunFolder,
    resumed: Option<Checkpoint>,
    gpu: &Arc<Gpu>,
    watcher: &mut dyn Watcher,
    stop: &AtomicBool,
) -> Result<Outcome, TrainError> {
    let mut run = Run::open(config, people, folder, resumed, gpu, watcher)?;
    loop {
        if run.progress.epoch.steps == run.steps_per_epoch {
            run.save_last()?;
            if !run.end_epoch(watcher, stop)? {
                return Ok(run.stopped());
            }
        }
        if run.progress.step == run.total_steps {
            return Ok(Outcome::Finished(Box::new(run.finish()?)));
        }
        if stop.load(Ordering::Relaxed) {
            run.drain(watcher)?;
            run.save_last()?;
            return Ok(run.stopped());
        }
        if let Err(error) = run.step(watcher) {
            // A picture that cannot be read is no reason to lose the steps before it.
            if matches!(error, TrainError::Data(_)) && run.submitted_steps() > 0 {
                run.drain(watcher)?;
                run.save_last()?;
            }
            return Err(error);
        }
        if run.epoch_is_submitted() {
            run.drain(watcher)?;
        } else if run.checkpoint_is_due() {
            run.drain(watcher)?;
            run.save_last()?;
        }
    }
}

/// A run under way. `progress` counts the steps whose losses are known; the trainer holds the few after them.
struct Run<'a> {
    config: Config,
    folder: &'a RunFolder,
    gpu: Arc<Gpu>,
    people: People,
    batches: Loader,
    schedule: Schedule,
    trainer: Trainer,
    evaluator: Evaluator,
    recorder: Recorder<'a>,
    clock: Clock,
    steps_per_epoch: u64,
    total_steps: u64,
    progress: Progress,
    /// Pictures of the newest step whose loss is known.
    last_pictures: Vec<String>,
    has_checkpoint: bool,
}

impl<'a> Run<'a> {
    fn open(
        config: Config,
        people: People,
        folder: &'a RunFolder,
        resumed: Option<Checkpoint>,
        gpu: &Arc<Gpu>,
        watcher: &mut dyn Watcher,
    ) -> Result<Self, TrainError> {
        let opened = Instant::now();
        let steps_per_epoch = steps_per_epoch(&config, &people);
        let total_steps = steps_per_epoch * config.train.epochs as u64;

        // The first pictures are made ready while the kernels compile.
        let first_step = resumed.as_ref().map_or(0, |checkpoint| checkpoint.header.progress.step);
        let batches = people.training_batches(&config, first_step)?;
        let model = config.model_config(people.skeleton());
        let mut trainer = Trainer::new(gpu, &model, &config.step_config(), config.seed)?;
        let has_checkpoint = resumed.is_some();
        let progress = match resumed {
            Some(checkpoint) => resume(&mut trainer, checkpoint, folder, gpu, watcher)?,
            None => {
                load_initial_weights(&mut trainer, &config, &people, folder, watcher)?;
                Progress::default()
            }
        };
        recorder::write_config(folder, &toml::to_string(&config).unwrap_or_default())?;

        let evaluator = Evaluator::new(&config, trainer.pose_network(config.evaluate.decode_options())?);
        gpu.save_pipelines();
        let (epochs, output) = (config.train.epochs as u64, &config.output);
        let recorder = Recorder::new(folder, epochs, output.sheets, output.tensorboard, progress.step + 1);
        watcher.opened(&Opening {
            folder,
            gpu,
            people: &people,
            parameters: trainer.parameters(),
            first_step: progress.step,
            total_steps,
            batch: config.train.batch,
        });
        Ok(Self {
            schedule: Schedule::new(&config.optimizer, &config.schedule, total_steps),
            clock: Clock::new(opened, progress.seconds),
            config,
            folder,
            gpu: gpu.clone(),
            people,
            batches,
            trainer,
            evaluator,
            recorder,
            steps_per_epoch,
            total_steps,
            progress,
            last_pictures: Vec::new(),
            has_checkpoint,
        })
    }

    /// Steps of the run that were submitted, those included whose losses have not come back.
    fn submitted_steps(&self) -> u64 {
        self.progress.step + self.trainer.in_flight()
    }

    fn epoch_is_submitted(&self) -> bool {
        self.progress.epoch.steps + self.trainer.in_flight() == self.steps_per_epoch
    }

    fn checkpoint_is_due(&self) -> bool {
        let every = self.config.output.checkpoint_steps;
        every > 0 && self.submitted_steps().is_multiple_of(every)
    }

    /// Submits the next step and records the losses that have come back; the device is never waited for here.
    fn step(&mut self, watcher: &mut dyn Watcher) -> Result<(), TrainError> {
        self.clock.step_begins();
        let Some(batch) = self.batches.next().transpose()? else {
            // Training batches are endless; the loader ends only after an error that it has reported.
            return Err(DataError::Unsuitable("the training pictures have run out".into()).into());
        };
        let learning_rate = self.schedule.learning_rate(self.submitted_steps());
        self.clock.step_submitted();
        self.trainer.submit(&batch, learning_rate)?;
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
        self.progress.step += 1;
        if !loss.total.is_finite() {
            return Err(self.not_finite("the loss".into(), loss.learning_rate, loss.pictures));
        }
        let sums = &mut self.progress.epoch;
        sums.steps += 1;
        sums.joints += f64::from(loss.joints);
        sums.bones += f64::from(loss.bones);
        sums.total += f64::from(loss.total);
        sums.accuracy.add(loss.accuracy);
        self.recorder.step(self.progress.step, &loss)?;
        watcher.step(self.progress.step, loss.total);
        self.last_pictures = loss.pictures;
        Ok(())
    }

    fn not_finite(&self, what: String, learning_rate: f64, pictures: Vec<String>) -> TrainError {
        let last_good = self.has_checkpoint.then(|| self.folder.last());
        TrainError::NotFinite { what, step: self.progress.step, learning_rate, pictures, last_good }
    }

    /// Writes `last.safetensors`. All submitted steps have come back.
    fn save_last(&mut self) -> Result<(), TrainError> {
        let checkpoint = self.checkpoint()?;
        checkpoint::save(&self.folder.last(), &checkpoint)?;
        self.has_checkpoint = true;
        Ok(())
    }

    /// The run as it stands, or an error where a parameter is not finite: a good checkpoint is not to be lost to that.
    fn checkpoint(&mut self) -> Result<Checkpoint, TrainError> {
        let state = self.trainer.state()?;
        if let Some(name) = first_not_finite(&state) {
            let learning_rate = self.schedule.learning_rate(self.progress.step.saturating_sub(1));
            return Err(self.not_finite(format!("parameter {name}"), learning_rate, self.last_pictures.clone()));
        }
        self.progress.seconds = self.clock.seconds();
        self.progress.adapter = self.gpu.report().name.clone();
        let header = Header { config: self.config.clone(), progress: self.progress.clone() };
        Ok(Checkpoint { header, state })
    }

    /// Scores, logs and saves at the end of an epoch. False where it was asked to stop in between; the epoch then
    /// still counts as open, and resuming comes back here.
    fn end_epoch(&mut self, watcher: &mut dyn Watcher, stop: &AtomicBool) -> Result<bool, TrainError> {
        let epoch = self.progress.epochs + 1;
        let epochs = self.config.train.epochs as u64;
        let due = epoch.is_multiple_of(self.config.evaluate.every as u64) || epoch == epochs;
        if due {
            let Some(predictions) = self.evaluator.predict(&self.people, watcher, stop)? else {
                return Ok(false);
            };
            let (poses, input) = (poses_of(&predictions), self.config.train.size);
            let score = self.people.score(&poses, input)?.score;
            if epoch == epochs {
                self.recorder.results(&self.people.results(&poses, input)?)?;
            }
            self.progress.score = Some(Score { epoch, name: score.name().into(), value: score.value() });
        }
        let line = self.epoch_line(epoch, due)?;
        self.recorder.epoch(&line)?;
        self.recorder.epoch_sheet(&line, || self.evaluator.sheet(&self.people))?;
        self.recorder.log(&line)?;
        self.progress.epochs = epoch;
        self.progress.epoch = EpochSums::default();
        let best = due && self.is_best();
        if best {
            self.progress.best = self.progress.score.clone();
        }
        let checkpoint = self.checkpoint()?;
        if best {
            checkpoint::save(&self.folder.best(), &checkpoint)?;
        }
        checkpoint::save(&self.folder.last(), &checkpoint)?;
        watcher.epoch(&line);
        Ok(true)
    }

    fn is_best(&self) -> bool {
        match (&self.progress.score, &self.progress.best) {
            (Some(score), Some(best)) => score.value > best.value,
            (score, _) => score.is_some(),
        }
    }

    fn epoch_line(&self, epoch: u64, scored: bool) -> Result<EpochLine, TrainError> {
        let Progress { step, epoch: sums, score, .. } = &self.progress;
        let steps = sums.steps as f64;
        let score = score.as_ref().filter(|_| scored);
        Ok(EpochLine {
            epoch,
            step: *step,
            pictures: step * self.config.train.batch as u64,
            loss: sums.total / steps,
            joint_loss: sums.joints / steps,
            bone_loss: sums.bones / steps,
            training_accuracy: sums.accuracy.percent(),
            loss_scale: self.trainer.loss_scale()?,
            learning_rate: self.schedule.learning_rate(step - 1),
            pictures_per_second: steps * self.config.train.batch as f64 / sums.seconds,
            waiting_share: sums.waiting_seconds / sums.seconds,
            seconds: self.clock.seconds(),
            metric: score.map(|score| NamedScore { name: score.name.clone(), value: score.value }),
        })
    }

    /// Writes the last sheet and the summary.
    fn finish(&mut self) -> Result<Summary, TrainError> {
        self.recorder.last_sheet(&self.evaluator.sheet(&self.people)?)?;
        let value = self.progress.score.as_ref().map_or(f64::NAN, |score| score.value);
        let pictures = self.progress.step * self.config.train.batch as u64;
        let baseline = self.people.mean_pose_score(self.config.train.size)?;
        let startup_seconds = self.clock.startup_seconds();
        let summary = Summary {
            metric: SummaryMetric { name: baseline.name().into(), value, mean_pose_baseline: baseline.value() },
            seconds: self.progress.seconds,
            startup_seconds,
            pictures_per_second: pictures as f64 / self.progress.training_seconds,
            waiting_share: self.progress.waiting_seconds / self.progress.training_seconds,
            epochs: self.progress.epochs,
            parameters: self.trainer.parameters(),
            adapter: self.gpu.report().clone(),
        };
        self.recorder.summary(&summary, startup_seconds.is_some())?;
        Ok(summary)
    }

    fn stopped(&self) -> Outcome {
        Outcome::Stopped { step: self.progress.step, total_steps: self.total_steps }
    }
}

/// Continues the run of a checkpoint: its tensors, and the log as it was then.
fn resume(
    trainer: &mut Trainer,
    checkpoint: Checkpoint,
    folder: &RunFolder,
    gpu: &Gpu,
    watcher: &mut dyn Watcher,
) -> Result<Progress, TrainError> {
    let Checkpoint { header: Header { progress, .. }, state } = checkpoint;
    check_fits(&folder.last(), &shapes(&trainer.state()?), &state)?;
    trainer.restore(&state)?;
    recorder::truncate_log(folder, progress.epochs)?;
    let adapter = &gpu.report().name;
    if progress.adapter != *adapter {
        let before = &progress.adapter;
        watcher.note(&format!("the run was started on {before}; on {adapter} results may differ in the last bits"));
    }
    Ok(progress)
}

/// Replaces the initial values by those of the configuration's file, where it names one.
fn load_initial_weights(
    trainer: &mut Trainer,
    config: &Config,
    people: &People,
    folder: &RunFolder,
    watcher: &mut dyn Watcher,
) -> Result<(), TrainError> {
    let Some(weights) = InitialWeights::open(config, people.skeleton())? else { return Ok(()) };
    let mut state = trainer.state()?;
    weights.replace_in(&mut state)?;
    trainer.restore(&state)?;
    watcher.note(&weights.report(&folder.init()));
    recorder::write_initial(folder, weights.matching())
}

/// Whole batches in an epoch of the configuration.
fn steps_per_epoch(config: &Config, people: &People) -> u64 {
    let TrainConfig { batch, pictures_per_epoch, .. } = config.train;
    let pictures = if pictures_per_epoch == 0 { people.training().len() } else { pictures_per_epoch };
    (pictures / batch) as u64
}
