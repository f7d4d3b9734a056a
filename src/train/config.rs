//! What a run is made of: the TOML configuration, its defaults and its rules.
//!
//! Every key has a default, the paper's where the paper gives one, so a file holds only what it changes. Unknown keys
//! are refused, and the message names the nearest known one. [`Config::validate`] checks what types cannot.

mod network;
mod read;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::objective::Objective;
use super::step::{Precision, StepConfig};
use crate::data::Size;
use crate::data::Skeleton;
use crate::data::augmentation::Augmentation;
use crate::data::synthetic::SyntheticOptions;
use crate::models::{Body, Depth, Ditn, Head, HrNet, ModelConfig, ResNet};
use crate::nn::Weights;
use crate::ops::adamw::AdamWSettings;
use crate::ops::decode::Decode;
use crate::ops::loss::LossKind;
use crate::predict::Reading;

pub use read::{ConfigError, embedded, from_file, from_text, with_overrides};

/// A whole run. The same values, the same seed and the same adapter give the same parameters to the bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Names the run; the default output folder is `runs/<name>-<number>`.
    pub name: String,
    /// Seeds the initial parameters, the order of the pictures, their augmentation and the synthetic people.
    pub seed: u64,
    /// Which people.
    pub data: DataConfig,
    /// Which network.
    pub model: NetworkConfig,
    /// How long, and in what portions.
    pub train: TrainConfig,
    /// What is minimised.
    pub loss: LossConfig,
    /// AdamW's constants.
    pub optimizer: OptimizerConfig,
    /// The learning rate over the run.
    pub schedule: ScheduleConfig,
    /// How the held-out people are scored.
    pub evaluate: EvaluateConfig,
    /// What is written, and how often.
    pub output: OutputConfig,
}

/// The kind of data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataKind {
    /// Endless generated people with MPII's 16 joints.
    Synthetic,
    /// Leeds Sports Pose in its release layout, 14 joints.
    Lsp,
    /// MPII Human Pose, 16 joints.
    Mpii,
    /// COCO keypoints in its release layout, 17 joints.
    Coco,
}

impl DataKind {
    /// Whether annotations can be named: those of the others are always the release's.
    fn has_files(self) -> bool {
        matches!(self, Self::Mpii | Self::Coco)
    }
}

/// `[data]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Synthetic people or a data set on disk.
    pub kind: DataKind,
    /// The folder that holds the data set's own folder (`lsp/`, `mpii/`, `coco/`); where absent, the environment variable `DITN_DATA`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// LSP only: train on LSP Extended (`lspet/`) as well.
    pub extended: bool,
    /// MPII, COCO: annotations of the people to learn from, in the data set's folder; where absent the release's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<PathBuf>,
    /// MPII, COCO: annotations of the people to be scored, in the data set's folder; where absent the release's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<PathBuf>,
    /// COCO: detected boxes to be scored in place of the true ones, a JSON file in the data set's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boxes: Option<PathBuf>,
    /// Train on the first so many people only; 0 means all of them (synthetic: endless new ones).
    pub people: usize,
    /// How hard the synthetic pictures are.
    pub synthetic: SyntheticOptions,
    /// How training pictures are varied.
    pub augmentation: Augmentation,
}

/// The networks that can be trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkKind {
    /// HRNet with the joint and bone decoders and the transfer from bones to joints.
    Ditn,
    /// HRNet with one 1x1 convolution as its head.
    Hrnet,
    /// ResNet with the joint and bone decoders and the transfer from bones to joints.
    DitnResnet,
    /// SimpleBaseline: ResNet, three transposed convolutions and one 1x1 convolution as its head.
    Resnet,
}

impl NetworkKind {
    /// Whether there are bones and the transfer from them.
    fn is_ditn(self) -> bool {
        matches!(self, Self::Ditn | Self::DitnResnet)
    }
}

/// Layers of a ResNet body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "usize", into = "usize")]
pub struct Layers(Depth);

impl TryFrom<usize> for Layers {
    type Error = String;

    fn try_from(layers: usize) -> Result<Self, String> {
        Depth::of_layers(layers).map(Self).ok_or_else(|| format!("{layers} is not one of 50, 101, 152"))
    }
}

impl From<Layers> for usize {
    fn from(layers: Layers) -> usize {
        layers.0.layers()
    }
}

impl From<Layers> for Depth {
    fn from(layers: Layers) -> Depth {
        layers.0
    }
}

