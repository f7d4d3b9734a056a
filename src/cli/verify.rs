//! `ditn verify`

use std::path::PathBuf;
use std::rc::Rc;

use super::common::{Common, Status, precision_parser, print, print_json};
use super::ranks::{end_together, join};
use crate::bench::variant_names;
use crate::gpu::{AdapterChoice, Gpu};
use crate::graph::Choices;
use crate::nn::Precision;
use crate::ranks::Communicator;
use crate::verify::{Dump, Report, verify_dump, verify_ranks};

const NOTES: &str = "\
Dumps are made by tools/ditn_torch.py and tools/ddp_dump.py; tests/dumps/ holds small ones. The allowances are
multiples of each dump's noise plus a constant. The noise is the error of PyTorch's float32 against float64, the largest over several orders of summation: a ReLU
whose input is within rounding of zero passes its gradient in one order and stops it in another. A gradient that is zero but
for rounding (of a bias in front of a batch normalisation) is judged by its group alone.

`mpirun -n 2 ditn verify DUMP` checks the training steps of two processes together, each with its share of the
dump's batch and batch normalisation by the statistics of both (train.sync_batch_norm): losses, gradients, running
statistics, trajectory.";

/// What `ditn verify` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(super) struct Arguments {
    /// A dump of the PyTorch reference
    #[arg(value_name = "DUMP.safetensors")]
    dump: PathBuf,
    /// Use this variant of the kernels wherever there is one: `plain`, `winograd`, ...
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// How feature maps are stored; f16 leaves out the optimizer and the trajectory, and is judged by f16's rounding
    #[arg(long, default_value = "f32", value_parser = precision_parser())]
    precision: Precision,
}

/// Runs the dump's network on the adapter, or its training steps on several ranks, and compares.
pub(super) fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let ranks = join()?;
    let ended = verify(&arguments, common, &ranks);
    end_together(&*ranks, ended)
}

fn verify(arguments: &Arguments, common: &Common, ranks: &Rc<dyn Communicator>) -> anyhow::Result<Status> {
    let gpu = Gpu::open(&AdapterChoice { turn: ranks.local().0, ..common.adapter_choice() })?;
    let choices = match &arguments.variant {
        Some(variant) => {
            let known = variant_names(&gpu)?;
            if !known.contains(variant.as_str()) {
                let known: Vec<_> = known.into_iter().collect();
                anyhow::bail!("no kernel has a variant '{variant}' on this adapter; there are {}", known.join(", "));
            }
            Choices::everywhere(variant.clone())
        }
        None => Choices::of(&gpu)?,
    };
    let dump = Dump::open(&arguments.dump)?;
    let report = if ranks.size() > 1 {
        anyhow::ensure!(arguments.precision == Precision::F32, "several processes are verified in float32");
        verify_ranks(&gpu, &dump, &choices, ranks)?
    } else {
        verify_dump(&gpu, &dump, &choices, arguments.precision)?
    };
    if ranks.rank() > 0 {
        // Rank 0 tells.
    } else if common.json {
        print_json(&report)?;
    } else {
        print(&table(&report, &gpu.report().name))?;
    }
    Ok(if report.pass { Status::Done } else { Status::CheckFailed })
}

fn table(report: &Report, adapter: &str) -> String {
    let rows: String = report
        .groups
        .iter()
        .map(|group| {
            let verdict = if group.pass { "ok  " } else { "FAIL" };
            let unmatched: String = group.unmatched.iter().map(|line| format!("      {line}\n")).collect();
            format!(
                "{verdict}  {:<10}  {:>8.1e} of {:>8.1e}   worst {:>8.1e} of {:>8}  {}\n{unmatched}",
                group.name,
                group.error,
                group.allowance,
                group.worst_error,
                single_allowance(group.worst_allowance),
                group.worst_tensor
            )
        })
        .collect();
    let verdict =
        if report.pass { "The network matches the reference." } else { "The network differs from the reference." };
    let orders = match report.noise_orders {
        1 => "one order of summation".to_string(),
        orders => format!("{orders} orders of summation"),
    };
    format!(
        "Relative errors ||a - b|| / ||b|| against PyTorch in float64, on {adapter}\n\
         Allowances by the noise of {orders}\n\n{rows}\n{verdict}\n"
    )
}

/// The allowance of one tensor; a dash where only the whole group counts.
fn single_allowance(allowance: f64) -> String {
    if allowance.is_finite() { format!("{allowance:.1e}") } else { "-".to_string() }
}
