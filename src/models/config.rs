//! The `[model]` table of a configuration: which network, and its extents.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Body, Cpn, Depth, Ditn, Head, Hourglass, HrNet, InputNormalization, ModelConfig, NAMES, ResNet, Rsn};
use crate::data::skeleton::MPII;
use crate::data::{InvalidValue, Skeleton};
use crate::nn::WeightInit;

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
    /// Stacked hourglass.
    Hourglass,
    /// Cascaded pyramid network: GlobalNet and RefineNet on a ResNet.
    Cpn,
    /// Residual steps network, of one or more stages.
    Rsn,
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

/// `[model]`. The skeleton is the data set's. Keys that are not given are DITN-W32's whatever `kind` is; the experiments in
/// `datasets/` name those of the other networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Which network.
    pub kind: NetworkKind,
    /// ResNet, CPN: the ResNet's layers, 50, 101 or 152.
    pub depth: Layers,
    /// ResNet, CPN, RSN: blocks of each of the four resolutions, where they are not those of `depth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<[usize; 4]>,
    /// HRNet: channels of the highest resolution; the others have 2, 4 and 8 times as many.
    pub width: usize,
    /// Channels of the stem, and the bottleneck width of the first stage.
    pub stem: usize,
    /// HRNet: basic blocks in each branch of a module. Hourglass: residuals in a row.
    pub blocks: usize,
    /// HRNet: modules in stages 2, 3 and 4.
    pub modules: [usize; 3],
    /// Hourglass, RSN: how many follow each other.
    pub stacks: usize,
    /// Hourglass: how often each halves the resolution.
    pub levels: usize,
    /// Hourglass, CPN, RSN: channels of the features from which the maps are made.
    pub channels: usize,
    /// RSN: channels of each of the four parts of a first block.
    pub expand: usize,
    /// Hourglass: the stem's widths as in its paper and in princeton-vl's code, rather than in bearpaw's.
    pub paper_stem: bool,
    /// DITN: the dynamic information transfer (off: multi-task only).
    pub transfer: bool,
    /// DITN: the channel attention block.
    pub channel_attention: bool,
    /// DITN: the spatial attention block.
    pub spatial_attention: bool,
    /// Integral pose regression, on HRNet, ResNet and DITN: the joints are the expectations of their heat maps. It is trained by
    /// `loss.coordinate_weight` and decoded by `evaluate.decode = "expectation"`.
    pub integral: bool,
    /// What becomes of the pictures' colours: "imagenet" (less its mean, by its deviation), "imagenet-bgr" (with blue
    /// first), "mpii-mean" or "cpn-mean" (less a mean) or "unit" (from 0 to 1). Public weights are of the one that they
    /// were trained with.
    #[serde(skip_serializing_if = "InputNormalization::is_default")]
    pub normalization: InputNormalization,
    /// Initial weights of the body: "public" as the public code, "kaiming-uniform" as PyTorch by itself, or
    /// "kaiming-normal".
    pub weights: WeightInit,
    /// A file whose tensors replace the initial values wherever names and shapes agree: a PyTorch `.pth`, safetensors
    /// or a checkpoint of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
}

impl Default for NetworkConfig {
    /// DITN-W32.
    fn default() -> Self {
        let HrNet { width, stem, blocks, modules } = HrNet::W32;
        let Ditn { transfer, channel_attention, spatial_attention } = Ditn::FULL;
        let Hourglass { levels, channels, paper_stem, .. } = Hourglass::EIGHT;
        Self {
            kind: NetworkKind::Ditn,
            depth: Layers(Depth::Fifty),
            layers: None,
            width,
            stem,
            blocks,
            modules,
            stacks: 1,
            levels,
            channels,
            expand: Rsn::FIFTY.expand,
            paper_stem,
            transfer,
            channel_attention,
            spatial_attention,
            integral: false,
            normalization: InputNormalization::default(),
            weights: WeightInit::Public,
            init: None,
        }
    }
}

