//! A network as body and head, and the networks of the paper by name.

use std::sync::Arc;

use super::cpn::Cpn;
use super::ditn::Ditn;
use super::hourglass::Hourglass;
use super::hrnet::HrNet;
use super::maps::HeatMaps;
use super::normalization::InputNormalization;
use super::resnet::{Depth, ResNet};
use super::rsn::Rsn;
use crate::data::{Size, Skeleton};
use crate::ir::{ShapeError, ValueId};
use crate::nn::{Conv2dLayer, Mode, Network, Shapes, WeightInit};
use crate::ops::expectation::Expectation;

/// What makes features of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Parallel branches at four resolutions.
    HrNet(HrNet),
    /// ResNet and transposed convolutions.
    ResNet(ResNet),
    /// Hourglasses one after the other.
    Hourglass(Hourglass),
    /// A feature pyramid on a ResNet, and what refines it.
    Cpn(Cpn),
    /// Pyramids of residual steps blocks.
    Rsn(Rsn),
}

/// What makes heat maps of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// The body's own convolutions: on HRNet and ResNet one 1x1 with a bias, the baselines; the others have theirs at each stage.
    Convolution,
    /// Decoders for joints and bones and the transfer between them, on HRNet and ResNet.
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
    /// Integral pose regression (Sun et al. 2018), on HRNet and ResNet: the joints' coordinates are the expectations of
    /// their heat maps' softmax, which has a gradient.
    pub integral: bool,
    /// What becomes of the pictures' colours before they reach it.
    pub normalization: InputNormalization,
    /// Initial weights of the body's convolutions.
    pub body_weights: WeightInit,
    /// Whether training leaves the backbone as it is: HRNet, the ResNet without what stands behind it, or RSN without its heads.
    /// An hourglass has none. See [`Network::frozen`].
    pub frozen_backbone: bool,
}

/// The networks of the paper and those that it compares with, by the names that [`ModelConfig::named`] takes.
pub const NAMES: [&str; 19] = [
    "hrnet-w32",
    "hrnet-w48",
    "simplebaseline-50",
    "simplebaseline-101",
    "simplebaseline-152",
    "ditn-w32",
    "ditn-w48",
    "ditn-resnet50",
    "hourglass-1",
    "hourglass-2",
    "hourglass-8",
    "cpn-50",
    "cpn-101",
    "rsn-18",
    "rsn-50",
    "2xrsn-50",
    "3xrsn-50",
    "ipr-50",
    "ipr-101",
];

impl ModelConfig {
    /// One of the paper's networks by its name, one of [`NAMES`].
    pub fn named(name: &str, skeleton: &Arc<Skeleton>) -> Option<Self> {
        let resnet = |depth| Body::ResNet(ResNet::of_depth(depth));
        let hourglass = |stacks| Body::Hourglass(Hourglass { stacks, ..Hourglass::EIGHT });
        let cpn = |depth| Body::Cpn(Cpn { resnet: ResNet::of_depth(depth), channels: Cpn::CHANNELS });
        let (body, head) = match name {
            "hrnet-w32" => (Body::HrNet(HrNet::W32), Head::Convolution),
            "hrnet-w48" => (Body::HrNet(HrNet::W48), Head::Convolution),
            "simplebaseline-50" | "ipr-50" => (resnet(Depth::Fifty), Head::Convolution),
            "simplebaseline-101" | "ipr-101" => (resnet(Depth::HundredAndOne), Head::Convolution),
            "simplebaseline-152" => (resnet(Depth::HundredAndFiftyTwo), Head::Convolution),
            "ditn-w32" => (Body::HrNet(HrNet::W32), Head::Ditn(Ditn::FULL)),
            "ditn-w48" => (Body::HrNet(HrNet::W48), Head::Ditn(Ditn::FULL)),
            "ditn-resnet50" => (resnet(Depth::Fifty), Head::Ditn(Ditn::FULL)),
            "hourglass-1" => (hourglass(1), Head::Convolution),
            "hourglass-2" => (hourglass(2), Head::Convolution),
            "hourglass-8" => (hourglass(8), Head::Convolution),
            "cpn-50" => (cpn(Depth::Fifty), Head::Convolution),
            "cpn-101" => (cpn(Depth::HundredAndOne), Head::Convolution),
            "rsn-18" => (Body::Rsn(Rsn::EIGHTEEN), Head::Convolution),
            "rsn-50" => (Body::Rsn(Rsn::FIFTY), Head::Convolution),
            "2xrsn-50" => (Body::Rsn(Rsn { stages: 2, ..Rsn::FIFTY }), Head::Convolution),
            "3xrsn-50" => (Body::Rsn(Rsn { stages: 3, ..Rsn::FIFTY }), Head::Convolution),
            _ => return None,
        };
        let (skeleton, integral) = (Arc::clone(skeleton), name.starts_with("ipr-"));
        let body_weights = match body {
            // As the public code leaves them: nothing in it starts from small weights.
            Body::Hourglass(_) => WeightInit::KaimingUniform,
            Body::Cpn(_) | Body::Rsn(_) => WeightInit::KaimingNormal,
            Body::HrNet(_) | Body::ResNet(_) => WeightInit::Public,
        };
        let normalization = match body {
            Body::Hourglass(_) => InputNormalization::MpiiMean,
            Body::Cpn(_) => InputNormalization::CpnMean,
            Body::HrNet(_) | Body::ResNet(_) | Body::Rsn(_) => InputNormalization::Imagenet,
        };
        Some(Self { skeleton, body, head, integral, normalization, body_weights, frozen_backbone: false })
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
        match self.body {
            Body::HrNet(body) => body.backbone(&mut net, image).map(drop),
            Body::ResNet(body) => body.backbone(&mut net, image).map(drop),
            Body::Cpn(body) => body.backbone(&mut net, image).map(drop),
            Body::Rsn(body) => body.backbone(&mut net, image).map(drop),
            Body::Hourglass(_) => Err(no_backbone()),
        }?;
        let parameters = net.graph.parameters().iter().map(|&id| net.graph.shape(id).elements()).sum();
        Ok((net.shapes(), parameters))
    }

