//! The cascaded pyramid network (Chen et al. 2018): GlobalNet, a feature pyramid on a ResNet with heat maps at each of its
//! levels, and RefineNet, which brings the levels together for the joints that those did not find.
//!
//! Names and order are those of the public checkpoints of GengDavid's code.

use super::blocks::{bottleneck_branch, conv_bn, conv_bn_relu};
use super::maps::{HeatMaps, SideMaps, size_of};
use super::resnet::ResNet;
use crate::ir::{ShapeError, ValueId};
use crate::nn::{BatchNormLayer, Conv2dLayer, Network};

/// Extents of a cascaded pyramid network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpn {
    /// The ResNet under the pyramid.
    pub resnet: ResNet,
    /// Channels of each level of the pyramid.
    pub channels: usize,
}

/// Blur of the targets of GlobalNet's levels, coarse to fine.
const BLURS: [usize; 4] = [15, 11, 9, 7];

impl Cpn {
    /// Channels of the paper's pyramid.
    pub const CHANNELS: usize = 256;

    /// The ResNet: image `[N, 3, H, W]` -> its stages' features, at 1/32, 1/16, 1/8 and 1/4 of the input.
    ///
    /// # Errors
    /// [`ShapeError`] where H or W is not a multiple of 32.
    pub fn backbone(&self, net: &mut Network, image: ValueId) -> Result<[ValueId; 4], ShapeError> {
        let mut stages = net.scope("resnet", |net| self.resnet.stages(net, image))?;
        stages.reverse();
        Ok(stages)
    }

    /// GlobalNet and RefineNet: the stages' features -> four heat maps coarse to fine, and those that are decoded.
    ///
    /// # Errors
    /// [`ShapeError`] where `stages` are not those of [`backbone`](Self::backbone).
    pub fn heat_maps(&self, net: &mut Network, stages: [ValueId; 4], joints: usize) -> Result<HeatMaps, ShapeError> {
        let (features, maps) = net.scope("global_net", |net| self.global_net(net, stages, joints))?;
        let refined = net.scope("refine_net", |net| self.refine_net(net, &features, joints))?;
        let sides = maps.into_iter().zip(BLURS).map(|(maps, blur)| SideMaps { maps, coarse: true, blur }).collect();
        Ok(HeatMaps { sides, ..HeatMaps::of_joints(refined) })
    }

    /// Each level is its stage through a 1x1 plus the level above, enlarged. -> features and maps, coarse to fine.
    fn global_net(
        &self,
        net: &mut Network,
        stages: [ValueId; 4],
        joints: usize,
    ) -> Result<(Vec<ValueId>, Vec<ValueId>), ShapeError> {
        let point = Conv2dLayer::new(self.channels, 1);
        let sizes = stages.iter().map(|&stage| size_of(net, stage)).collect::<Result<Vec<_>, _>>()?;
        let (mut features, mut maps) = (Vec::new(), Vec::new());
        let mut above = None;
        for (level, &stage) in stages.iter().enumerate() {
            let mut x = net.scope("laterals", |net| net.scope(level, |net| conv_bn_relu(net, stage, point)))?;
            if let Some(above) = above {
                x = net.add(x, above)?;
            }
            features.push(x);
            if let Some(&size) = sizes.get(level + 1) {
                let larger = net.resize(x, size, true)?;
                let larger = net.scope("upsamples", |net| {
                    net.scope(level, |net| {
                        let y = net.conv2d(1, larger, point)?;
                        net.batch_norm(2, y, BatchNormLayer::new())
                    })
                })?;
                above = Some(larger);
            }
            maps.push(net.scope("predict", |net| {
                net.scope(level, |net| {
                    let y = conv_bn_relu(net, x, point)?;
                    let y = net.conv2d(3, y, Conv2dLayer::new(joints, 3))?;
                    let y = net.resize(y, sizes[3], true)?;
                    net.batch_norm(5, y, BatchNormLayer::new())
                })
            })?);
        }
        Ok((features, maps))
    }

    /// 3, 2, 1 and 0 bottlenecks on the levels coarse to fine, all at 1/4 and side by side, one more, and the maps.
    fn refine_net(&self, net: &mut Network, features: &[ValueId], joints: usize) -> Result<ValueId, ShapeError> {
        let Some((&finest, levels)) = features.last().zip(features.len().checked_sub(1)) else {
            return Err(ShapeError::new("cpn", "there is no level"));
        };
        let size = size_of(net, finest)?;
        let mut all = Vec::new();
        for (level, &x) in features.iter().enumerate() {
            let x = net.scope("cascade", |net| {
                net.scope(level, |net| {
                    (0..levels - level).try_fold(x, |x, k| net.scope(k, |net| refine(net, x, self.channels)))
                })
            })?;
            all.push(if level < levels { net.resize(x, size, true)? } else { x });
        }
        let x = net.concat(&all)?;
        net.scope("final_predict", |net| {
            let x = net.scope(0, |net| refine(net, x, self.channels))?;
            let x = net.conv2d(1, x, Conv2dLayer::new(joints, 3))?;
            net.batch_norm(2, x, BatchNormLayer::new())
        })
    }
}

/// 1x1 to half of `channels`, 3x3, 1x1 to `channels`, plus the input, always through a 1x1.
fn refine(net: &mut Network, x: ValueId, channels: usize) -> Result<ValueId, ShapeError> {
    let y = bottleneck_branch(net, x, channels / 2, channels, 1)?;
    let skip = net.scope("downsample", |net| conv_bn(net, x, Conv2dLayer::new(channels, 1)))?;
    let y = net.add(y, skip)?;
    net.relu(y)
}