impl NetworkConfig {
    /// One of [`NAMES`]; `None` for another name.
    pub fn named(name: &str) -> Option<Self> {
        // Networks of one name differ in nothing but their heads' maps between skeletons.
        let model = ModelConfig::named(name, &MPII)?;
        let kind = match (model.body, model.head) {
            (Body::HrNet(_), Head::Convolution) => NetworkKind::Hrnet,
            (Body::HrNet(_), Head::Ditn(_)) => NetworkKind::Ditn,
            (Body::ResNet(_), Head::Convolution) => NetworkKind::Resnet,
            (Body::ResNet(_), Head::Ditn(_)) => NetworkKind::DitnResnet,
            (Body::Hourglass(_), _) => NetworkKind::Hourglass,
            (Body::Cpn(_), _) => NetworkKind::Cpn,
            (Body::Rsn(_), _) => NetworkKind::Rsn,
        };
        let (normalization, weights, integral) = (model.normalization, model.body_weights, model.integral);
        let base = Self { kind, normalization, weights, integral, ..Self::default() };
        // Depths are shorter to read than lists of blocks.
        let blocks_of = |ResNet { layers, stem }: ResNet| {
            let depth = Depth::of_bottlenecks(layers);
            (depth.map_or(base.depth, Layers), depth.is_none().then_some(layers), stem)
        };
        let mut network = match model.body {
            Body::HrNet(HrNet { width, stem, blocks, modules }) => {
                Self { width, stem, blocks, modules, ..base.clone() }
            }
            Body::ResNet(resnet) => {
                let (depth, layers, stem) = blocks_of(resnet);
                Self { depth, layers, stem, ..base.clone() }
            }
            Body::Hourglass(Hourglass { stacks, residuals: blocks, channels, stem, levels, paper_stem }) => {
                Self { stacks, blocks, channels, stem, levels, paper_stem, ..base.clone() }
            }
            Body::Cpn(Cpn { resnet, channels }) => {
                let (depth, layers, stem) = blocks_of(resnet);
                Self { depth, layers, stem, channels, ..base.clone() }
            }
            Body::Rsn(Rsn { stages: stacks, layers, stem, channels, expand }) => {
                let (depth, layers, stem) = blocks_of(ResNet { layers, stem });
                Self { depth, layers, stem, stacks, channels, expand, ..base.clone() }
            }
        };
        if let Head::Ditn(Ditn { transfer, channel_attention, spatial_attention }) = model.head {
            network = Self { transfer, channel_attention, spatial_attention, ..network };
        }
        Some(network)
    }

    /// Its name of [`NAMES`], or its kind where its extents are its own.
    pub fn title(&self) -> String {
        let model = self.model(&MPII);
        // Whatever becomes of the colours in front of it.
        let is_named = |name: &&str| {
            let named = ModelConfig::named(name, &MPII);
            named.is_some_and(|named| ModelConfig { normalization: model.normalization, ..named } == model)
        };
        let named = NAMES.into_iter().find(is_named);
        let kind = match self.kind {
            NetworkKind::Ditn => "ditn",
            NetworkKind::Hrnet => "hrnet",
            NetworkKind::DitnResnet => "ditn-resnet",
            NetworkKind::Resnet if self.integral => "ipr",
            NetworkKind::Resnet => "simplebaseline",
            NetworkKind::Hourglass => "hourglass",
            NetworkKind::Cpn => "cpn",
            NetworkKind::Rsn => "rsn",
        };
        named.unwrap_or(kind).to_owned()
    }

    /// The network for people of `skeleton`.
    pub fn model(&self, skeleton: &Arc<Skeleton>) -> ModelConfig {
        let &Self { width, stem, blocks, modules, stacks, levels, channels, expand, paper_stem, .. } = self;
        let layers = self.layers.unwrap_or_else(|| Depth::from(self.depth).bottlenecks());
        let hrnet = Body::HrNet(HrNet { width, stem, blocks, modules });
        let resnet = ResNet { layers, stem };
        let ditn = Head::Ditn(Ditn {
            transfer: self.transfer,
            channel_attention: self.channel_attention,
            spatial_attention: self.spatial_attention,
        });
        let (body, head) = match self.kind {
            NetworkKind::Hrnet => (hrnet, Head::Convolution),
            NetworkKind::Resnet => (Body::ResNet(resnet), Head::Convolution),
            NetworkKind::Ditn => (hrnet, ditn),
            NetworkKind::DitnResnet => (Body::ResNet(resnet), ditn),
            NetworkKind::Hourglass => {
                let hourglass = Hourglass { stacks, residuals: blocks, channels, stem, levels, paper_stem };
                (Body::Hourglass(hourglass), Head::Convolution)
            }
            NetworkKind::Cpn => (Body::Cpn(Cpn { resnet, channels }), Head::Convolution),
            NetworkKind::Rsn => (Body::Rsn(Rsn { stages: stacks, layers, stem, channels, expand }), Head::Convolution),
        };
        let (skeleton, integral, body_weights) = (Arc::clone(skeleton), self.integral, self.weights);
        let normalization = self.normalization;
        ModelConfig { skeleton, body, head, integral, normalization, body_weights, frozen_backbone: false }
    }

