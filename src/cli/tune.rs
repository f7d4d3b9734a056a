//! `ditn tune`

use std::fmt::Write;
use std::time::Duration;

use anyhow::Context;
use indicatif::ProgressBar;
use serde::Serialize;

use super::common::{Common, Status, parse_size, print, print_json};
use crate::bench::inference_plan;
use crate::bench::{Tuned, tune};
use crate::data::Size;
use crate::data::skeleton::MPII;
use crate::files::write_atomically;
use crate::graph::{Choices, choices_path};
use crate::models::{ModelConfig, NAMES};
use crate::train::config::Config;
use crate::train::memory::training_plan;

const EXAMPLES: &str = "\
Examples:
  ditn tune                                  DITN-W32 at 256x256, training and inference
  ditn tune hrnet-w48 --size 256x192 --batch 16
  ditn tune --show                           what was chosen on this adapter so far
  ditn tune --forget                         back to the default rules

Kernels have several variants; which is fastest depends on the adapter and on the shapes. Without tuning, default rules
choose. `tune` measures each distinct case once and stores the choice in the user's cache folder, by adapter and driver;
every command uses it from then on. Another variant may round differently, so tune before a run, not in the middle of one.
To pin choices, copy the file (--show names it) and set DITN_CHOICES to the copy; an empty DITN_CHOICES means the default
rules.";

/// Arguments of `ditn tune`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Networks whose kernels are measured
    #[arg(value_name = "MODEL", default_value = "ditn-w32", value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    models: Vec<String>,
    /// Height and width of the input in pixels, multiples of 32
    #[arg(long, value_name = "HxW", default_value = "256x256", value_parser = parse_size)]
    size: Size,
    /// Pictures a training step [default: 2 on a CPU, 32 on a GPU]; inference is tuned for one
    #[arg(long, value_name = "PICTURES", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,
    /// Seconds after which the remaining cases keep the rules; call again to go on
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    budget: u64,
    /// Measure nothing; print what is chosen, and where it is kept
    #[arg(long)]
    show: bool,
    /// Measure nothing; remove what is chosen
    #[arg(long, conflicts_with = "show")]
    forget: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    path: String,
    choices: &'a Choices,
    measured: &'a [Tuned],
}

/// Measures and keeps the choice.
pub(super) fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let gpu = common.gpu()?;
    let path = choices_path(&gpu).context("there is no cache folder: set HOME, XDG_CACHE_HOME or DITN_CHOICES")?;
    if arguments.forget {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove '{}'", path.display()));
            }
            _ => return Ok(Status::Done),
        }
    }
    let mut choices = Choices::load(&path)?;
    let mut measured = Vec::new();
    if !arguments.show {
        let batch = arguments.batch.map_or(if gpu.capabilities().is_cpu { 2 } else { 32 }, usize::from);
        let mut config = Config::default();
        (config.train.size, config.train.batch) = (arguments.size, batch);
        let mut plans = Vec::new();
        for name in &arguments.models {
            let model = ModelConfig::named(name, &MPII).context("an unknown network")?;
            plans.push(training_plan(&model, &config.step_config(), gpu.capabilities(), &choices)?);
            plans.push(inference_plan(&model, arguments.size, 1, gpu.capabilities(), &choices)?);
        }
        let plans: Vec<_> = plans.iter().collect();
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        let budget = Duration::from_secs(arguments.budget);
        measured = tune(&gpu, &plans, &mut choices, budget, |number, count, case| {
            bar.set_message(format!("{number} of {count}: {case}"));
        })?;
        bar.finish_and_clear();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make '{}'", folder.display()))?;
        }
        write_atomically(&path, choices.to_json().as_bytes())
            .with_context(|| format!("cannot write '{}'", path.display()))?;
    }
    if common.json {
        print_json(&Document { path: path.display().to_string(), choices: &choices, measured: &measured })?;
    } else if arguments.show {
        let lines: String = choices.variants.iter().map(|(case, variant)| format!("{variant:<20} {case}\n")).collect();
        print(&format!("{}\n{}\n\n{lines}", path.display(), gpu.describe()))?;
    } else {
        print(&table(&measured, choices.variants.len()))?;
    }
    Ok(Status::Done)
}

fn table(measured: &[Tuned], known: usize) -> String {
    let mut text = String::new();
    let changed: Vec<&Tuned> = measured.iter().filter(|case| case.seconds[0].0 != case.chosen).collect();
    for Tuned { case, seconds, chosen } in &changed {
        let times: Vec<String> =
            seconds.iter().map(|(name, seconds)| format!("{name} {:.3} ms", 1e3 * seconds)).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{chosen:<20} {case}\n{:<20} {}", "", times.join(", "));
    }
    text + &format!(
        "{} cases were measured; in {} of them another variant than the default was faster. {known} choices are stored.\n",
        measured.len(),
        changed.len()
    )
}