/// `[model]`. The skeleton is the data set's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Which network.
    pub kind: NetworkKind,
    /// ResNet: its layers, 50, 101 or 152.
    pub depth: Layers,
    /// HRNet: channels of the highest resolution; the others have 2, 4 and 8 times as many.
    pub width: usize,
    /// Channels of the stem, and the bottleneck width of the first stage.
    pub stem: usize,
    /// HRNet: basic blocks in each branch of a module.
    pub blocks: usize,
    /// HRNet: modules in stages 2, 3 and 4.
    pub modules: [usize; 3],
    /// DITN: the dynamic information transfer (off: multi-task only).
    pub transfer: bool,
    /// DITN: the channel attention block.
    pub channel_attention: bool,
    /// DITN: the spatial attention block.
    pub spatial_attention: bool,
    /// Initial weights of the body: "public" as the public code, "kaiming-uniform" as PyTorch by itself, or
    /// "kaiming-normal".
    pub weights: Weights,
    /// A file whose tensors replace the initial values wherever names and shapes agree: a PyTorch `.pth`, safetensors
    /// or a checkpoint of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
}

/// `[train]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Height and width of the crop in pixels, multiples of 32; heat maps have a quarter of each.
    pub size: [usize; 2],
    /// Pictures a step.
    pub batch: usize,
    /// Passes; the log has a line for each.
    pub epochs: usize,
    /// Pictures a pass; 0 means each training person once. The remainder of a division by `batch` is left out.
    pub pictures_per_epoch: usize,
    /// How feature maps and their gradients are stored in training: "f32", or "f16" with a loss scale for half the memory
    /// and traffic. Evaluations store them as float32.
    pub precision: Precision,
}

/// The losses of the joint and bone heat maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossName {
    /// Focal L2 as its source defines it.
    FocalL2,
    /// Focal L2 with the factor exactly as the paper's Equation 7 prints it.
    FocalL2Printed,
    /// Mean squared error.
    Mse,
    /// Mean squared error of each picture's 8 hardest joints.
    Ohkm,
    /// Smooth L1 with its bend at 1.
    SmoothL1,
}

impl LossName {
    /// Joints of each picture that `ohkm` counts, as the public code does.
    const HARDEST: usize = 8;

    /// The operator's attribute.
    fn operator(self) -> LossKind {
        match self {
            Self::FocalL2 => LossKind::FocalL2,
            Self::FocalL2Printed => LossKind::FocalL2Printed,
            Self::Mse => LossKind::Mse,
            Self::Ohkm => LossKind::Ohkm { hardest: Self::HARDEST },
            Self::SmoothL1 => LossKind::SmoothL1,
        }
    }
}

/// `[loss]`: `joints + bone_weight * bones`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// Loss of the joint heat maps.
    pub joints: LossName,
    /// Loss of the bone heat maps.
    pub bones: LossName,
    /// The paper's lambda (Equation 10).
    pub bone_weight: f32,
    /// Deviation of the target's Gaussian in heat-map pixels, for joints and bones.
    pub sigma: f32,
}

/// `[optimizer]`: AdamW with decoupled weight decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// The rate that the schedule scales.
    pub learning_rate: f64,
    /// Decays of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Fraction of each parameter taken off a step, times the learning rate.
    pub weight_decay: f64,
}

/// `[schedule]`: see [`super::Schedule`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// Steps over which the rate rises linearly from nothing.
    pub warmup_steps: u64,
    /// Where in the run the rate changes, and to what.
    pub milestones: Vec<Milestone>,
}

/// From `at` on, the rate is `factor` times the optimizer's learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// A fraction of the whole run, above 0 and below 1.
    pub at: f64,
    /// What the learning rate is multiplied with from there on (not on top of earlier milestones).
    pub factor: f64,
}

/// Which people a score is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// People that training never sees.
    HeldOut,
    /// The training people themselves, without augmentation: for checking that a network can fit them.
    Train,
}

/// `[evaluate]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateConfig {
    /// Epochs between evaluations; the last epoch always ends with one.
    pub every: usize,
    /// How many people are scored; 0 means all of the split (synthetic: 256).
    pub people: usize,
    /// Average the heat maps with those of the mirrored picture.
    pub flip_test: bool,
    /// How a heat map becomes a point: "quarter" of a pixel towards the larger neighbours, or "dark".
    pub decode: Decode,
    /// Which people.
    pub split: Split,
}

