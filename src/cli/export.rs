//! `ditn export`

use std::path::{Path, PathBuf};

use anyhow::Context;
use prost::Message;
use serde::Serialize;

use super::common::{Common, Status, precision_parser, print, print_json};
use crate::files::write_atomically;
use crate::ir::DType;
use crate::nn::checkpoint::{State, check_finite, network_of, network_only};
use crate::nn::{NetworkError, Precision};
use crate::onnx::{self, Options};
use crate::ops::decode::Decode;
use crate::predict::{TrainedNetwork, shipped};
use crate::train::checkpoint;

const EXAMPLES: &str = "\
Examples:
  ditn export runs/ditn_tiny-001/best.safetensors weights.safetensors
  ditn export runs/ditn_tiny-001/best.safetensors weights.pth
  ditn export runs/ditn_tiny-001/best.safetensors pose.onnx --with decode
  ditn export runs/ditn_tiny-001/best.safetensors small.safetensors --precision f16
  ditn export shipped.safetensors

The name's ending says the format:
  .safetensors  model.load_state_dict(safetensors.torch.load_file(\"weights.safetensors\"))
  .pth          model.load_state_dict(torch.load(\"weights.pth\", weights_only=True))
  .onnx         onnxruntime.InferenceSession(\"pose.onnx\").run(None, {\"image\": crops})

In the first two, names and layouts are PyTorch's, batch normalisation's num_batches_tracked (the steps trained) included,
so that load_state_dict is content with strict=True. The optimizer's state is left out. `predict` and `eval` take
.safetensors too, which also says which network it is, and `import` takes both. With --precision f16 they have half the
size; each number is then within 0.05 % of what it was (or within 3e-8).

ONNX (set 17 of its operators) is the whole network, with batch normalisation in the convolutions' weights. The input
`image` [batch, 3, H, W] is any number of pictures, each showing one person's box, normalised; the outputs are `heat_maps`
[batch, J, H / 4, W / 4], for DITN `bone_maps`, and --with decode `joints` [batch, J, 3]: x, y in pixels of the input and a
score, by the quarter-pixel rule or from the `coordinates` [batch, J, 2] of integral pose regression. The file's doc_string
and metadata_props say how to crop and normalise, and name the joints. Unlike `predict` it does not average with the
mirrored picture.

Without CHECKPOINT the network that ships with the program is exported, such as to begin a training with (model.init).";

/// Arguments of `ditn export`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, allow_missing_positional = true)]
pub struct Arguments {
    /// A checkpoint of `ditn train` or `ditn import` [default: the network that ships with the program]
    #[arg(value_name = "CHECKPOINT")]
    checkpoint: Option<PathBuf>,
    /// The file to write: .safetensors, .pth or .onnx
    #[arg(value_name = "OUT", required = true)]
    out: PathBuf,
    /// How numbers are stored: f32, or f16 in half the space
    #[arg(long, default_value = "f32", value_parser = precision_parser())]
    precision: Precision,
    /// ONNX: what the network does besides heat maps
    #[arg(long, value_enum, value_name = "PART")]
    with: Option<Part>,
}

/// What an ONNX file can hold besides the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The places of the joints
    Decode,
}

/// The formats, by the ending of the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Safetensors,
    Pth,
    Onnx,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    tensors: usize,
    /// Numbers in them: parameters and running statistics.
    numbers: usize,
}

/// Writes the network of a checkpoint as other programs know it.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let Arguments { checkpoint: path, out, precision, with } = arguments;
    let format = Format::of(&out)?;
    let is_onnx = format == Format::Onnx;
    anyhow::ensure!(is_onnx || with.is_none(), "--with is for .onnx; {} holds weights alone", out.display());
    anyhow::ensure!(!is_onnx || precision == Precision::F32, "--precision f16 is for .safetensors and .pth");
    // Whoever names their checkpoint and forgets the other file must not lose it, nor its optimizer.
    let name = out.display();
    let is_own = |path: &PathBuf| out.canonicalize().is_ok_and(|out| path.canonicalize().is_ok_and(|path| path == out));
    match &path {
        None => anyhow::ensure!(!out.exists(), "{name} is there already; to export it: ditn export {name} OUT"),
        Some(path) => anyhow::ensure!(!is_own(path), "{name} would replace the checkpoint itself"),
    }
    let network = match format {
        Format::Onnx => export_onnx(&out, path.as_deref(), with)?,
        Format::Safetensors | Format::Pth => export_weights(&out, path.as_deref(), format, precision)?,
    };
    let report = Report { tensors: network.len(), numbers: network.values().map(|tensor| tensor.data.len()).sum() };
    if common.json {
        print_json(&report)?;
    } else {
        let Report { tensors, numbers } = report;
        print(&format!("{tensors} tensors of {numbers} numbers, written to {}\n", out.display()))?;
    }
    Ok(Status::Done)
}

impl Format {
    /// The format that a file's name promises.
    fn of(out: &Path) -> anyhow::Result<Self> {
        let extension = out.extension().unwrap_or_default().to_ascii_lowercase();
        Ok(match extension.to_str() {
            Some("safetensors") => Self::Safetensors,
            Some("pth" | "pt") => Self::Pth,
            Some("onnx") => Self::Onnx,
            _ => anyhow::bail!(
                "the ending of {} says no format; known are .safetensors, .pth (PyTorch) and .onnx",
                out.display()
            ),
        })
    }
}

/// Returns the tensors that it has written.
fn export_weights(out: &Path, path: Option<&Path>, format: Format, precision: Precision) -> anyhow::Result<State> {
    let checkpoint = path.map_or_else(checkpoint::shipped, checkpoint::load)?;
    let network = network_only(&checkpoint.state);
    check_finite(path.unwrap_or(Path::new(shipped::NAME)), &network)?;
    let dtype = match precision {
        Precision::F32 => DType::F32,
        Precision::F16 => DType::F16,
    };
    match format {
        Format::Pth => checkpoint::export_pth(out, &checkpoint, dtype)?,
        _ => checkpoint::export(out, &checkpoint, dtype)?,
    }
    Ok(network)
}

/// Returns the tensors that went into it.
fn export_onnx(out: &Path, path: Option<&Path>, with: Option<Part>) -> anyhow::Result<State> {
    let trained = path.map_or_else(TrainedNetwork::shipped, TrainedNetwork::load)?;
    let shapes = trained.model.shapes(trained.size).map_err(NetworkError::from)?;
    let network = network_of(&trained.path, &shapes, &trained.state)?;
    let options = Options { decode: with == Some(Part::Decode), rule: trained.decode.decode };
    let is_written = match trained.decode.decode {
        Decode::Quarter | Decode::Dark => true,
        Decode::Expectation => trained.model.integral,
        Decode::QuarterFloor | Decode::SecondMaximum(_) => false,
    };
    anyhow::ensure!(
        is_written || !options.decode,
        "--with decode knows the quarter-pixel rule and the expectation; {} is decoded otherwise: leave it out and decode `heat_maps`",
        trained.path.display()
    );
    let model = onnx::export(&trained.model, trained.size, &network, options)?;
    write_atomically(out, &model.encode_to_vec()).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(network)
}
