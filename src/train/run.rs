//! The training loop.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use image::{ImageFormat, RgbImage};

use super::checkpoint::{self, Checkpoint, CheckpointError, EpochSums, Header, Progress, Score};
use super::config::{Config, ConfigError, TrainConfig};
use super::evaluate::{Evaluator, poses_of};
use super::events::EventFile;
use super::folder::{FolderError, RunFolder};
use super::init::{InitError, InitialWeights};
use super::log::{self, EpochLine, NamedScore, Summary, SummaryMetric};
use super::people::People;
use super::schedule::Schedule;
use super::step::{StepLoss, Trainer};
use crate::data::{DataError, Loader};
use crate::gpu::Gpu;
use crate::metrics::ScoreError;
use crate::predict::predictor::NetworkError;

/// Steps between the losses that the event file holds.
const EVENT_STEPS: u64 = 10;

/// Why a run ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration breaks a rule.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A data set is missing or broken.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network cannot be built or run: it does not fit the input size or the adapter, or the adapter failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A checkpoint cannot be written, read or used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The file of initial weights cannot be used.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The output folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A log, summary or picture cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A person cannot be scored.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// The numbers ran away.
    #[error(
        "{what} is not finite at step {step} (learning rate {learning_rate:e}); pictures of that step: {}; {}",
        pictures.join(", "),
        last_good.as_ref().map_or("no checkpoint had been written yet".into(), |path| format!(
            "the last good checkpoint is {}", path.display()
        ))
    )]
    NotFinite {
        /// The loss, or a parameter's name.
        what: String,
        /// The step, from 1.
        step: u64,
        /// Its learning rate.
        learning_rate: f64,
        /// Its pictures.
        pictures: Vec<String>,
        /// The newest checkpoint, whose parameters are all finite.
        last_good: Option<PathBuf>,
    },
}

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

/// What is known before the first step.
pub struct Opening<'a> {
    /// The output folder.
    pub folder: &'a RunFolder,
    /// The adapter.
    pub gpu: &'a Gpu,
    /// Who is trained on and who is scored.
    pub people: &'a People,
    /// Parameters of the network.
    pub parameters: usize,
    /// Steps already done by an earlier process.
    pub first_step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Pictures a step.
    pub batch: usize,
}

/// Someone who watches a run: a progress bar, a test.
pub trait Watcher {
    /// Everything is ready.
    fn opened(&mut self, opening: &Opening<'_>);
    /// A step's loss has come back; steps are counted from 1.
    fn step(&mut self, step: u64, loss: f32);
    /// Another batch of the evaluation is done.
    fn evaluated(&mut self, people: usize, of: usize);
    /// An epoch is over and logged.
    fn epoch(&mut self, line: &EpochLine);
    /// Something worth a line.
    fn note(&mut self, text: &str);
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
            run.settle(watcher)?;
            run.save_last()?;
            return Ok(run.stopped());
        }
        if let Err(error) = run.step(watcher) {
            // A picture that cannot be read is no reason to lose the steps before it.
            if matches!(error, TrainError::Data(_)) && run.progress.step + run.submitted() > 0 {
                run.settle(watcher)?;
                run.save_last()?;
            }
            return Err(error);
        }
        if run.progress.epoch.steps + run.submitted() == run.steps_per_epoch {
            run.settle(watcher)?;
        } else if run.checkpoint_is_due() {
            run.settle(watcher)?;
            run.save_last()?;
        }
    }
}

/// A step that was submitted and whose loss has not come back.
struct InFlight {
    learning_rate: f64,
    pictures: Vec<String>,
}

