//! The networks, each to be read beside its paper's figures.

mod ditn;
mod hrnet;

pub use ditn::Ditn;
pub use hrnet::HrNet;

use crate::data::Skeleton;
use crate::ir::{ShapeError, ValueId};
use crate::nn::{Conv2dLayer, Network, Weights};

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// HRNet with decoders for joints and bones and the transfer between them.
    Ditn,
    /// HRNet with one 1x1 convolution.
    Hrnet,
}

/// A network with its extents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelConfig {
    /// Which network.
    pub model: Model,
    /// The joints and bones that it predicts.
    pub skeleton: &'static Skeleton,
    /// Channels of the branch at 1/4 of the input.
    pub width: usize,
    /// Channels of the stem and the first stage's bottlenecks.
    pub stem: usize,
    /// Basic blocks a branch and module.
    pub blocks: usize,
    /// Modules of stages 2, 3 and 4.
    pub modules: [usize; 3],
    /// DITN: the transfer from bones to joints.
    pub transfer: bool,
    /// DITN: the channel attention in the transfer.
    pub channel_attention: bool,
    /// DITN: the spatial attention in the transfer.
    pub spatial_attention: bool,
    /// Initial weights of the body's convolutions.
    pub body_weights: Weights,
}

/// What a network predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeatMaps {
    /// `[N, J, H / 4, W / 4]`.
    pub joints: ValueId,
    /// `[N, B, H / 4, W / 4]`, for networks that predict bones.
    pub bones: Option<ValueId>,
}

impl ModelConfig {
    /// DITN-W32 for a skeleton.
    pub fn ditn_w32(skeleton: &'static Skeleton) -> Self {
        Self {
            model: Model::Ditn,
            skeleton,
            width: 32,
            stem: 64,
            blocks: 4,
            modules: [1, 4, 3],
            transfer: true,
            channel_attention: true,
            spatial_attention: true,
            body_weights: Weights::Public,
        }
    }

    /// Appends the network to `net`: image `[N, 3, H, W]` -> heat maps.
    ///
    /// # Errors
    /// [`ShapeError`] where the input size does not suit the network.
    pub fn build(&self, net: &mut Network, image: ValueId) -> Result<HeatMaps, ShapeError> {
        net.body_weights = self.body_weights;
        let body = HrNet { width: self.width, stem: self.stem, blocks: self.blocks, modules: self.modules };
        let features = body.features(net, image)?;
        let joints = self.skeleton.joints.len();
        match self.model {
            Model::Hrnet => {
                let head = Conv2dLayer::new(joints, 1).bias().weights(Weights::Public);
                Ok(HeatMaps { joints: net.conv2d("final_layer", features, head)?, bones: None })
            }
            Model::Ditn => {
                let heads = Ditn {
                    joints,
                    bones: self.skeleton.bones,
                    transfer: self.transfer,
                    channel_attention: self.channel_attention,
                    spatial_attention: self.spatial_attention,
                };
                let (joints, bones) = heads.heads(net, features)?;
                Ok(HeatMaps { joints, bones: Some(bones) })
            }
        }
    }
}
