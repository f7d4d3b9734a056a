//! `ditn train`

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::common::{Common, Status, print, print_json};
use super::progress::Progress;
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::folder::RunFolder;
use crate::train::init::InitialWeights;
use crate::train::log::Summary;
use crate::train::people::People;
use crate::train::resume::Changes;
use crate::train::{self, Outcome, config};

const EXAMPLES: &str = "\
Examples:
  ditn train                                     DITN on synthetic people, in minutes on two CPU cores
  ditn train --set train.epochs=2 --set name=try the same, shorter
  ditn train datasets/lsp/ditn_small.toml --data ~/data
                                                 on real people: ~/data/lsp and ~/data/lspet
  ditn train --resume runs/ditn_tiny-001         resume a run that was stopped

A run's folder holds last.safetensors and best.safetensors (checkpoints), log.jsonl (a line an epoch), config.toml,
sheets/ and sheet.png (predicted beside true skeletons), events.out.tfevents.* (`tensorboard --logdir runs` shows them
while the run goes on), and once it is done summary.json and results.json, the joints that the last network found, as
`ditn score` and the data set's public tools read them.
Ctrl-C saves and stops with exit status 130; --resume continues from there, with the same results to the bit. A second
Ctrl-C stops at once. A run goes on with another batch, other epochs, rates, precision or pictures an epoch (--set); with
another network or other kind of people it is refused.

For a few hundred pictures, start from trained weights and leave the backbone as it is:
  ditn train my.toml --set model.init=WEIGHTS --set train.freeze=backbone
A picture that cannot be read ends a run, which names it and can be resumed. --set data.broken=skip goes on without it.";

/// Arguments of `ditn train`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The configuration [default: the embedded datasets/synthetic/ditn_tiny.toml]
    config: Option<PathBuf>,
    /// Change a value of the configuration, such as train.batch=16; may be given many times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The folder that holds the data sets' folders [default: data.root, then the environment variable DITN_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The folder to write to [default: runs/NAME-001, -002, ...]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in this folder, with its own configuration
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "out"])]
    resume: Option<PathBuf>,
}

/// Trains, and prints the summary.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let resumed = match &arguments.resume {
        Some(path) => Some(resume(path)?),
        None => None,
    };
    let base = match (&resumed, &arguments.config) {
        (Some((_, checkpoint)), _) => checkpoint.header.config.clone(),
        (None, Some(path)) => config::from_file(path)?,
        (None, None) => config::embedded()?,
    };
    let mut config = config::with_overrides(base, &arguments.overrides)?;
    if let Some(root) = arguments.data {
        config.data.root = Some(root);
    }
    config.validate()?;
    if let Some((folder, checkpoint)) = &resumed {
        // What cannot go on is said before people are looked for that the run never had.
        Changes::between(&checkpoint.header.config, &config, folder)?;
    }
    let people = People::open(&config)?;
    if resumed.is_none() {
        // What is wrong with the file of initial weights is said before a folder is made.
        InitialWeights::open(&config, people.skeleton())?;
    }
    let gpu = common.gpu()?;
    let (folder, checkpoint) = match (resumed, &arguments.out) {
        (Some((folder, checkpoint)), _) => (folder, Some(checkpoint)),
        (None, Some(path)) => (RunFolder::for_new_run(path)?, None),
        (None, None) => (RunFolder::numbered(Path::new("runs"), &config.name)?, None),
    };

    let mut progress = Progress::new();
    match train::run(config, people, &folder, checkpoint, &gpu, &mut progress, stop_on_interrupt()?)? {
        Outcome::Finished(summary) => {
            progress.finished();
            if common.json {
                print_json(&summary)?
            } else {
                print(&report(&summary, folder.path()))?
            }
            Ok(Status::Done)
        }
        Outcome::Stopped { step, total_steps } => {
            progress.finished();
            let path = folder.path().display();
            eprintln!("Stopped and saved at step {step} of {total_steps}. Resume with: ditn train --resume {path}");
            Ok(Status::Interrupted)
        }
    }
}

fn resume(path: &Path) -> anyhow::Result<(RunFolder, Checkpoint)> {
    let folder = RunFolder::for_resuming(path)?;
    let checkpoint = checkpoint::load(&folder.last())?;
    Ok((folder, checkpoint))
}

/// A flag that the first Ctrl-C sets; the second ends the process.
pub(super) fn stop_on_interrupt() -> anyhow::Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })?;
    Ok(&STOP)
}

fn report(summary: &Summary, folder: &Path) -> String {
    let Summary { metric, seconds, startup_seconds, pictures_per_second, waiting_share, epochs, parameters, adapter } =
        summary;
    let startup = startup_seconds.unwrap_or(0.0);
    let waiting = 100.0 * waiting_share;
    let folder = folder.display();
    format!(
        "
{name:<24} {value:>8.1} %
{mean_pose:<24} {baseline:>8.1} %
epochs                   {epochs:>8}
time                     {seconds:>8.0} s
  to the first step      {startup:>8.1} s
speed                    {pictures_per_second:>8.1} pictures/s
waiting for pictures     {waiting:>8.1} %
parameters               {parameters:>8}
adapter                  {adapter_name} ({backend}, {driver} {driver_info})

Written to {folder}: summary.json, results.json, log.jsonl, sheet.png, best.safetensors, last.safetensors
Try it:  ditn predict --checkpoint {folder}/best.safetensors PICTURE
",
        name = metric.name,
        value = metric.value,
        mean_pose = "  of the mean pose",
        baseline = metric.mean_pose_baseline,
        adapter_name = adapter.name,
        backend = adapter.backend,
        driver = adapter.driver,
        driver_info = adapter.driver_info,
    )
}
