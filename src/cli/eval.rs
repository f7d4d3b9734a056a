//! `ditn eval`

use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

use super::common::{Common, Status, print, print_json, save_picture};
use super::progress::Progress;
use super::train::stop_on_interrupt;
use crate::data::SkeletonTable;
use crate::gpu::AdapterReport;
use crate::metrics::{Evaluation, Score};
use crate::predict::places;
use crate::predict::sheet::{self, Found};
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::config::{self, Config};
use crate::train::evaluate::{Evaluator, Prediction, network_of, poses_of};
use crate::train::log::SummaryMetric;
use crate::train::people::People;

/// People in a row of a sheet, two cells each.
const ACROSS: usize = 4;

const EXAMPLES: &str = "\
Examples:
  ditn eval --checkpoint runs/ditn_tiny-001/best.safetensors
  ditn eval --checkpoint best.safetensors --data ~/data --set evaluate.flip_test=false --set evaluate.people=100
  ditn eval --checkpoint best.safetensors --set data.boxes=boxes/COCO_val2017_detections_AP_H_56_person.json \\
            --results results.json               people that a detector found; results for COCO's server
  ditn eval --checkpoint best.safetensors --sheet worst.png --worst 48
  ditn eval --checkpoint best.safetensors --json > ditn.json; ditn plot ditn.json

The worst people of a sheet are those whose joints are farthest off on average, in parts of the person's box.
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
    /// Write the predicted joints to this file, as `ditn score` and the data set's public tools read them
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Draw the people that were found worst, each with the predicted and the true skeleton
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// How many people the sheet shows, the worst first
    #[arg(long, value_name = "PEOPLE", default_value_t = 24, requires = "sheet")]
    worst: usize,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    metric: SummaryMetric,
    scores: Score,
    /// Thresholds (in head sizes or torso lengths) and the score at each, for `ditn plot`; none for AP.
    curve: Vec<[f64; 2]>,
    people: usize,
    data: String,
    adapter: AdapterReport,
}

/// Scores a checkpoint.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let Checkpoint { header, state } = checkpoint::load(&arguments.checkpoint)?;
    let trained = SkeletonTable::skeleton_of(header.config.skeleton.as_ref(), header.config.data.kind)?;
    let mut config: Config = config::with_overrides(header.config, &arguments.overrides)?;
    if let Some(root) = arguments.data {
        config.data.root = Some(root);
    }
    config.validate()?;
    let people = People::open_for_scoring(&config)?;
    people.check_joints(&trained)?;
    let gpu = common.gpu()?;
    let (skeleton, batch) = (people.skeleton(), config.train.batch);
    let network = network_of(&gpu, &config, skeleton, batch, &arguments.checkpoint, &state)?;

    let mut progress = Progress::new();
    let predictions = Evaluator::new(&config, network).predict(&people, &mut progress, stop_on_interrupt()?)?;
    progress.finished();
    let Some(predictions) = predictions else {
        eprintln!("Stopped before all people were scored.");
        return Ok(Status::Interrupted);
    };
    let poses = poses_of(&predictions);
    if let Some(path) = &arguments.results {
        let results = people.results(&poses, config.train.size)?;
        results.write(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let Evaluation { score: scores, curve } = people.score(&poses, config.train.size)?;
    if let Some(path) = &arguments.sheet {
        let worst = worst_first(&predictions, arguments.worst);
        save_picture(path, &sheet::people(&**people.evaluation(), config.train.size, &worst, ACROSS)?)?;
    }
    let report = Report {
        metric: SummaryMetric {
            name: scores.name().into(),
            value: scores.value(),
            mean_pose_baseline: people.mean_pose_score(config.train.size)?.value(),
        },
        scores,
        curve,
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

/// The people with the greatest errors, with what was found of them.
fn worst_first(predictions: &[Prediction], people: usize) -> Vec<(usize, Vec<Found>)> {
    let mut order: Vec<&Prediction> = predictions.iter().collect();
    order.sort_by(|a, b| b.error().total_cmp(&a.error()));
    order.truncate(people);
    let found = |prediction: &&Prediction| {
        let caption = format!("{:.1}% off", 100.0 * prediction.error());
        (prediction.person.index, vec![(places(&prediction.pose), caption)])
    };
    order.iter().map(found).collect()
}

fn table(report: &Report) -> String {
    let Report { metric, scores, people, data, adapter, .. } = report;
    let mut text = format!("{} of {people} people of {data}, on {}\n\n", metric.name, adapter.name);
    let mean_pose = ("mean pose".to_owned(), Some(metric.mean_pose_baseline));
    for (name, value) in scores.rows().into_iter().chain([mean_pose]) {
        let value = value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        text += &format!("  {name:<20} {value:>6}\n");
    }
    text
}
