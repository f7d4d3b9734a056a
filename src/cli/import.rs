//! `ditn import`

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::common::{Common, Status, print, print_json};
use crate::data::skeleton::{COCO, skeletons};
use crate::data::{DataKind, Size, Skeleton};
use crate::models::NAMES;
use crate::nn::{Matching, WeightFile};
use crate::train::checkpoint::{self, Checkpoint, Header};
use crate::train::config::{self, Config, NetworkConfig};
use crate::train::progress::Progress;

const EXAMPLES: &str = "\
Examples:
  ditn import pose_hrnet_w32_256x192.pth --model hrnet-w32 hrnet.safetensors
  ditn import hrnet_w32-36af842e.pth --model ditn-w32 --skeleton mpii body.safetensors --all
  ditn import small.pth --model hrnet-w32 --set model.width=8 --set train.size=[128,128] small.safetensors

FILE is a PyTorch .pth (of any version, with or without a wrapper such as `state_dict` and `module.` before the names) or
safetensors, with the public names. Nothing in a .pth is run. The result is a checkpoint that `predict` and `eval` take
and that can start a training (model.init); where tensors are missing it can only start one.";

/// Arguments of `ditn import`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The weights: a .pth or .safetensors file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The checkpoint to write
    #[arg(value_name = "OUT.safetensors")]
    out: PathBuf,
    /// The network that they belong to
    #[arg(long, value_parser = network_named)]
    model: NetworkConfig,
    /// The people's joints: mpii, coco or lsp [default: those that most tensors fit]
    #[arg(long, value_parser = skeleton_named)]
    skeleton: Option<&'static Arc<Skeleton>>,
    /// Change a value of the configuration, such as model.width=48; may be given many times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// List all names instead of the first few
    #[arg(long)]
    all: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    skeleton: &'a str,
    /// Height and width of the network's input.
    size: Size,
    /// Whether every tensor of the network was loaded.
    complete: bool,
    #[serde(flatten)]
    matching: Matching,
}

/// Names of each kind that are listed without `--all`.
const LISTED: usize = 5;

/// Reads weights by their public names, lists what fits, and writes a checkpoint.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let Arguments { file: path, out, model, skeleton, overrides, all } = arguments;
    let file = WeightFile::open(&path)?;
    let mut best: Option<(Config, &'static Arc<Skeleton>, Matching)> = None;
    for skeleton in skeleton.map_or_else(|| skeletons().to_vec(), |skeleton| vec![skeleton]) {
        let config = configuration(&path, &model, skeleton, &overrides)?;
        let matching = Matching::new(&config.model_config(skeleton).shapes(config.train.size)?, &file);
        if best.as_ref().is_none_or(|(_, _, best)| matching.loaded.len() > best.loaded.len()) {
            best = Some((config, skeleton, matching));
        }
    }
    let Some((config, skeleton, matching)) = best else { anyhow::bail!("there is no skeleton to try") };
    let lines = matching.lines(if all { usize::MAX } else { LISTED }).join("\n  ");
    anyhow::ensure!(
        !matching.loaded.is_empty(),
        "{} has no tensor of this network by name and shape; is it for another --model?\n  {lines}",
        path.display()
    );
    let (size, complete, state) = (config.train.size, matching.is_complete(), matching.read(&file)?);
    checkpoint::save(&out, &Checkpoint { header: Header { config, progress: Progress::default() }, state })?;
    if common.json {
        print_json(&Report { skeleton: &skeleton.name, size, complete, matching })?;
        return Ok(Status::Done);
    }
    let (path, out, name) = (path.display(), out.display(), &skeleton.name);
    let verdict = if complete {
        format!("Try it:  ditn predict --checkpoint {out} PICTURE")
    } else {
        format!("Some tensors are missing: it can start a training (--set model.init={out}), but not predict.")
    };
    print(&format!("{path}, for {name} at {size}\n\n  {lines}\n\nWritten to {out}\n{verdict}\n"))?;
    Ok(Status::Done)
}

/// The configuration that the checkpoint carries.
fn configuration(
    path: &std::path::Path,
    model: &NetworkConfig,
    skeleton: &Arc<Skeleton>,
    overrides: &[String],
) -> anyhow::Result<Config> {
    let mut config = Config { model: model.clone(), ..Config::default() };
    config.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    config.data.kind = DataKind::of_skeleton(skeleton);
    if *skeleton == *COCO {
        config.train.size = Size::new(256, 192);
    }
    let config = config::with_overrides(config, overrides)?;
    config.validate()?;
    Ok(config)
}

fn network_named(name: &str) -> Result<NetworkConfig, String> {
    NetworkConfig::named(name).ok_or_else(|| format!("known are {}", NAMES.join(", ")))
}

fn skeleton_named(name: &str) -> Result<&'static Arc<Skeleton>, String> {
    Skeleton::by_name(name).ok_or_else(|| "known are mpii, coco, lsp".into())
}
