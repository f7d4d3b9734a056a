//! `ditn plot`

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::common::{Common, Status, print, print_json};
use crate::files::write_atomically;
use crate::plot::{Chart, Level, Line, svg};
use crate::train::log::{self, EpochLine, SummaryMetric};

const EXAMPLES: &str = "\
Examples:
  ditn plot runs/ditn_tiny-001
  ditn plot runs/ditn_tiny-001 runs/hrnet_tiny-001 --label DITN --label HRNet --out curves.svg
  ditn eval --checkpoint runs/ditn_tiny-001/best.safetensors --json > ditn.json
  ditn plot ditn.json --out thresholds.svg
  ditn score mpii --truth mpii/annot/gt_valid.mat --results results.json --json > scores.json
  ditn plot scores.json ditn.json

Of runs, finished or under way, the score, the accuracy on the training pictures and the training loss of the joints are
drawn over the epochs (Figure 9 of the paper); the mean pose's score is a dashed line. The accuracy is the share of joints
found within a twentieth of the heat map in the training steps themselves, so of augmented pictures. The losses of coordinates
and of side outputs (earlier stacks and stages, coarser levels) have charts of their own, where a network has them.

Of what `ditn eval --json` or `ditn score --json` printed, the
score by threshold is drawn; AP has none. The picture is SVG, which every browser shows.";

/// Arguments of `ditn plot`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Folders of runs, or files that `ditn eval --json` or `ditn score --json` printed
    #[arg(required = true, value_name = "RUN|FILE")]
    inputs: Vec<PathBuf>,
    /// The picture to write
    #[arg(long, value_name = "FILE", default_value = "plot.svg")]
    out: PathBuf,
    /// The name of an input in the legend; once for each, in order [default: the folder's or file's name]
    #[arg(long = "label", value_name = "NAME")]
    labels: Vec<String>,
    /// Draw scores and accuracies of runs, and no losses
    #[arg(long)]
    scores: bool,
    /// What the x axis of a run counts
    #[arg(long, value_enum, default_value_t = Abscissa::Epochs)]
    by: Abscissa,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Abscissa {
    Epochs,
    Pictures,
    Minutes,
}

impl Abscissa {
    fn label(self) -> &'static str {
        match self {
            Self::Epochs => "epoch",
            Self::Pictures => "pictures seen",
            Self::Minutes => "minutes",
        }
    }

    fn of(self, line: &EpochLine) -> f64 {
        match self {
            Self::Epochs => line.epoch as f64,
            Self::Pictures => line.pictures as f64,
            Self::Minutes => line.seconds / 60.0,
        }
    }
}

/// What is needed of what `ditn eval --json` or `ditn score --json` prints.
#[derive(Deserialize)]
struct Scored {
    /// Of an evaluation.
    metric: Option<SummaryMetric>,
    /// Of `ditn score mpii`.
    #[serde(rename = "pckh@0.5")]
    pckh: Option<IgnoredAny>,
    /// Of `ditn score lsp`.
    #[serde(rename = "pck@0.2")]
    pck: Option<IgnoredAny>,
    /// Of `ditn score coco`.
    #[serde(rename = "AP")]
    ap: Option<f64>,
    /// Thresholds and scores in percent.
    #[serde(default)]
    curve: Vec<[f64; 2]>,
}

impl Scored {
    /// The metric's name, where it is one of ours.
    fn metric(&self) -> Option<&str> {
        let Scored { metric, pckh, pck, ap, .. } = self;
        let scored = [(pckh.is_some(), "PCKh"), (pck.is_some(), "PCK"), (ap.is_some(), "AP")];
        let evaluated = metric.as_ref().and_then(|metric| metric.name.split('@').next());
        evaluated.or_else(|| scored.into_iter().find(|(is_there, _)| *is_there).map(|(_, name)| name))
    }
}

/// Draws the charts.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let Arguments { inputs, out, labels, scores, by } = arguments;
    anyhow::ensure!(
        labels.is_empty() || labels.len() == inputs.len(),
        "{} labels for {} inputs: give --label once for each, in their order, or not at all",
        labels.len(),
        inputs.len()
    );
    let mut charts = Charts::default();
    for (series, input) in inputs.iter().enumerate() {
        if input.is_dir() { charts.add_run(series, input, by, !scores)? } else { charts.add_curve(series, input)? }
    }
    let names: Vec<String> =
        if labels.is_empty() { inputs.iter().map(|input| name_of(input)).collect() } else { labels };
    let charts = charts.0;
    write_atomically(&out, svg(&charts, &names).as_bytes())
        .with_context(|| format!("cannot write {}", out.display()))?;
    if common.json {
        print_json(&serde_json::json!({ "picture": out, "series": names, "charts": charts }))?;
    } else {
        let titles: Vec<&str> = charts.iter().map(|chart| chart.title.as_str()).collect();
        print(&format!("{}: {}\n", out.display(), titles.join(", ")))?;
    }
    Ok(Status::Done)
}