    /// Appends the network to `net`: image `[N, 3, H, W]` -> heat maps.
    ///
    /// # Errors
    /// [`ShapeError`] where the input size does not suit the network, or the head its body.
    pub fn build(&self, net: &mut Network, image: ValueId) -> Result<HeatMaps, ShapeError> {
        net.weight_init = self.body_weights;
        let joints = self.skeleton.joints.len();
        let mut maps = match (self.body, self.head) {
            (Body::HrNet(body), _) => {
                let features = self.backbone(net, |net| body.backbone(net, image))?;
                self.on_features(net, features)?
            }
            (Body::ResNet(body), _) => {
                let features = self.backbone(net, |net| body.backbone(net, image))?;
                let features = body.features(net, features)?;
                self.on_features(net, features)?
            }
            (Body::Hourglass(_), _) if self.frozen_backbone => return Err(no_backbone()),
            (Body::Hourglass(body), Head::Convolution) => body.heat_maps(net, image, joints)?,
            (Body::Cpn(body), Head::Convolution) => {
                let stages = self.backbone(net, |net| body.backbone(net, image))?;
                body.heat_maps(net, stages, joints)?
            }
            (Body::Rsn(body), Head::Convolution) => {
                let stages = self.backbone(net, |net| body.backbone(net, image))?;
                body.heat_maps(net, &stages, joints)?
            }
            (Body::Hourglass(_) | Body::Cpn(_) | Body::Rsn(_), Head::Ditn(_)) => {
                return Err(ShapeError::new("ditn", "its decoders stand on HRNet or ResNet"));
            }
        };
        if self.integral {
            // Earlier maps would have to be judged behind their softmax too.
            ShapeError::unless(maps.sides.is_empty(), "expectation", || {
                "is for networks whose maps are judged once".into()
            })?;
            maps.coordinates = Some(net.graph.apply_one(Expectation, &[maps.joints])?);
        }
        Ok(maps)
    }

    /// The head on features `[N, C, H / 4, W / 4]`.
    fn on_features(&self, net: &mut Network, features: ValueId) -> Result<HeatMaps, ShapeError> {
        match self.head {
            Head::Convolution => {
                let layer = Conv2dLayer::new(self.skeleton.joints.len(), 1).bias().init(WeightInit::Public);
                Ok(HeatMaps::of_joints(net.conv2d("final_layer", features, layer)?))
            }
            Head::Ditn(head) => head.heat_maps(net, features, &self.skeleton),
        }
    }

    /// Builds what makes features of the image, as training leaves it where it is frozen.
    fn backbone<T>(
        &self,
        net: &mut Network,
        build: impl FnOnce(&mut Network) -> Result<T, ShapeError>,
    ) -> Result<T, ShapeError> {
        if self.frozen_backbone { net.frozen(build) } else { build(net) }
    }
}

fn no_backbone() -> ShapeError {
    ShapeError::new("hourglass", "it has no backbone that could be frozen")
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
