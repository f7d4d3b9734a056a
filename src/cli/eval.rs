//! `ditn eval`

use std::path::PathBuf;

use serde::Serialize;

use super::progress::Progress;
use super::train::stop_on_interrupt;
use super::{Common, Status, print, print_json};
use crate::gpu::AdapterReport;
use crate::metrics::Score;
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::config::{self, Config};
use crate::train::evaluate::{Evaluator, predictor_of};
use crate::train::log::SummaryMetric;
use crate::train::people::People;

const EXAMPLES: &str = "\
Examples:
  ditn eval --checkpoint runs/ditn_tiny-001/best.safetensors
  ditn eval --checkpoint best.safetensors --data ~/data --set evaluate.flip_test=false --set evaluate.people=100

The data set, its split and the network are those of the run that wrote the checkpoint, unless --set says otherwise.";

/// Arguments of `ditn eval`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A checkpoint of `ditn train`
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// Change a value of the run's configuration, such as evaluate.people=100; may be given many times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The folder that holds the data sets' folders [default: data.root, then the environment variable DITN_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    metric: SummaryMetric,
    scores: Score,
    people: usize,
    data: String,
    adapter: AdapterReport,
}

/// Scores a checkpoint.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let Checkpoint { header, state } = checkpoint::load(&arguments.checkpoint)?;
    let mut config: Config = config::with_overrides(header.config, &arguments.overrides)?;
    if let Some(root) = arguments.data {
        config.data.root = Some(root);
    }
    config.validate()?;
    let people = People::open(&config)?;
    let gpu = common.gpu()?;
    let (skeleton, batch) = (people.skeleton(), config.train.batch);
    let predictor = predictor_of(&gpu, &config, skeleton, batch, &arguments.checkpoint, &state)?;

    let mut progress = Progress::new();
    let scores = Evaluator::new(&config, predictor).score(&people, &mut progress, stop_on_interrupt()?)?;
    progress.finished();
    let Some(scores) = scores else {
        eprintln!("Stopped before all people were scored.");
        return Ok(Status::Interrupted);
    };
    let report = Report {
        metric: SummaryMetric {
            name: scores.name().into(),
            value: scores.value(),
            mean_pose_baseline: people.mean_pose_score(config.input_size())?.value(),
        },
        scores,
        people: people.evaluation().len(),
        data: people.evaluation().name().into(),
        adapter: gpu.report().clone(),
    };
    if common.json {
        print_json(&report)?
    } else {
        print(&table(&report))?
    }
    Ok(Status::Done)
}

fn table(report: &Report) -> String {
    let Report { metric, scores, people, data, adapter } = report;
    let mut text = format!("{} of {people} people of {data}, on {}\n\n", metric.name, adapter.name);
    let mean_pose = ("mean pose".to_owned(), Some(metric.mean_pose_baseline));
    for (name, value) in scores.rows().into_iter().chain([mean_pose]) {
        let value = value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        text += &format!("  {name:<20} {value:>6}\n");
    }
    text
}
