//! `ditn bench`

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use indicatif::ProgressBar;

use super::common::{Common, Status, parse_size, precision_parser, print, print_json};
use crate::bench::{Comparison, KernelTime, Report, Settings, compare, roofline, run as measure};
use crate::data::Size;
use crate::files::write_atomically;
use crate::models::NAMES;
use crate::train::step::Precision;

const EXAMPLES: &str = "\
Examples:
  ditn bench                                      the kernels that DITN-W32's training step feels most, and the network
  ditn bench --operator conv2d --all-variants     every variant of the convolutions
  ditn bench --batch 4 --case n4_c64_o64_64x64_k3 --all-variants --no-networks
                                                  every variant of one convolution and its gradients
  ditn bench hrnet-w32 --batch 8 --json > a.json  for other tools, and to compare later
  ditn bench --compare a.json b.json              two adapters, or two versions
  ditn bench --check benches/baseline.json        measure what the baseline did; exit status 1 where a kernel's share of
                                                  the adapter's ceiling stays under half of the baseline's";

/// A kernel whose share of the ceiling falls under this part of the baseline's has become slower; the rest is noise.
const REGRESSION: f64 = 0.5;

/// It has if it does so in each of so many runs: other work on the machine slows some of them.
const ATTEMPTS: usize = 4;

/// Arguments of `ditn bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Networks whose training steps give the kernels' cases
    #[arg(value_name = "MODEL", default_value = "ditn-w32", value_parser = clap::builder::PossibleValuesParser::new(NAMES))]
    models: Vec<String>,
    /// Height and width of the input in pixels, multiples of 32
    #[arg(long, value_name = "HxW", default_value = "256x256", value_parser = parse_size)]
    size: Size,
    /// Pictures a step [default: 2 on a CPU, 32 on a GPU]
    #[arg(long, value_name = "PICTURES", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,
    /// How training steps store feature maps
    #[arg(long, default_value = "f32", value_parser = precision_parser())]
    precision: Precision,
    /// Only the kernels of these operators: a folder of `ditn kernels`, or a name such as conv2d_backward_weight
    #[arg(long)]
    operator: Option<String>,
    /// Only the cases with this in their name, such as n4_c64_o64_64x64_k3_s1
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// How many cases of kernels, those that should take the longest; 0 for none
    #[arg(long, default_value_t = 24)]
    top: usize,
    /// Every variant of each kernel, not only the one that is chosen
    #[arg(long)]
    all_variants: bool,
    /// Leave out the whole networks
    #[arg(long)]
    no_networks: bool,
    /// Measurements a figure, of which the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    samples: u8,
    /// Also draw the kernels under the adapter's ceilings
    #[arg(long, value_name = "FILE.svg")]
    roofline: Option<PathBuf>,
    /// Measure nothing; set two reports (of --json) side by side
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"])]
    compare: Option<Vec<PathBuf>>,
    /// Measure as this report did, and compare shares of the ceiling
    #[arg(long, value_name = "BASELINE.json", conflicts_with = "compare")]
    check: Option<PathBuf>,
}

/// Measures, or compares what was measured.
pub(super) fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    if let Some([before, after]) = arguments.compare.as_deref() {
        let found = compare(&read(before)?, &read(after)?);
        if found.is_empty() {
            bail!("'{}' and '{}' have no figure in common", before.display(), after.display());
        }
        if common.json {
            print_json(&found)?;
        } else {
            print(&comparison_table(&found))?;
        }
        return Ok(Status::Done);
    }
    let gpu = common.gpu()?;
    let baseline = arguments.check.as_deref().map(read).transpose()?;
    let settings = match &baseline {
        Some(baseline) => baseline.settings.clone(),
        None => {
            let batch = if gpu.capabilities().is_cpu { 2 } else { 32 };
            Settings {
                models: arguments.models,
                size: arguments.size,
                batch: arguments.batch.map_or(batch, usize::from),
                precision: arguments.precision,
                operator: arguments.operator,
                case: arguments.case,
                top: arguments.top,
                all_variants: arguments.all_variants,
                networks: !arguments.no_networks,
                samples: arguments.samples.into(),
            }
        }
    };
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    let mut report = measure(&gpu, &settings, |next| bar.set_message(next.to_string()))?;
    if let Some(baseline) = &baseline {
        for _ in 1..ATTEMPTS {
            if slower(baseline, &report).is_empty() {
                break;
            }
            keep_best(&mut report, measure(&gpu, &settings, |next| bar.set_message(next.to_string()))?);
        }
    }
    bar.finish_and_clear();
    if let Some(path) = &arguments.roofline {
        let written =
            write_atomically(path, roofline(&report.adapter.name, &report.ceiling, &report.kernels).as_bytes());
        written.with_context(|| format!("cannot write '{}'", path.display()))?;
    }
    if let Some(baseline) = &baseline {
        return check(baseline, &report, common);
    }
    if common.json {
        print_json(&report)?;
    } else {
        print(&table(&report))?;
    }
    Ok(Status::Done)
}

