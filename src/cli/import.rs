//! `ditn import`

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::common::{Common, Status, print, print_json};
use crate::data::coco::Annotations;
use crate::data::skeleton::{COCO, skeletons};
use crate::data::{DataKind, Size, Skeleton, SkeletonTable};
use crate::models::{Fit, InputNormalization, NAMES};
use crate::nn::{Matching, PublicNames, WeightCopy, WeightFile};
use crate::ops::decode::Decode;
use crate::train::checkpoint::{self, Checkpoint, Header};
use crate::train::config::{self, Config, LossName, NetworkConfig, NetworkKind};
use crate::train::progress::Progress;
use crate::train::step::TargetMaps;

const EXAMPLES: &str = "\
Examples:
  ditn import pose_hrnet_w32_256x192.pth hrnet.safetensors
  ditn import td-hm_hrnet-w32_8xb64-210e_coco-256x192.pth --model hrnet-w32 mmpose.safetensors
  ditn import epoch_210.pth --model hrnet-w48 --weights ema averaged.safetensors
  ditn import hrnet_w32-36af842e.pth --model ditn-w32 --skeleton mpii body.safetensors --all
  ditn import small.pth --model hrnet-w32 --set model.width=8 --set train.size=[128,128] small.safetensors

FILE is a PyTorch .pth, .pt or .ckpt (of any version, also of whole modules and training checkpoints) or safetensors, with
the names of the public HRNet and SimpleBaseline code, of MMPose (backbone., keypoint_head., head.) or of timm, behind any
prefix (state_dict., module., model., _orig_mod.), or those of hourglasses, CPN, RSN and integral regression
(docs/systems.md). Nothing in a .pth is run: what stands beside the weights is stepped over. The result is a checkpoint that
`predict` and `eval` take and that can start a training (model.init); where tensors are missing it can only start one.

A file of a deeper, wider or other network is refused with the --model or --set that fits; --partial takes what fits of it
all the same. Of several copies of the weights in a file the plain one is taken. --weights ema takes the average over the
training (ema_state_dict, state_dict_ema, model_ema, EMA modules; of MMEngine's files state_dict, where it puts the
average), and --weights PREFIX the copy whose names begin so.";

/// Arguments of `ditn import`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The weights: a PyTorch or safetensors file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The checkpoint to write
    #[arg(value_name = "OUT.safetensors")]
    out: PathBuf,
    /// The network that they belong to [default: the one that they fit]
    #[arg(long, value_parser = network_named)]
    model: Option<NetworkConfig>,
    /// The joints: mpii, coco or lsp, or a file of annotations in COCO's format [default: those that most tensors fit]
    #[arg(long, value_name = "NAME or FILE")]
    skeleton: Option<String>,
    /// Which weights of a file with several: ema for the average over the training, or how their names begin
    #[arg(long, value_name = "ema|PREFIX", value_parser = copy_named)]
    weights: Option<WeightCopy>,
    /// Take what fits, though the file is of a deeper, wider or another network
    #[arg(long)]
    partial: bool,
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
    /// Kind and extents of the network.
    model: &'a NetworkConfig,
    skeleton: &'a str,
    /// Height and width of the network's input.
    size: Size,
    /// Whether every tensor of the network was loaded.
    complete: bool,
    /// What the weights are not, where `--partial` took them all the same.
    wrong: Option<&'a str>,
    /// What else there is to know of the file.
    remarks: &'a [String],
    #[serde(flatten)]
    matching: &'a Matching,
}

/// Names of each kind that are listed without `--all`.
const LISTED: usize = 5;

/// A network for a skeleton, compared with the file.
struct Candidate {
    config: Config,
    skeleton: Arc<Skeleton>,
    matching: Matching,
    fit: Fit,
}

impl Candidate {
    /// The better fit: more than nothing and nothing wrong, then complete, then more tensors, then fewer missing ones.
    fn quality(&self) -> (bool, bool, usize, Reverse<usize>) {
        let Self { matching, fit, .. } = self;
        let fits = fit.wrong.is_none() && !matching.loaded.is_empty();
        (fits, matching.is_complete(), matching.loaded.len(), Reverse(matching.missing.len()))
    }
}

