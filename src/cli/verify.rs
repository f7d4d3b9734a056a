//! `ditn verify`

use std::path::PathBuf;

use super::common::{Common, Status, print, print_json};
use crate::bench::variant_names;
use crate::graph::Choices;
use crate::verify::{Report, verify};

const NOTES: &str = "\
Dumps are made by tools/ditn_torch.py; tests/dumps/ holds small ones. The allowances come from each dump's own noise: what
PyTorch's float32 errs against float64, summing in one order.

Where `grad` alone exceeds its allowance, a ReLU may stand within rounding of zero: in another order of summation it passes
what it stopped. `python tools/relu_ties.py DUMP.safetensors` says whether PyTorch's own gradients keep within the allowances
when it sums otherwise.";

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
}

/// Runs the dump's network on the adapter and compares.
pub(super) fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let gpu = common.gpu()?;
    let choices = match arguments.variant {
        Some(variant) => {
            let known = variant_names(&gpu)?;
            if !known.contains(variant.as_str()) {
                let known: Vec<_> = known.into_iter().collect();
                anyhow::bail!("no kernel has a variant '{variant}' on this adapter; there are {}", known.join(", "));
            }
            Choices::everywhere(variant)
        }
        None => Choices::of(&gpu)?,
    };
    let report = verify(&gpu, &arguments.dump, &choices)?;
    if common.json {
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
    format!("Relative errors ||a - b|| / ||b|| against PyTorch in float64, on {adapter}\n\n{rows}\n{verdict}\n")
}

/// The allowance of one tensor; a dash where only the whole group counts.
fn single_allowance(allowance: f64) -> String {
    if allowance.is_finite() { format!("{allowance:.1e}") } else { "-".to_string() }
}
