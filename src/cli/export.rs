//! `ditn export`

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::common::{Common, Status, precision_parser, print, print_json};
use crate::ir::DType;
use crate::nn::Precision;
use crate::nn::checkpoint::network_only;
use crate::train::checkpoint;

const EXAMPLES: &str = "\
Examples:
  ditn export runs/ditn_tiny-001/best.safetensors weights.safetensors
  ditn export runs/ditn_tiny-001/best.safetensors small.safetensors --precision f16
  ditn export shipped.safetensors

In Python:
  model.load_state_dict(safetensors.torch.load_file(\"weights.safetensors\"))

The names and layouts are PyTorch's, batch normalisation's num_batches_tracked (the steps trained) included, so that
load_state_dict is content with strict=True. The optimizer's state is left out. `predict` and `eval` take the file too.
With --precision f16 the file has half the size; each number is then within 0.05 % of what it was (or within 3e-8).
Without CHECKPOINT the network that ships with the program is exported, such as to begin a training with (model.init).";

/// Arguments of `ditn export`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_missing_positional = true)]
pub struct Arguments {
    /// A checkpoint of `ditn train` or `ditn import` [default: the network that ships with the program]
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: Option<PathBuf>,
    /// The file to write
    #[arg(value_name = "OUT.safetensors", required = true)]
    out: PathBuf,
    /// How numbers are stored: f32, or f16 in half the space
    #[arg(long, value_name = "PRECISION", default_value = "f32", value_parser = precision_parser())]
    precision: Precision,
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
    let Arguments { checkpoint, out, precision } = arguments;
    check_extension(&out)?;
    let checkpoint = match checkpoint {
        Some(path) => checkpoint::load(&path)?,
        None => {
            let name = out.display();
            // Whoever names their checkpoint and forgets the other file must not lose it.
            anyhow::ensure!(!out.exists(), "{name} is there already; to export it: ditn export {name} OUT.safetensors");
            checkpoint::shipped()?
        }
    };
    let dtype = match precision {
        Precision::F32 => DType::F32,
        Precision::F16 => DType::F16,
    };
    checkpoint::export(&out, &checkpoint, dtype)?;
    let network = network_only(&checkpoint.state);
    let report = Report { tensors: network.len(), numbers: network.values().map(|tensor| tensor.data.len()).sum() };
    if common.json {
        print_json(&report)?;
    } else {
        let (Report { tensors, numbers }, out) = (report, out.display());
        print(&format!("{tensors} tensors of {numbers} numbers, written to {out}\n"))?;
    }
    Ok(Status::Done)
}

/// A file's name must not promise another format than it has.
fn check_extension(out: &Path) -> anyhow::Result<()> {
    let is_served = out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"));
    anyhow::ensure!(is_served, "{} would be a safetensors file; end its name in .safetensors", out.display());
    Ok(())
}
