//! `ditn export`

use std::path::PathBuf;

use serde::Serialize;

use super::common::{Common, Status, print, print_json};
use crate::nn::checkpoint::network_only;
use crate::train::checkpoint;

const EXAMPLES: &str = "\
Examples:
  ditn export runs/ditn_tiny-001/best.safetensors weights.safetensors

In Python:
  model.load_state_dict(safetensors.torch.load_file(\"weights.safetensors\"))

The names and layouts are PyTorch's, batch normalisation's num_batches_tracked (the steps trained) included, so that
load_state_dict is content with strict=True. The optimizer's state is left out. `predict` and `eval` take the file too.";

/// Arguments of `ditn export`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A checkpoint of `ditn train` or `ditn import`
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: PathBuf,
    /// The file to write
    #[arg(value_name = "OUT.safetensors")]
    out: PathBuf,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    tensors: usize,
    /// Numbers in them: parameters and running statistics.
    numbers: usize,
}

/// Writes the network of a checkpoint as PyTorch knows it.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let checkpoint = checkpoint::load(&arguments.checkpoint)?;
    checkpoint::export(&arguments.out, &checkpoint)?;
    let network = network_only(&checkpoint.state);
    let report = Report { tensors: network.len(), numbers: network.values().map(|tensor| tensor.data.len()).sum() };
    if common.json {
        print_json(&report)?;
    } else {
        let (Report { tensors, numbers }, out) = (report, arguments.out.display());
        print(&format!("{tensors} tensors of {numbers} numbers, written to {out}\n"))?;
    }
    Ok(Status::Done)
}