    /// Checks the ranges of the values.
    ///
    /// # Errors
    /// The first value outside its range.
    pub fn check(&self) -> Result<(), InvalidValue> {
        let rule = InvalidValue::unless;
        let &Self { width, stem, blocks, stacks, levels, channels, expand, .. } = self;
        for (key, value) in
            [("width", width), ("stem", stem), ("blocks", blocks), ("stacks", stacks), ("expand", expand)]
        {
            rule(value >= 1, key, &value, "must be at least 1")?;
        }
        rule(!self.modules.contains(&0), "modules", &self.modules, "must each be at least 1")?;
        let layers = self.layers.is_none_or(|layers| !layers.contains(&0));
        rule(layers, "layers", &self.layers, "must each be at least 1")?;
        rule((1..=6).contains(&levels), "levels", &levels, "must be 1 to 6")?;
        rule(channels >= 2, "channels", &channels, "must be at least 2")?;
        let single = !matches!(self.kind, NetworkKind::Hourglass | NetworkKind::Cpn | NetworkKind::Rsn);
        rule(single || !self.integral, "integral", &self.integral, "is for networks whose maps are judged once")
    }

    /// What the sides of the input must be multiples of.
    pub fn input_multiple(&self) -> usize {
        match self.model(&MPII).body {
            Body::Hourglass(hourglass) => hourglass.input_multiple().max(32),
            Body::HrNet(_) | Body::ResNet(_) | Body::Cpn(_) | Body::Rsn(_) => 32,
        }
    }

    /// Whether something makes features of the picture that can be left as it is.
    pub fn has_backbone(&self) -> bool {
        self.kind != NetworkKind::Hourglass
    }

    /// Whether the network learns bones.
    pub fn has_bones(&self) -> bool {
        self.kind.is_ditn()
    }

    /// Whether the network has DITN's parameter adapter, which needs an input of at least 64 pixels each way.
    pub fn has_parameter_adapter(&self) -> bool {
        self.kind.is_ditn() && self.transfer
    }
}

#[cfg(test)]
mod tests {
    use super::super::NAMES;
    use super::*;

    #[test]
    fn a_named_configuration_describes_the_network_of_that_name() {
        for name in NAMES {
            let config = NetworkConfig::named(name).expect("each of the names is known");
            assert_eq!(Some(config.model(&MPII)), ModelConfig::named(name, &MPII), "{name}");
        }
        assert_eq!(NetworkConfig::named("hrnet-w33"), None);
    }

    #[test]
    fn a_normalisation_is_imagenets_unless_the_table_names_another() {
        use crate::ops::crop::Normalization;
        let read = |text: &str| toml::from_str::<NetworkConfig>(text).unwrap();
        let constants = |text: &str| read(text).model(&MPII).normalization.constants();
        assert_eq!(constants(""), Normalization::IMAGENET);
        assert_eq!(constants("normalization = \"mpii-mean\""), Normalization::MPII_MEAN);
        assert_eq!(constants("normalization = \"cpn-mean\""), Normalization::CPN_MEAN);
        assert_eq!(constants("normalization = \"unit\""), Normalization::UNIT);
        // Tables of older programs stay what they were.
        assert!(!toml::to_string(&NetworkConfig::default()).unwrap().contains("normalization"));
        let other = read("normalization = \"unit\"");
        assert_eq!(read(&toml::to_string(&other).unwrap()), other);
        assert_eq!(other.title(), NetworkConfig::default().title());
    }
}