/// Reads weights by their public names, lists what fits, and writes a checkpoint.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let Arguments { file: path, out, model, skeleton, weights, partial, overrides, all } = arguments;
    let file = WeightFile::open(&path)?;
    let copy = weights.unwrap_or_default();
    let models =
        model.map_or_else(|| NAMES.iter().filter_map(|name| NetworkConfig::named(name)).collect(), |m| vec![m]);
    let skeletons = match skeleton {
        Some(name) => vec![skeleton_named(&name)?],
        None => skeletons().map(Arc::clone).to_vec(),
    };
    let mut best: Option<Candidate> = None;
    let mut refused = None;
    for model in &models {
        for skeleton in skeletons.iter().cloned() {
            let config = match configuration(&file, model, &skeleton, &overrides) {
                Ok(config) => config,
                // Of all networks some do not go together with what was asked for.
                Err(error) if models.len() > 1 => {
                    refused = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let network = config.model_config(&skeleton);
            let matching = Matching::new(&network.shapes(config.train.size)?, &file, &copy)?;
            let fit = Fit::new(&network, &matching);
            let candidate = Candidate { config, skeleton, matching, fit };
            if best.as_ref().is_none_or(|best| candidate.quality() > best.quality()) {
                best = Some(candidate);
            }
        }
    }
    let Some(Candidate { config, skeleton, matching, fit }) = best else {
        return Err(refused.unwrap_or_else(|| anyhow::anyhow!("there is no skeleton to try")));
    };
    let lines = matching.lines(if all { usize::MAX } else { LISTED }).join("\n  ");
    let remark = file.remark().map(|remark| format!("\n({remark})")).unwrap_or_default();
    anyhow::ensure!(
        !matching.loaded.is_empty(),
        "{} has no tensor of this network by name and shape; is it for another --model?{remark}{}\n  {lines}",
        path.display(),
        fit.other
    );
    if let Some(wrong) = fit.wrong.as_ref().filter(|_| !partial) {
        anyhow::bail!("{}: {wrong}\n(--partial takes what fits all the same)\n  {lines}", path.display());
    }
    let (size, complete, state) = (config.train.size, matching.is_complete(), matching.read(&file)?);
    checkpoint::save(
        &out,
        &Checkpoint { header: Header { config: config.clone(), progress: Progress::default() }, state },
    )?;
    let Fit { wrong, remarks, .. } = &fit;
    if common.json {
        let (model, skeleton, wrong, matching) = (&config.model, &skeleton.name, wrong.as_deref(), &matching);
        print_json(&Report { model, skeleton, size, complete, wrong, remarks, matching })?;
        return Ok(Status::Done);
    }
    let (path, out, name) = (path.display(), out.display(), &skeleton.name);
    let verdict = match (complete, wrong) {
        (true, None) => format!("Try it:  ditn predict --checkpoint {out} PICTURE"),
        (true, Some(wrong)) => format!("Warning: {wrong}. Its predictions are not those of the file's network."),
        (false, _) => {
            format!("Some tensors are missing: it can start a training (--set model.init={out}), but not predict.")
        }
    };
    let remarks: String = remarks.iter().map(|remark| format!("{remark}\n")).collect();
    let model = config.model.title();
    print(&format!("{path}, {model} for {name} at {size}\n\n  {lines}\n\n{remarks}Written to {out}\n{verdict}\n"))?;
    Ok(Status::Done)
}

/// The configuration that the checkpoint carries.
fn configuration(
    file: &WeightFile,
    model: &NetworkConfig,
    skeleton: &Arc<Skeleton>,
    overrides: &[String],
) -> anyhow::Result<Config> {
    let mut config = Config { model: model.clone(), ..Config::default() };
    config.name = file.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match file.public_names() {
        Some(PublicNames::Princeton) => {
            (config.model.paper_stem, config.model.normalization) = (true, InputNormalization::Unit);
        }
        Some(PublicNames::RsnAuthors) => config.model.normalization = InputNormalization::ImagenetBgr,
        Some(PublicNames::IprAuthors) => config.model.integral = config.model.kind == NetworkKind::Resnet,
        None => {}
    }
    config.model.integral |= file.is_integral() && config.model.kind == NetworkKind::Resnet;
    config.data.kind = DataKind::of_skeleton(skeleton);
    if *skeleton != *config.data.kind.skeleton() {
        config.skeleton = Some(SkeletonTable::from(&**skeleton));
    }
    if *skeleton == *COCO {
        config.train.size = Size::new(256, 192);
    }
    let mut config = config::with_overrides(config, overrides)?;
    // Decoding and targets follow the network, if they are not given.
    let given = |key: &str| overrides.iter().any(|text| text.split('=').next().is_some_and(|name| name.trim() == key));
    if !given("evaluate.decode") {
        config.evaluate.decode = public_decoding(&config.model, config.data.kind);
    }
    if matches!(config.evaluate.decode, Decode::SecondMaximum(_)) && !given("loss.targets") && !given("loss.joints") {
        (config.loss.targets, config.loss.joints) = (TargetMaps::Blurred, LossName::Ohkm);
    }
    config.validate()?;
    Ok(config)
}

/// How the public code of a network reads joints from its maps.
fn public_decoding(model: &NetworkConfig, data: DataKind) -> Decode {
    match model.kind {
        _ if model.integral => Decode::Expectation,
        NetworkKind::Hourglass => Decode::QuarterFloor,
        NetworkKind::Cpn => Decode::SecondMaximum(21),
        NetworkKind::Rsn => Decode::SecondMaximum(if data == DataKind::Mpii { 9 } else { 5 }),
        NetworkKind::Hrnet | NetworkKind::Resnet | NetworkKind::Ditn | NetworkKind::DitnResnet => Decode::Quarter,
    }
}

fn network_named(name: &str) -> Result<NetworkConfig, String> {
    NetworkConfig::named(name).ok_or_else(|| format!("known are {}", NAMES.join(", ")))
}

fn copy_named(name: &str) -> Result<WeightCopy, String> {
    match name {
        "" => Err("give ema, or how the names begin".into()),
        "ema" => Ok(WeightCopy::Average),
        start => Ok(WeightCopy::Under(start.to_owned())),
    }
}

fn skeleton_named(name: &str) -> anyhow::Result<Arc<Skeleton>> {
    match Skeleton::by_name(name) {
        Some(skeleton) => Ok(Arc::clone(skeleton)),
        None if Path::new(name).is_file() => Ok(Annotations::read(Path::new(name))?.skeleton),
        None => anyhow::bail!("--skeleton {name}: known are mpii, coco, lsp; there is no file of that name either"),
    }
}
