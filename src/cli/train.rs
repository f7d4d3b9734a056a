//! `ditn train`

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use super::common::{Common, Status, print, print_json};
use super::progress::Progress;
use super::ranks::{end_together, join};
use crate::gpu::{AdapterChoice, Gpu};
use crate::nn::NetworkError;
use crate::nn::checkpoint::State;
use crate::ranks::{Communicator, broadcast};
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::folder::RunFolder;
use crate::train::init::InitialWeights;
use crate::train::log::Summary;
use crate::train::people::People;
use crate::train::resume::Changes;
use crate::train::team::all_succeed;
use crate::train::watcher::{Silent, Watcher};
use crate::train::{self, Config, Outcome, Process, TrainError, config};

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
More pictures a step than the device's memory holds: --set train.accumulate=4 takes four batches before each update.
Several GPUs or machines, with a program built by `cargo build --release --features mpi`:
  mpirun -n 4 ditn train CONFIG                  a process an adapter, train.batch pictures each; rank 0 writes
  mpirun -n 4 ditn train CONFIG --adapter 0,2    processes take turns with these adapters
The results are those of one process with train.accumulate=4, to the bit. --set train.sync_batch_norm=true normalises by
the statistics of all processes. docs/scale.md says what to expect.

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

/// Trains, with other ranks where there are any, and prints the summary.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let ranks = join()?;
    let ended = train(&arguments, common, &ranks);
    end_together(&*ranks, ended)
}

/// What a run is made of, as rank 0 has it.
struct Start {
    config: Config,
    resumed: Option<(RunFolder, Checkpoint)>,
}

fn train(arguments: &Arguments, common: &Common, ranks: &Rc<dyn Communicator>) -> anyhow::Result<Status> {
    let is_first = ranks.rank() == 0;
    let start = all_succeed(&**ranks, if is_first { start(arguments, ranks.size()).map(Some) } else { Ok(None) })?;
    let header = start.as_ref().and_then(|start| Some(start.resumed.as_ref()?.1.header.clone()));
    let (config, header) = broadcast(&**ranks, &(start.as_ref().map(|start| start.config.clone()), header));
    let config = config.context("rank 0 has no configuration")?;

    let people = all_succeed(&**ranks, people(&config, is_first && header.is_none()))?;
    let gpu = Gpu::open(&AdapterChoice { turn: ranks.local().0, ..common.adapter_choice() });
    let gpu = all_succeed(&**ranks, gpu.map_err(|error| NetworkError::from(error).into()))?;
    let (folder, checkpoint) = match start.map(|start| start.resumed) {
        Some(Some((folder, checkpoint))) => (Ok(Some(folder)), Some(checkpoint)),
        Some(None) => (new_folder(arguments, &config).map(Some), None),
        None => (Ok(None), header.map(|header| Checkpoint { header, state: State::new() })),
    };
    let folder = all_succeed(&**ranks, folder)?;
    let path = broadcast(&**ranks, &folder.as_ref().map_or(PathBuf::new(), |folder| folder.path().to_owned()));
    let folder = folder.unwrap_or_else(|| RunFolder::of_another_rank(path));

    let mut progress = Progress::new();
    let mut silent = Silent;
    let watcher: &mut dyn Watcher = if is_first { &mut progress } else { &mut silent };
    let process = Process { gpu, ranks: Rc::clone(ranks) };
    match train::run(config, people, &folder, checkpoint, &process, watcher, stop_on_interrupt()?)? {
        Outcome::Finished(summary) => {
            progress.finished();
            if common.json {
                print_json(&summary)?
            } else {
                print(&report(&summary, folder.path()))?
            }
            Ok(Status::Done)
        }
        Outcome::Followed => Ok(Status::Done),
        Outcome::Stopped { step, total_steps } => {
            progress.finished();
            if is_first {
                let path = folder.path().display();
                eprintln!("Stopped and saved at step {step} of {total_steps}. Resume with: ditn train --resume {path}");
            }
            Ok(Status::Interrupted)
        }
    }
}

/// The configuration of a run of so many processes, and what it goes on from.
fn start(arguments: &Arguments, ranks: usize) -> Result<Start, TrainError> {
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
    if let Some(root) = &arguments.data {
        config.data.root = Some(root.clone());
    }
    config.validate_training()?;
    if let Some((folder, checkpoint)) = &resumed {
        // What cannot go on is said before people are looked for that the run never had.
        Changes::between(&checkpoint.header, &config, ranks, folder)?;
    }
    Ok(Start { config, resumed })
}

/// The people of a configuration; with `starts` also whether its initial weights can be had, which is to be known before a
/// folder is made.
fn people(config: &Config, starts: bool) -> Result<People, TrainError> {
    let people = People::open(config)?;
    if starts {
        InitialWeights::open(config, people.skeleton())?;
    }
    Ok(people)
}

fn new_folder(arguments: &Arguments, config: &Config) -> Result<RunFolder, TrainError> {
    Ok(match &arguments.out {
        Some(path) => RunFolder::for_new_run(path)?,
        None => RunFolder::numbered(Path::new("runs"), &config.name)?,
    })
}

fn resume(path: &Path) -> Result<(RunFolder, Checkpoint), TrainError> {
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
