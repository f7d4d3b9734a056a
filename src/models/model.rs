//! A network as body and head, and the networks of the paper by name.

use std::sync::Arc;

use super::ditn::Ditn;
use super::hrnet::HrNet;
use super::maps::{AttentionGates, HeatMaps};
use super::resnet::{Depth, ResNet};
use crate::data::{Size, Skeleton};
use crate::ir::{ShapeError, ValueId};
use crate::nn::{Conv2dLayer, Mode, Network, Shapes, WeightInit};

/// What makes features of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Parallel branches at four resolutions.
    HrNet(HrNet),
    /// ResNet and transposed convolutions.
    ResNet(ResNet),
}

/// What makes heat maps of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// One 1x1 convolution with a bias: the baselines.
    Convolution,
    /// Decoders for joints and bones and the transfer between them.
    Ditn(Ditn),
}

/// A network with its extents.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The joints and bones that it predicts.
    pub skeleton: Arc<Skeleton>,
    /// What makes features.
    pub body: Body,
    /// What makes heat maps.
    pub head: Head,
    /// Initial weights of the body's convolutions.
    pub body_weights: WeightInit,
    /// Whether training leaves the backbone as it is: HRNet, or the ResNet without the transposed convolutions behind it.
    /// See [`Network::frozen`].
    pub frozen_backbone: bool,
}

/// The networks of the paper, by the names that [`ModelConfig::named`] takes.
pub const NAMES: [&str; 8] = [
    "hrnet-w32",
    "hrnet-w48",
    "simplebaseline-50",
    "simplebaseline-101",
    "simplebaseline-152",
    "ditn-w32",
    "ditn-w48",
    "ditn-resnet50",
];

impl ModelConfig {
    /// One of the paper's networks by its name, one of [`NAMES`].
    pub fn named(name: &str, skeleton: &Arc<Skeleton>) -> Option<Self> {
        let resnet = |depth| Body::ResNet(ResNet { depth, stem: ResNet::STEM });
        let (body, head) = match name {
            "hrnet-w32" => (Body::HrNet(HrNet::W32), Head::Convolution),
            "hrnet-w48" => (Body::HrNet(HrNet::W48), Head::Convolution),
            "simplebaseline-50" => (resnet(Depth::Fifty), Head::Convolution),
            "simplebaseline-101" => (resnet(Depth::HundredAndOne), Head::Convolution),
            "simplebaseline-152" => (resnet(Depth::HundredAndFiftyTwo), Head::Convolution),
            "ditn-w32" => (Body::HrNet(HrNet::W32), Head::Ditn(Ditn::FULL)),
            "ditn-w48" => (Body::HrNet(HrNet::W48), Head::Ditn(Ditn::FULL)),
            "ditn-resnet50" => (resnet(Depth::Fifty), Head::Ditn(Ditn::FULL)),
            _ => return None,
        };
        let (skeleton, body_weights) = (Arc::clone(skeleton), WeightInit::Public);
        Some(Self { skeleton, body, head, body_weights, frozen_backbone: false })
    }

    /// Names and shapes of the network's parameters and running statistics, for an input of `size`.
    ///
    /// # Errors
    /// [`ShapeError`] where the input size does not suit the network.
    pub fn shapes(&self, size: Size) -> Result<Shapes, ShapeError> {
        let (mut net, image) = for_one(size);
        self.build(&mut net, image)?;
        Ok(net.shapes())
    }

    /// Names and shapes of those that a [frozen backbone](Self::frozen_backbone) keeps, and how many of their numbers are
    /// parameters.
    ///
    /// # Errors
    /// As [`shapes`](Self::shapes).
    pub fn backbone_shapes(&self, size: Size) -> Result<(Shapes, usize), ShapeError> {
        let (mut net, image) = for_one(size);
        self.backbone(&mut net, image)?;
        let parameters = net.graph.parameters().iter().map(|&id| net.graph.shape(id).elements()).sum();
        Ok((net.shapes(), parameters))
    }

    /// Appends the network to `net`: image `[N, 3, H, W]` -> heat maps.
    ///
    /// # Errors
    /// [`ShapeError`] where the input size does not suit the network.
    pub fn build(&self, net: &mut Network, image: ValueId) -> Result<HeatMaps, ShapeError> {
        net.weight_init = self.body_weights;
        let features = match self.frozen_backbone {
            true => net.frozen(|net| self.backbone(net, image))?,
            false => self.backbone(net, image)?,
        };
        let features = match self.body {
            Body::HrNet(_) => features,
            Body::ResNet(body) => body.features(net, features)?,
        };
        match self.head {
            Head::Convolution => {
                let layer = Conv2dLayer::new(self.skeleton.joints.len(), 1).bias().init(WeightInit::Public);
                let joints = net.conv2d("final_layer", features, layer)?;
                Ok(HeatMaps { joints, bones: None, gates: AttentionGates::default() })
            }
            Head::Ditn(head) => head.heat_maps(net, features, &self.skeleton),
        }
    }

    /// What makes features of the image, up to what a frozen backbone keeps.
    fn backbone(&self, net: &mut Network, image: ValueId) -> Result<ValueId, ShapeError> {
        match self.body {
            Body::HrNet(body) => body.backbone(net, image),
            Body::ResNet(body) => body.backbone(net, image),
        }
    }
}

/// An empty network for inference with its input, one image `[1, 3, H, W]`.
fn for_one(size: Size) -> (Network, ValueId) {
    let mut net = Network::new(Mode::Inference);
    let [height, width] = size.extents();
    let image = net.graph.input("image", [1, 3, height, width]);
    (net, image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_network() {
        let mpii = Skeleton::by_name("mpii").expect("the skeleton of MPII");
        for name in NAMES {
            assert!(ModelConfig::named(name, mpii).is_some(), "{name}");
        }
        assert_eq!(ModelConfig::named("hrnet-w31", mpii), None);
    }
}