/// The charts so far, found by their titles.
#[derive(Default)]
struct Charts(Vec<Chart>);

impl Charts {
    /// The score and the training accuracy of a run's epochs, and with `losses` these.
    fn add_run(&mut self, series: usize, folder: &Path, by: Abscissa, losses: bool) -> anyhow::Result<()> {
        let path = folder.join("log.jsonl");
        let epochs = log::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        anyhow::ensure!(!epochs.is_empty(), "{} has no epoch yet", path.display());
        let scored = epochs.iter().filter_map(|line| Some((line.metric.as_ref()?, by.of(line))));
        let points: Vec<[f64; 2]> = scored.clone().map(|(metric, x)| [x, metric.value]).collect();
        if let Some((metric, _)) = scored.clone().next() {
            let chart = self.chart(&metric.name, by.label(), "percent");
            chart.lines.push(Line { series, points });
            // A run under way has no summary yet.
            if let Ok(metric) = log::read_metric(&folder.join("summary.json")) {
                let level = Level { name: "mean pose".into(), y: metric.mean_pose_baseline };
                if !chart.levels.contains(&level) {
                    chart.levels.push(level);
                }
            }
        }
        let accuracies: Vec<[f64; 2]> =
            epochs.iter().filter_map(|line| Some([by.of(line), line.training_accuracy?])).collect();
        // Logs of earlier versions have none.
        if !accuracies.is_empty() {
            let chart = self.chart("Accuracy on the training pictures", by.label(), "percent");
            chart.lines.push(Line { series, points: accuracies });
        }
        if !losses {
            return Ok(());
        }
        // Of the joints alone, which networks with and without bones have in common.
        self.add_losses(series, "the joints", by, &epochs, |line| Some(line.joint_loss).filter(|&loss| loss > 0.0));
        self.add_losses(series, "the coordinates", by, &epochs, |line| line.coordinate_loss);
        for side in 0..epochs.iter().map(|line| line.side_losses.len()).max().unwrap_or(0) {
            let title = format!("side output {side}");
            self.add_losses(series, &title, by, &epochs, |line| line.side_losses.get(side).copied());
        }
        Ok(())
    }

    /// A loss over a run's epochs, of those that have it.
    fn add_losses(
        &mut self,
        series: usize,
        of: &str,
        by: Abscissa,
        epochs: &[EpochLine],
        loss: impl Fn(&EpochLine) -> Option<f64>,
    ) {
        let points: Vec<[f64; 2]> = epochs.iter().filter_map(|line| Some([by.of(line), loss(line)?])).collect();
        if !points.is_empty() {
            let chart = self.chart(&format!("Training loss of {of}"), by.label(), "mean over the epoch");
            chart.logarithmic = true;
            chart.lines.push(Line { series, points });
        }
    }

    /// The score by threshold.
    fn add_curve(&mut self, series: usize, path: &Path) -> anyhow::Result<()> {
        let scored = read_scored(path)?;
        let (kind, length) = match scored.metric() {
            Some("PCKh") => ("PCKh", "head sizes"),
            Some("PCK") => ("PCK", "torso lengths"),
            Some(name) => anyhow::bail!("{}: {name} has no curve by threshold", path.display()),
            None => anyhow::bail!("{} is not what `ditn eval --json` or `ditn score --json` prints", path.display()),
        };
        anyhow::ensure!(!scored.curve.is_empty(), "{} has no score by threshold", path.display());
        let chart = self.chart(&format!("{kind} by threshold"), &format!("threshold ({length})"), "percent");
        chart.lines.push(Line { series, points: scored.curve });
        Ok(())
    }

    fn chart(&mut self, title: &str, x: &str, y: &str) -> &mut Chart {
        let place = self.0.iter().position(|chart| chart.title == title).unwrap_or_else(|| {
            self.0.push(Chart { title: title.into(), x: x.into(), y: y.into(), ..Chart::default() });
            self.0.len() - 1
        });
        &mut self.0[place]
    }
}

fn read_scored(path: &Path) -> anyhow::Result<Scored> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} is neither the folder of a run nor a file that can be read", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is not what `ditn eval --json` or `ditn score --json` prints", path.display()))
}

fn name_of(input: &Path) -> String {
    let name = if input.is_dir() { input.file_name() } else { input.file_stem() };
    name.map_or_else(|| input.display().to_string(), |name| name.to_string_lossy().into_owned())
}