/// `[output]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// Steps between checkpoints inside an epoch; 0 means one at the end of each epoch only.
    pub checkpoint_steps: u64,
    /// About how many pictures of predicted skeletons are written over the run, besides the last one.
    pub sheets: usize,
    /// Write TensorBoard's event files as well: losses, learning rate, accuracy, scores, and a sheet an evaluation.
    pub tensorboard: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "run".into(),
            seed: 1,
            data: DataConfig::default(),
            model: NetworkConfig::default(),
            train: TrainConfig::default(),
            loss: LossConfig::default(),
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            evaluate: EvaluateConfig::default(),
            output: OutputConfig::default(),
        }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            kind: DataKind::Synthetic,
            root: None,
            extended: false,
            training: None,
            evaluation: None,
            boxes: None,
            people: 0,
            synthetic: SyntheticOptions::default(),
            augmentation: Augmentation::default(),
        }
    }
}

impl Default for NetworkConfig {
    /// DITN-W32.
    fn default() -> Self {
        let HrNet { width, stem, blocks, modules } = HrNet::W32;
        let Ditn { transfer, channel_attention, spatial_attention } = Ditn::FULL;
        Self {
            kind: NetworkKind::Ditn,
            depth: Layers(Depth::Fifty),
            width,
            stem,
            blocks,
            modules,
            transfer,
            channel_attention,
            spatial_attention,
            weights: Weights::Public,
            init: None,
        }
    }
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self { size: [256, 256], batch: 32, epochs: 210, pictures_per_epoch: 0, precision: Precision::F32 }
    }
}

impl Default for LossConfig {
    fn default() -> Self {
        Self { joints: LossName::FocalL2, bones: LossName::SmoothL1, bone_weight: 0.1, sigma: 2.0 }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 1e-4 }
    }
}

impl Default for ScheduleConfig {
    /// The paper's: a tenth from epoch 130 of 210 on, a hundredth from epoch 160 on.
    fn default() -> Self {
        let milestones =
            vec![Milestone { at: 130.0 / 210.0, factor: 0.1 }, Milestone { at: 160.0 / 210.0, factor: 0.01 }];
        Self { warmup_steps: 0, milestones }
    }
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self { every: 1, people: 0, flip_test: true, decode: Decode::Quarter, split: Split::HeldOut }
    }
}

impl EvaluateConfig {
    /// How joints are read from heat maps.
    pub fn reading(&self) -> Reading {
        Reading { flip_test: self.flip_test, decode: self.decode }
    }
}

impl Default for OutputConfig {
    fn default() -> Self {
        Self { checkpoint_steps: 0, sheets: 4, tensorboard: true }
    }
}