fn read(path: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read '{}'", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("'{}' is no report of `ditn bench --json`", path.display()))
}

/// What reaches less of the ceiling than the baseline did; nothing on another adapter than the baseline's.
fn slower(baseline: &Report, report: &Report) -> Vec<Comparison> {
    let mut found = compare(baseline, report);
    let is_same = baseline.adapter.name == report.adapter.name;
    found.retain(|row| is_same && row.share_ratio.is_some_and(|ratio| ratio < REGRESSION));
    found
}

/// Puts the kernels that did better in `other` in place of those of `report`.
fn keep_best(report: &mut Report, other: Report) {
    for again in other.kernels {
        let name = |kernel: &KernelTime| (kernel.pass.clone(), kernel.case.clone(), kernel.variant.clone());
        match report.kernels.iter_mut().find(|kernel| name(kernel) == name(&again)) {
            Some(kernel) if kernel.share < again.share => *kernel = again,
            _ => {}
        }
    }
}

/// Holds the shares of the ceiling against a baseline's.
fn check(baseline: &Report, report: &Report, common: &Common) -> anyhow::Result<Status> {
    let found = compare(baseline, report);
    if baseline.adapter.name != report.adapter.name {
        eprintln!("note: nothing is held against the baseline, which is of {}", baseline.adapter.name);
    }
    if common.json {
        print_json(&found)?;
    } else {
        print(&comparison_table(&found))?;
    }
    let slower = slower(baseline, report);
    for slow in &slower {
        let share = slow.share_ratio.unwrap_or_default();
        eprintln!("slower: {} reaches {:.2} of the baseline's share of the ceiling", slow.what, share);
    }
    Ok(if slower.is_empty() { Status::Done } else { Status::CheckFailed })
}

fn table(report: &Report) -> String {
    let Settings { models, size, batch, .. } = &report.settings;
    let mut text = format!(
        "{} ({} {})\nCeilings: {:.1} GFLOP/s in fused multiply-adds, {:.1} GB/s in a copy\n",
        report.adapter.name,
        report.adapter.driver,
        report.adapter.driver_info,
        report.ceiling.gflops,
        report.ceiling.gbps
    );
    // Writing to a String cannot fail.
    if !report.kernels.is_empty() {
        let _ = writeln!(
            text,
            "\nKernels of a training step of {} at {size}, batch {batch}; share: of the ceiling that binds\n\n\
             {:>9} {:>5} {:>8} {:>7} {:>6}  kernel",
            models.join(", "),
            "ms",
            "times",
            "GFLOP/s",
            "GB/s",
            "share"
        );
    }
    for kernel in &report.kernels {
        let _ = writeln!(
            text,
            "{:>9.3} {:>5} {:>8.1} {:>7.1} {:>5.0}%  {} {} {} {}",
            kernel.seconds * 1e3,
            kernel.count,
            kernel.gflops,
            kernel.gbps,
            100.0 * kernel.share,
            kernel.operator,
            kernel.pass,
            kernel.case,
            kernel.variant
        );
    }
    if !report.networks.is_empty() {
        let _ = writeln!(
            text,
            "\n{:<20} {:<6} {:>5} {:>10} {:>11} {:>9} {:>10} {:>8} {:>5}",
            "network", "pass", "batch", "ms", "pictures/s", "memory", "dispatches", "host ms", "slow"
        );
    }
    for network in &report.networks {
        let _ = writeln!(
            text,
            "{:<20} {:<6} {:>5} {:>10.1} {:>11.2} {:>5} MiB {:>10} {:>8.2} {:>5}",
            network.name,
            network.pass,
            network.batch,
            network.seconds * 1e3,
            network.batch as f64 / network.seconds,
            network.peak_bytes >> 20,
            network.dispatches,
            network.host_seconds * 1e3,
            network.slow_share.map_or("-".to_string(), |share| format!("{:.0}%", 100.0 * share))
        );
    }
    if !report.networks.is_empty() {
        text += "\nslow: share of the time in kernels under 30 % of the binding ceiling\n";
    }
    text
}

fn comparison_table(found: &[Comparison]) -> String {
    let mut text = format!("{:>10} {:>10} {:>8} {:>12}\n", "first ms", "second ms", "speed-up", "share ratio");
    for row in found {
        let share = row.share_ratio.map_or("-".to_string(), |ratio| format!("{ratio:.2}"));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:>10.3} {:>10.3} {:>8.2} {share:>12}  {}",
            row.before * 1e3,
            row.after * 1e3,
            row.speedup,
            row.what
        );
    }
    text
}
