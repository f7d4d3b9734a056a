//! The written record of a run: `log.jsonl`, a line an epoch, and `summary.json` at its end.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::step::LossScale;
use crate::files::write_atomically;
use crate::gpu::AdapterReport;

/// One line of `log.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochLine {
    /// Epochs done.
    pub epoch: u64,
    /// Optimizer steps done.
    pub step: u64,
    /// Training pictures seen.
    pub pictures: u64,
    /// People of the epoch who could not be used and for whom others stood in (`data.broken = "skip"`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// Mean total loss of the epoch's steps.
    pub loss: f64,
    /// Mean joint loss; 0 where it does not count.
    pub joint_loss: f64,
    /// Mean bone loss; 0 for a network without bone maps.
    pub bone_loss: f64,
    /// Mean loss of the coordinates, in integral pose regression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinate_loss: Option<f64>,
    /// Mean losses of the joint maps before the last ones, of each stack, stage and level in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub side_losses: Vec<f64>,
    /// Labelled joints of the training pictures that were found within a twentieth of the map, in percent: see
    /// [`Accuracy`](super::accuracy::Accuracy).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_accuracy: Option<f64>,
    /// Half precision: the scale of the loss, and how many steps it cost so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
    /// Learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// Pictures a second in training, evaluation left out.
    pub pictures_per_second: f64,
    /// Share of the training time, 0 to 1, in which no batch was ready; evaluation left out.
    #[serde(default)]
    pub waiting_share: f64,
    /// With several processes: what rank 0 has exchanged with the others in the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub communication: Option<CommunicationLine>,
    /// Seconds since the run began, pauses left out.
    pub seconds: f64,
    /// The score, in epochs that end with an evaluation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<NamedScore>,
}

/// What a process has exchanged with others in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommunicationLine {
    /// Bytes that it has sent a step.
    pub bytes_per_step: f64,
    /// Seconds that it took, waits for slower processes included; the device may have been computing meanwhile.
    pub seconds: f64,
    /// The same as a share of the training time, 0 to 1.
    pub share: f64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A score under its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedScore {
    /// Such as `PCKh@0.5`.
    pub name: String,
    /// In percent.
    pub value: f64,
}

/// `summary.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The last score.
    pub metric: SummaryMetric,
    /// Seconds from the first step to the last score, pauses left out.
    pub seconds: f64,
    /// Seconds that this process took from the opened adapter to its first step; `None` where it had none to do.
    pub startup_seconds: Option<f64>,
    /// Pictures a second in training, evaluation left out.
    pub pictures_per_second: f64,
    /// Share of the training time, 0 to 1, in which no batch was ready; evaluation left out.
    pub waiting_share: f64,
    /// Epochs done.
    pub epochs: u64,
    /// Parameters of the network.
    pub parameters: usize,
    /// What it ran on.
    pub adapter: AdapterReport,
}

/// The score of a run beside what knowing no picture at all scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SummaryMetric {
    /// Such as `PCKh@0.5`.
    pub name: String,
    /// In percent.
    pub value: f64,
    /// The same score when every person is given the training people's mean pose.
    pub mean_pose_baseline: f64,
}

/// Appends a line.
///
/// # Errors
/// What the system says.
pub fn append(log: &Path, line: &EpochLine) -> std::io::Result<()> {
    let mut text = serde_json::to_string(line)?;
    text.push('\n');
    OpenOptions::new().create(true).append(true).open(log)?.write_all(text.as_bytes())
}

/// The lines of a log.
///
/// # Errors
/// What the system says; [`std::io::ErrorKind::InvalidData`] with the number of a line that is not an [`EpochLine`].
pub fn read(log: &Path) -> std::io::Result<Vec<EpochLine>> {
    let invalid = |number: usize, error: serde_json::Error| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, format!("line {}: {error}", number + 1))
    };
    let text = std::fs::read_to_string(log)?;
    text.lines()
        .enumerate()
        .map(|(number, line)| serde_json::from_str(line).map_err(|error| invalid(number, error)))
        .collect()
}

/// Drops what a stopped run wrote after its last checkpoint: lines past `epochs`, and a line cut short.
///
/// # Errors
/// What the system says; a log that is not there is no error.
pub fn truncate(log: &Path, epochs: u64) -> std::io::Result<()> {
    let text = match std::fs::read_to_string(log) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        text => text?,
    };
    let belongs = |line: &&str| serde_json::from_str::<EpochLine>(line).is_ok_and(|line| line.epoch <= epochs);
    let kept: String = text.lines().filter(belongs).map(|line| format!("{line}\n")).collect();
    write_atomically(log, kept.as_bytes())
}

/// Writes a record as readable JSON.
///
/// # Errors
/// What the system says; an older file is then still in place.
pub fn write_json(path: &Path, record: &impl Serialize) -> std::io::Result<()> {
    let mut text = serde_json::to_string_pretty(record)?;
    text.push('\n');
    write_atomically(path, text.as_bytes())
}

/// The epochs of a summary; `None` where there is no whole summary.
pub fn read_epochs(summary: &Path) -> Option<u64> {
    #[derive(Deserialize)]
    struct Epochs {
        epochs: u64,
    }
    let text = std::fs::read_to_string(summary).ok()?;
    Some(serde_json::from_str::<Epochs>(&text).ok()?.epochs)
}

/// The score in a summary.
///
/// # Errors
/// What the system says; [`std::io::ErrorKind::InvalidData`] where it is not a summary.
pub fn read_metric(summary: &Path) -> std::io::Result<SummaryMetric> {
    #[derive(Deserialize)]
    struct Metric {
        metric: SummaryMetric,
    }
    let text = std::fs::read_to_string(summary)?;
    Ok(serde_json::from_str::<Metric>(&text)?.metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(epoch: u64) -> EpochLine {
        EpochLine {
            epoch,
            step: epoch * 10,
            pictures: epoch * 80,
            skipped: epoch - 1,
            loss: 0.5,
            joint_loss: 0.4,
            bone_loss: 1.0,
            coordinate_loss: (epoch > 1).then_some(2.5),
            side_losses: vec![0.75; epoch as usize],
            training_accuracy: (epoch > 1).then_some(62.5),
            loss_scale: (epoch > 2).then_some(LossScale { scale: 65536.0, skipped_steps: 1 }),
            learning_rate: 1e-3,
            pictures_per_second: 3.0,
            waiting_share: 0.25,
            communication: None,
            seconds: 7.0,
            metric: (epoch == 2).then(|| NamedScore { name: "PCKh@0.5".into(), value: 12.5 }),
        }
    }

    #[test]
    fn truncating_keeps_whole_lines_of_epochs_that_the_checkpoint_holds() {
        let log = std::env::temp_dir().join(format!("ditn-log-{}.jsonl", std::process::id()));
        std::fs::remove_file(&log).ok();
        truncate(&log, 0).unwrap();
        for epoch in 1..=3 {
            append(&log, &line(epoch)).unwrap();
        }
        OpenOptions::new().append(true).open(&log).unwrap().write_all(b"{\"epoch\":1,\"st").unwrap();
        truncate(&log, 2).unwrap();
        assert_eq!(read(&log).unwrap(), [line(1), line(2)]);
        OpenOptions::new().append(true).open(&log).unwrap().write_all(b"{}\n").unwrap();
        assert!(read(&log).unwrap_err().to_string().starts_with("line 3: missing field"));
        std::fs::remove_file(&log).unwrap();
    }
}