/// A run under way. `progress` counts the steps whose losses are known; `in_flight` holds the few after them.
struct Run<'a> {
    config: Config,
    folder: &'a RunFolder,
    gpu: Arc<Gpu>,
    people: People,
    batches: Loader,
    schedule: Schedule,
    trainer: Trainer,
    evaluator: Evaluator,
    events: Option<EventFile>,
    steps_per_epoch: u64,
    total_steps: u64,
    parameters: usize,
    progress: Progress,
    in_flight: VecDeque<InFlight>,
    /// Pictures of the newest step whose loss is known.
    last_pictures: Vec<String>,
    has_checkpoint: bool,
    opened: Instant,
    /// Seconds from then to the first step of this process.
    startup_seconds: Option<f64>,
    seconds_before: f64,
    /// Seconds that the loader was waited for before the last settling.
    waited_before: f64,
    /// When the steps since the last settling began.
    stepping_since: Option<Instant>,
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
        let initial = trainer.state()?;
        let has_checkpoint = resumed.is_some();
        let progress = match resumed {
            Some(Checkpoint { header, state }) => {
                checkpoint::check_fits(&folder.last(), &checkpoint::shapes(&initial), &state)?;
                trainer.restore(&state)?;
                log::truncate(&folder.log(), header.progress.epochs)
                    .map_err(|error| TrainError::Record { path: folder.log(), error })?;
                if header.progress.adapter != gpu.report().name {
                    watcher.note(&format!(
                        "the run so far was on {}; on {} the last bits may differ",
                        header.progress.adapter,
                        gpu.report().name
                    ));
                }
                header.progress
            }
            None => {
                if let Some(weights) = InitialWeights::open(&config, people.skeleton())? {
                    let mut state = initial;
                    weights.replace_in(&mut state)?;
                    trainer.restore(&state)?;
                    watcher.note(&weights.report(&folder.init()));
                    log::write_json(&folder.init(), weights.matching())
                        .map_err(|error| TrainError::Record { path: folder.init(), error })?;
                }
                Progress::default()
            }
        };
        let text = toml::to_string(&config).unwrap_or_default();
        checkpoint::write_atomically(&folder.config(), text.as_bytes())
            .map_err(|error| TrainError::Record { path: folder.config(), error })?;

        let evaluator = Evaluator::new(&config, trainer.predictor(config.evaluate.reading())?);
        let parameters = trainer.parameters();
        gpu.save_pipelines();
        let events = config.output.tensorboard.then(|| EventFile::new(folder.path(), progress.step + 1));
        watcher.opened(&Opening {
            folder,
            gpu,
            people: &people,
            parameters,
            first_step: progress.step,
            total_steps,
            batch: config.train.batch,
        });
        Ok(Self {
            schedule: Schedule::new(&config.optimizer, &config.schedule, total_steps),
            seconds_before: progress.seconds,
            waited_before: 0.0,
            config,
            folder,
            gpu: gpu.clone(),
            people,
            batches,
            trainer,
            evaluator,
            events,
            steps_per_epoch,
            total_steps,
            parameters,
            progress,
            in_flight: VecDeque::new(),
            last_pictures: Vec::new(),
            has_checkpoint,
            opened,
            startup_seconds: None,
            stepping_since: None,
        })
    }

    fn submitted(&self) -> u64 {
        self.in_flight.len() as u64
    }

    /// Submits the next step and takes in what losses have come back; the device is never waited for here.
    fn step(&mut self, watcher: &mut dyn Watcher) -> Result<(), TrainError> {
        self.stepping_since.get_or_insert_with(Instant::now);
        let Some(batch) = self.batches.next().transpose()? else {
            // Training batches are endless; the loader ends only after an error that it has reported.
            return Err(DataError::Unsuitable("the training pictures have run out".into()).into());
        };
        let learning_rate = self.schedule.learning_rate(self.progress.step + self.submitted());
        self.startup_seconds = self.startup_seconds.or_else(|| Some(self.opened.elapsed().as_secs_f64()));
        self.trainer.submit(&batch, learning_rate)?;
        let pictures = batch.people.into_iter().map(|person| person.name).collect();
        self.in_flight.push_back(InFlight { learning_rate, pictures });
        for loss in self.trainer.losses(false)? {
            self.take_in(&loss, watcher)?;
        }
        Ok(())
    }

    /// Waits for all submitted steps.
    fn settle(&mut self, watcher: &mut dyn Watcher) -> Result<(), TrainError> {
        for loss in self.trainer.losses(true)? {
            self.take_in(&loss, watcher)?;
        }
        if let Some(since) = self.stepping_since.take() {
            let seconds = since.elapsed().as_secs_f64();
            self.progress.epoch.seconds += seconds;
            self.progress.training_seconds += seconds;
            let waited = self.batches.waited().as_secs_f64() - self.waited_before;
            self.progress.epoch.waiting_seconds += waited;
            self.progress.waiting_seconds += waited;
            self.waited_before += waited;
        }
        Ok(())
    }

    /// Counts a finished step, or ends the run where its loss is not finite.
    fn take_in(&mut self, loss: &StepLoss, watcher: &mut dyn Watcher) -> Result<(), TrainError> {
        let Some(step) = self.in_flight.pop_front() else { return Ok(()) };
        self.progress.step += 1;
        if !loss.total.is_finite() {
            return Err(self.not_finite("the loss".into(), step));
        }
        let sums = &mut self.progress.epoch;
        sums.steps += 1;
        sums.joints += f64::from(loss.joints);
        sums.bones += f64::from(loss.bones);
        sums.total += f64::from(loss.total);
        sums.accuracy.add(loss.accuracy);
        if self.progress.step.is_multiple_of(EVENT_STEPS) {
            let scalars = [("step/loss", f64::from(loss.total)), ("step/learning_rate", step.learning_rate)];
            self.show(self.progress.step, &scalars)?;
        }
        self.last_pictures = step.pictures;
        watcher.step(self.progress.step, loss.total);
        Ok(())
    }

    fn not_finite(&self, what: String, step: InFlight) -> TrainError {
        TrainError::NotFinite {
            what,
            step: self.progress.step,
            learning_rate: step.learning_rate,
            pictures: step.pictures,
            last_good: self.has_checkpoint.then(|| self.folder.last()),
        }
    }

    fn checkpoint_is_due(&self) -> bool {
        let every = self.config.output.checkpoint_steps;
        every > 0 && (self.progress.step + self.submitted()).is_multiple_of(every)
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
        if let Some(name) = checkpoint::first_not_finite(&state) {
            let last_step = self.progress.step.saturating_sub(1);
            let learning_rate = self.schedule.learning_rate(last_step);
            let step = InFlight { learning_rate, pictures: self.last_pictures.clone() };
            return Err(self.not_finite(format!("parameter {name}"), step));
        }
        self.progress.seconds = self.seconds();
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
            let (poses, input) = (poses_of(&predictions), self.config.input_size());
            let score = self.people.score(&poses, input)?.score;
            if epoch == epochs {
                let path = self.folder.results();
                let written = self.people.results(&poses, input)?.write(&path);
                written.map_err(|error| TrainError::Record { path, error })?;
            }
            self.progress.score = Some(Score { epoch, name: score.name().into(), value: score.value() });
        }
        let line = self.epoch_line(epoch, due)?;
        self.show_epoch(&line)?;
        let shown = due && self.events.is_some();
        let kept = sheet_is_due(epoch, epochs, self.config.output.sheets);
        if shown || kept {
            let sheet = self.evaluator.sheet(&self.people)?;
            if kept {
                write_png(&self.folder.epoch_sheet(epoch), &sheet)?;
            }
            if let Some(events) = self.events.as_mut().filter(|_| shown) {
                encoded(&sheet, ImageFormat::Jpeg)
                    .and_then(|jpeg| events.picture(line.step, "predictions", sheet.dimensions(), &jpeg))
                    .map_err(|error| TrainError::Record { path: events.path().to_owned(), error })?;
            }
        }
        log::append(&self.folder.log(), &line)
            .map_err(|error| TrainError::Record { path: self.folder.log(), error })?;
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
            seconds: self.seconds(),
            metric: score.map(|score| NamedScore { name: score.name.clone(), value: score.value }),
        })
    }

    /// Writes the last sheet and the summary.
    fn finish(&mut self) -> Result<Summary, TrainError> {
        write_png(&self.folder.sheet(), &self.evaluator.sheet(&self.people)?)?;
        let value = self.progress.score.as_ref().map_or(f64::NAN, |score| score.value);
        let pictures = self.progress.step * self.config.train.batch as u64;
        let baseline = self.people.mean_pose_score(self.config.input_size())?;
        let summary = Summary {
            metric: SummaryMetric { name: baseline.name().into(), value, mean_pose_baseline: baseline.value() },
            seconds: self.progress.seconds,
            startup_seconds: self.startup_seconds,
            pictures_per_second: pictures as f64 / self.progress.training_seconds,
            waiting_share: self.progress.waiting_seconds / self.progress.training_seconds,
            epochs: self.progress.epochs,
            parameters: self.parameters,
            adapter: self.gpu.report().clone(),
        };
        // A finished run that was only opened again keeps the summary of the process that finished it.
        let path = self.folder.summary();
        if self.startup_seconds.is_some() || !path.exists() {
            log::write_json(&path, &summary).map_err(|error| TrainError::Record { path, error })?;
        }
        Ok(summary)
    }

    /// Adds numbers to the event file.
    fn show(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), TrainError> {
        let Some(events) = &mut self.events else { return Ok(()) };
        let written = events.scalars(step, scalars);
        written.map_err(|error| TrainError::Record { path: events.path().to_owned(), error })
    }

    fn show_epoch(&mut self, line: &EpochLine) -> Result<(), TrainError> {
        let score = line.metric.as_ref().map(|metric| (format!("epoch/{}", metric.name), metric.value));
        let accuracy = line.training_accuracy.map(|accuracy| ("epoch/training_accuracy", accuracy));
        let numbers = [
            ("epoch/loss", line.loss),
            ("epoch/joint_loss", line.joint_loss),
            ("epoch/bone_loss", line.bone_loss),
            ("epoch/pictures_per_second", line.pictures_per_second),
        ];
        let score = score.as_ref().map(|(tag, value)| (tag.as_str(), *value));
        self.show(line.step, &numbers.into_iter().chain(accuracy).chain(score).collect::<Vec<_>>())
    }

    /// Seconds of the whole run, pauses between processes left out.
    fn seconds(&self) -> f64 {
        self.seconds_before + self.opened.elapsed().as_secs_f64()
    }

    fn stopped(&self) -> Outcome {
        Outcome::Stopped { step: self.progress.step, total_steps: self.total_steps }
    }
}

