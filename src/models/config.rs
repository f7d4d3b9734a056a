//! The `[model]` table of a configuration: which network, and its extents.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Body, Depth, Ditn, Head, HrNet, ModelConfig, NAMES, ResNet};
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
        };
        let mut network = Self { kind, weights: model.body_weights, ..Self::default() };
        match model.body {
            Body::HrNet(HrNet { width, stem, blocks, modules }) => {
                network = Self { width, stem, blocks, modules, ..network };
            }
            Body::ResNet(ResNet { depth, stem }) => network = Self { depth: Layers(depth), stem, ..network },
        }
        if let Head::Ditn(Ditn { transfer, channel_attention, spatial_attention }) = model.head {
            network = Self { transfer, channel_attention, spatial_attention, ..network };
        }
        Some(network)
    }

    /// Its name of [`NAMES`], or its kind where its extents are its own.
    pub fn title(&self) -> String {
        let plain = Self { init: None, ..self.clone() };
        let named = NAMES.into_iter().find(|name| Self::named(name).as_ref() == Some(&plain));
        let kind = match self.kind {
            NetworkKind::Ditn => "ditn",
            NetworkKind::Hrnet => "hrnet",
            NetworkKind::DitnResnet => "ditn-resnet",
            NetworkKind::Resnet => "simplebaseline",
        };
        named.unwrap_or(kind).to_owned()
    }

    /// The network for people of `skeleton`.
    pub fn model(&self, skeleton: &Arc<Skeleton>) -> ModelConfig {
        let hrnet =
            Body::HrNet(HrNet { width: self.width, stem: self.stem, blocks: self.blocks, modules: self.modules });
        let resnet = Body::ResNet(ResNet { depth: self.depth.into(), stem: self.stem });
        let ditn = Head::Ditn(Ditn {
            transfer: self.transfer,
            channel_attention: self.channel_attention,
            spatial_attention: self.spatial_attention,
        });
        let (body, head) = match self.kind {
            NetworkKind::Hrnet => (hrnet, Head::Convolution),
            NetworkKind::Resnet => (resnet, Head::Convolution),
            NetworkKind::Ditn => (hrnet, ditn),
            NetworkKind::DitnResnet => (resnet, ditn),
        };
        let (skeleton, body_weights) = (Arc::clone(skeleton), self.weights);
        ModelConfig { skeleton, body, head, body_weights, frozen_backbone: false }
    }

    /// Checks the ranges of the values.
    ///
    /// # Errors
    /// The first value outside its range.
    pub fn check(&self) -> Result<(), InvalidValue> {
        let rule = InvalidValue::unless;
        for (key, value) in [("width", self.width), ("stem", self.stem), ("blocks", self.blocks)] {
            rule(value >= 1, key, &value, "must be at least 1")?;
        }
        rule(!self.modules.contains(&0), "modules", &self.modules, "must each be at least 1")
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
}
