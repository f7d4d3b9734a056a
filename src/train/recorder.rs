//! What a run writes besides checkpoints: the log, TensorBoard's events, sheets of predictions, results and the summary.

use std::path::Path;

use image::{ImageFormat, RgbImage};

use super::error::TrainError;
use super::events::EventFile;
use super::folder::RunFolder;
use super::log::{self, EpochLine, Summary};
use super::results::Results;
use super::step::StepLoss;
use crate::files::write_atomically;
use crate::nn::Matching;

/// Steps between the losses that the event file holds.
const EVENT_STEPS: u64 = 10;

/// Writes the records of a run into its folder, unless another rank does. Every error is [`TrainError::Record`] with the file's
/// path.
pub(super) struct Recorder<'a> {
    folder: &'a RunFolder,
    /// `None` where the configuration asks for no events.
    events: Option<EventFile>,
    /// Sheets over the run, besides the last one.
    sheets: usize,
    epochs: u64,
}

impl<'a> Recorder<'a> {
    /// Records of a run of `epochs` epochs. With `events`, steps are recorded for TensorBoard from `first_step` (from 1)
    /// on.
    pub fn new(folder: &'a RunFolder, epochs: u64, sheets: usize, events: bool, first_step: u64) -> Self {
        let events = (events && folder.is_written()).then(|| EventFile::new(folder.path(), first_step));
        Self { folder, events, sheets, epochs }
    }

    /// Records every tenth step, counted from 1.
    pub fn step(&mut self, step: u64, loss: &StepLoss) -> Result<(), TrainError> {
        if !step.is_multiple_of(EVENT_STEPS) {
            return Ok(());
        }
        self.scalars(step, &[("step/loss", f64::from(loss.total)), ("step/learning_rate", loss.learning_rate)])
    }

    /// Adds the numbers of an epoch to the events.
    pub fn epoch(&mut self, line: &EpochLine) -> Result<(), TrainError> {
        let score = line.metric.as_ref().map(|metric| (format!("epoch/{}", metric.name), metric.value));
        let accuracy = line.training_accuracy.map(|accuracy| ("epoch/training_accuracy", accuracy));
        let numbers = [
            ("epoch/loss", line.loss),
            ("epoch/joint_loss", line.joint_loss),
            ("epoch/bone_loss", line.bone_loss),
            ("epoch/pictures_per_second", line.pictures_per_second),
        ];
        let score = score.as_ref().map(|(tag, value)| (tag.as_str(), *value));
        let coordinates = line.coordinate_loss.map(|loss| ("epoch/coordinate_loss", loss));
        let sides: Vec<String> = (0..line.side_losses.len()).map(|side| format!("epoch/side_loss_{side}")).collect();
        let sides = sides.iter().map(String::as_str).zip(line.side_losses.iter().copied());
        let numbers = numbers.into_iter().chain(coordinates).chain(sides).chain(accuracy).chain(score);
        self.scalars(line.step, &numbers.collect::<Vec<_>>())
    }

    /// Draws the sheet of an epoch where one is due: into the folder, and where the epoch was scored into the events.
    /// `draw` is called only where its picture is needed.
    pub fn epoch_sheet(
        &mut self,
        line: &EpochLine,
        draw: impl FnOnce() -> Result<RgbImage, TrainError>,
    ) -> Result<(), TrainError> {
        let kept = self.folder.is_written() && sheet_is_due(line.epoch, self.epochs, self.sheets);
        let shown = self.events.as_mut().filter(|_| line.metric.is_some());
        if shown.is_none() && !kept {
            return Ok(());
        }
        let sheet = draw()?;
        if kept {
            write_png(&self.folder.epoch_sheet(line.epoch), &sheet)?;
        }
        if let Some(events) = shown {
            encoded(&sheet, ImageFormat::Jpeg)
                .and_then(|jpeg| events.picture(line.step, "predictions", sheet.dimensions(), &jpeg))
                .map_err(TrainError::record(events.path()))?;
        }
        Ok(())
    }

    /// Appends a line to the log.
    pub fn log(&self, line: &EpochLine) -> Result<(), TrainError> {
        if !self.folder.is_written() {
            return Ok(());
        }
        log::append(&self.folder.log(), line).map_err(TrainError::record(self.folder.log()))
    }

    /// Writes the joints found at the end.
    pub fn results(&self, results: &Results) -> Result<(), TrainError> {
        results.write(&self.folder.results()).map_err(TrainError::record(self.folder.results()))
    }

    /// Writes the last sheet.
    pub fn last_sheet(&self, sheet: &RgbImage) -> Result<(), TrainError> {
        write_png(&self.folder.sheet(), sheet)
    }

    /// Whether the folder holds the summary of a run that ended after `epochs`.
    pub fn has_summary(&self, epochs: u64) -> bool {
        log::read_epochs(&self.folder.summary()) == Some(epochs)
    }

    /// Writes the summary.
    pub fn summary(&self, summary: &Summary) -> Result<(), TrainError> {
        let path = self.folder.summary();
        log::write_json(&path, summary).map_err(TrainError::record(path))
    }

    fn scalars(&mut self, step: u64, scalars: &[(&str, f64)]) -> Result<(), TrainError> {
        let Some(events) = &mut self.events else { return Ok(()) };
        events.scalars(step, scalars).map_err(TrainError::record(events.path()))
    }
}

/// Drops the lines of the log that come after `epochs`: a resumed run writes them again.
pub(super) fn truncate_log(folder: &RunFolder, epochs: u64) -> Result<(), TrainError> {
    log::truncate(&folder.log(), epochs).map_err(TrainError::record(folder.log()))
}

/// Writes which tensors came from the file of initial weights.
pub(super) fn write_initial(folder: &RunFolder, matching: &Matching) -> Result<(), TrainError> {
    log::write_json(&folder.init(), matching).map_err(TrainError::record(folder.init()))
}

/// Writes the configuration as TOML.
pub(super) fn write_config(folder: &RunFolder, toml: &str) -> Result<(), TrainError> {
    write_atomically(&folder.config(), toml.as_bytes()).map_err(TrainError::record(folder.config()))
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
    let written = folder.and_then(|()| write_atomically(path, &encoded(picture, ImageFormat::Png)?));
    written.map_err(TrainError::record(path))
}

/// Spreads `sheets` of them evenly over the run; the last epoch's is the run's own `sheet.png`.
fn sheet_is_due(epoch: u64, epochs: u64, sheets: usize) -> bool {
    let portion = |epoch: u64| u128::from(epoch) * (sheets as u128 + 1) / u128::from(epochs);
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