/// A picture as the bytes of a file.
fn encoded(picture: &RgbImage, format: ImageFormat) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    picture.write_to(&mut std::io::Cursor::new(&mut bytes), format).map_err(std::io::Error::other)?;
    Ok(bytes)
}

/// Writes a picture, and its folder where there is none.
fn write_png(path: &Path, picture: &RgbImage) -> Result<(), TrainError> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = folder.and_then(|()| checkpoint::write_atomically(path, &encoded(picture, ImageFormat::Png)?));
    written.map_err(|error| TrainError::Record { path: path.to_owned(), error })
}

/// Whole batches in an epoch of the configuration.
fn steps_per_epoch(config: &Config, people: &People) -> u64 {
    let TrainConfig { batch, pictures_per_epoch, .. } = config.train;
    let pictures = if pictures_per_epoch == 0 { people.training().len() } else { pictures_per_epoch };
    (pictures / batch) as u64
}

/// Spreads `sheets` of them evenly over the run; the last epoch's is the run's own `sheet.png`.
fn sheet_is_due(epoch: u64, epochs: u64, sheets: usize) -> bool {
    let portion = |epoch: u64| epoch * (sheets as u64 + 1) / epochs;
    sheets > 0 && epoch < epochs && portion(epoch) > portion(epoch - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_are_spread_over_the_run_and_leave_out_its_end() {
        let epochs = |sheets| (1..=12).filter(|&e| sheet_is_due(e, 12, sheets)).collect::<Vec<u64>>();
        assert!(epochs(0).is_empty());
        assert_eq!(epochs(3), [3, 6, 9]);
        assert_eq!(epochs(100), (1..12).collect::<Vec<u64>>());
    }
}