impl Config {
    /// Checks the rules that types cannot carry.
    ///
    /// # Errors
    /// The first broken rule, with its key and the value it has.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rule = |holds: bool, key: &'static str, value: &dyn std::fmt::Debug, rule: &'static str| {
            if holds { Ok(()) } else { Err(ConfigError::Rule { key, value: format!("{value:?}"), rule }) }
        };
        let finite_positive = |x: f64| x.is_finite() && x > 0.0;
        let name_fits = !self.name.is_empty()
            && self.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && !self.name.starts_with('.');
        rule(name_fits, "name", &self.name, "must be letters, digits, '-', '_' and '.', as it names a folder")?;

        let data = &self.data;
        rule(
            !data.extended || data.kind == DataKind::Lsp,
            "data.extended",
            &data.extended,
            "is for data.kind = \"lsp\" only",
        )?;
        for (key, file) in [("data.training", &data.training), ("data.evaluation", &data.evaluation)] {
            rule(file.is_none() || data.kind.has_files(), key, file, "is for data.kind = \"mpii\" or \"coco\" only")?;
        }
        rule(
            data.boxes.is_none() || data.kind == DataKind::Coco,
            "data.boxes",
            &data.boxes,
            "is for data.kind = \"coco\" only",
        )?;
        let within = |table| move |problem| ConfigError::Range { table, problem };
        data.augmentation.check().map_err(within("data.augmentation"))?;
        data.synthetic.check().map_err(within("data.synthetic"))?;

        let model = &self.model;
        rule(model.width >= 1, "model.width", &model.width, "must be at least 1")?;
        rule(model.stem >= 1, "model.stem", &model.stem, "must be at least 1")?;
        rule(model.blocks >= 1, "model.blocks", &model.blocks, "must be at least 1")?;
        rule(model.modules.iter().all(|&m| m >= 1), "model.modules", &model.modules, "must each be at least 1")?;

        let train = &self.train;
        rule(
            train.size.iter().all(|&s| s >= 32 && s % 32 == 0),
            "train.size",
            &train.size,
            "must be height and width in multiples of 32",
        )?;
        rule(
            !model.kind.is_ditn() || !model.transfer || train.size.iter().all(|&s| s >= 64),
            "train.size",
            &train.size,
            "must be at least 64 each way for DITN's parameter adapter",
        )?;
        rule(train.batch >= 1, "train.batch", &train.batch, "must be at least 1")?;
        rule(train.epochs >= 1, "train.epochs", &train.epochs, "must be at least 1")?;
        rule(
            train.pictures_per_epoch > 0 || data.kind != DataKind::Synthetic || data.people > 0,
            "train.pictures_per_epoch",
            &train.pictures_per_epoch,
            "must be set, as synthetic people are endless",
        )?;
        rule(
            train.pictures_per_epoch == 0 || train.pictures_per_epoch >= train.batch,
            "train.pictures_per_epoch",
            &train.pictures_per_epoch,
            "must be at least train.batch",
        )?;

        let loss = &self.loss;
        rule(
            !matches!(loss.joints, LossName::SmoothL1),
            "loss.joints",
            &loss.joints,
            "must be one of focal-l2, focal-l2-printed, mse, ohkm",
        )?;
        rule(
            matches!(loss.bones, LossName::SmoothL1 | LossName::Mse | LossName::FocalL2),
            "loss.bones",
            &loss.bones,
            "must be one of smooth-l1, mse, focal-l2",
        )?;
        rule(
            loss.bone_weight.is_finite() && loss.bone_weight >= 0.0,
            "loss.bone_weight",
            &loss.bone_weight,
            "must be 0 or more",
        )?;
        rule(finite_positive(loss.sigma.into()), "loss.sigma", &loss.sigma, "must be more than 0")?;

        let optimizer = &self.optimizer;
        rule(
            finite_positive(optimizer.learning_rate),
            "optimizer.learning_rate",
            &optimizer.learning_rate,
            "must be more than 0",
        )?;
        rule(
            optimizer.betas.iter().all(|b| (0.0..1.0).contains(b)),
            "optimizer.betas",
            &optimizer.betas,
            "must be in [0, 1)",
        )?;
        rule(finite_positive(optimizer.epsilon), "optimizer.epsilon", &optimizer.epsilon, "must be more than 0")?;
        rule(
            optimizer.weight_decay.is_finite() && optimizer.weight_decay >= 0.0,
            "optimizer.weight_decay",
            &optimizer.weight_decay,
            "must be 0 or more",
        )?;

        let milestones = &self.schedule.milestones;
        rule(
            milestones.iter().all(|m| m.at > 0.0 && m.at < 1.0),
            "schedule.milestones",
            milestones,
            "must each have `at` between 0 and 1",
        )?;
        rule(
            milestones.windows(2).all(|pair| pair[0].at < pair[1].at),
            "schedule.milestones",
            milestones,
            "must be in rising order of `at`",
        )?;
        rule(
            milestones.iter().all(|m| m.factor.is_finite() && m.factor >= 0.0),
            "schedule.milestones",
            milestones,
            "must each have a `factor` of 0 or more",
        )?;
        rule(self.evaluate.every >= 1, "evaluate.every", &self.evaluate.every, "must be at least 1")
    }

    /// The network for people of `skeleton`.
    pub fn model_config(&self, skeleton: &'static Skeleton) -> ModelConfig {
        let network = &self.model;
        let hrnet = Body::HrNet(HrNet {
            width: network.width,
            stem: network.stem,
            blocks: network.blocks,
            modules: network.modules,
        });
        let resnet = Body::ResNet(ResNet { depth: network.depth.into(), stem: network.stem });
        let ditn = Head::Ditn(Ditn {
            transfer: network.transfer,
            channel_attention: network.channel_attention,
            spatial_attention: network.spatial_attention,
        });
        let (body, head) = match network.kind {
            NetworkKind::Hrnet => (hrnet, Head::Convolution),
            NetworkKind::Resnet => (resnet, Head::Convolution),
            NetworkKind::Ditn => (hrnet, ditn),
            NetworkKind::DitnResnet => (resnet, ditn),
        };
        ModelConfig { skeleton, body, head, body_weights: network.weights }
    }

    /// What one training step is made of.
    pub fn step_config(&self) -> StepConfig {
        StepConfig {
            size: self.train.size,
            batch: self.train.batch,
            objective: Objective {
                loss: self.loss.joints.operator(),
                bone_loss: self.loss.bones.operator(),
                bone_weight: self.loss.bone_weight,
            },
            sigma: self.loss.sigma,
            precision: self.train.precision,
            optimizer: AdamWSettings {
                beta1: self.optimizer.betas[0],
                beta2: self.optimizer.betas[1],
                eps: self.optimizer.epsilon,
                weight_decay: self.optimizer.weight_decay,
            },
        }
    }

    /// The size of the network's input.
    pub fn input_size(&self) -> Size {
        let [height, width] = self.train.size.map(|side| side as u32);
        Size { width, height }
    }
}
