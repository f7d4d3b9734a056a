//! The residual steps network (Cai et al. 2020) in one or more stages, each a pyramid down and up: blocks whose four parts pass
//! one, two, three and four convolutions, and see each other on the way.
//!
//! Names and order are those of MMPose's checkpoints. The paper's Pose Refine Machine is in none of these, and not here.

use super::maps::{HeatMaps, SideMaps, check_input_size, size_of};
use crate::ir::{ShapeError, ValueId};
use crate::nn::{BatchNormLayer, Conv2dLayer, Network};
use crate::ops::max_pool::MaxPool;

/// Extents of a residual steps network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rsn {
    /// How many pyramids follow each other.
    pub stages: usize,
    /// Blocks at each of the four resolutions.
    pub layers: [usize; 4],
    /// Channels of the first resolution; each further one has twice as many.
    pub stem: usize,
    /// Channels on the way up, from which the maps are made.
    pub channels: usize,
    /// Channels of each part of a block that has `stem` channels as its input; in proportion in the others.
    pub expand: usize,
}

/// Parts of a block.
const PARTS: usize = 4;
/// Resolutions of a pyramid.
const LEVELS: usize = 4;
/// Blur of the targets of a stage's levels, coarse to fine; the last stage's are one step finer.
const BLURS: [usize; LEVELS + 1] = [15, 11, 9, 7, 5];

/// Features of a stage at 1/32, 1/16, 1/8 and 1/4 of the input.
type Features = [ValueId; LEVELS];

/// What a stage hands to the next one.
#[derive(Clone, Copy)]
struct Next {
    input: ValueId,
    /// What is added to the features of each level there: made of those on the way down and of those on the way up.
    skips: [[ValueId; 2]; LEVELS],
}

impl Rsn {
    /// RSN-18.
    pub const EIGHTEEN: Self = Self { stages: 1, layers: [2; 4], stem: 64, channels: 256, expand: 26 };
    /// RSN-50.
    pub const FIFTY: Self = Self { layers: [3, 4, 6, 3], ..Self::EIGHTEEN };

    /// image `[N, 3, H, W]` -> for each stage its features at 1/32, 1/16, 1/8 and 1/4 of the input.
    ///
    /// # Errors
    /// [`ShapeError`] where H or W is not a multiple of 32.
    pub fn backbone(&self, net: &mut Network, image: ValueId) -> Result<Vec<[ValueId; 4]>, ShapeError> {
        check_input_size(net, image, "rsn", 32)?;
        net.scope("backbone", |net| {
            let x = net.scope("top", |net| {
                net.scope("top", |net| unit(net, 0, image, Conv2dLayer::new(self.stem, 7).stride(2), true))
            })?;
            let x = net.graph.apply_one(MaxPool { kernel: 3, stride: 2, padding: 1 }, &[x])?;
            net.scope("multi_stage_rsn", |net| {
                let mut before: Option<Next> = None;
                let mut stages = Vec::new();
                for stage in 0..self.stages {
                    let (features, next) = net.scope(stage, |net| {
                        let x = before.map_or(x, |before| before.input);
                        let down = net.scope("downsample", |net| self.down(net, x, before))?;
                        net.scope("upsample", |net| self.up(net, down, stage + 1 < self.stages))
                    })?;
                    stages.push(features);
                    before = next;
                }
                Ok(stages)
            })
        })
    }

    /// Four maps a stage, coarse to fine, all at 1/4; the last are decoded.
    ///
    /// # Errors
    /// [`ShapeError`] where `stages` are not those of [`backbone`](Self::backbone).
    pub fn heat_maps(&self, net: &mut Network, stages: &[[ValueId; 4]], joints: usize) -> Result<HeatMaps, ShapeError> {
        let mut sides = Vec::new();
        for (stage, features) in stages.iter().enumerate() {
            let size = size_of(net, features[LEVELS - 1])?;
            let last_stage = stage + 1 == stages.len();
            for (level, &x) in features.iter().enumerate() {
                let maps = net.scope("head", |net| {
                    net.scope("predict_layers", |net| {
                        net.scope(LEVELS * stage + level, |net| {
                            net.scope("conv_layers", |net| {
                                let y = unit(net, 0, x, Conv2dLayer::new(self.channels, 1), true)?;
                                unit(net, 1, y, Conv2dLayer::new(joints, 3), false)
                            })
                        })
                    })
                })?;
                let maps = if level + 1 < LEVELS { net.resize(maps, size, true)? } else { maps };
                let blur = BLURS[level + usize::from(last_stage)];
                sides.push(SideMaps { maps, coarse: level + 1 < LEVELS, blur });
            }
        }
        let SideMaps { maps, blur, .. } = sides.pop().ok_or_else(|| ShapeError::new("rsn", "there is no stage"))?;
        Ok(HeatMaps { sides, blur, ..HeatMaps::of_joints(maps) })
    }

    /// Four resolutions of blocks. -> coarse to fine.
    fn down(&self, net: &mut Network, mut x: ValueId, before: Option<Next>) -> Result<Features, ShapeError> {
        let mut features = [x; LEVELS];
        for (level, &count) in self.layers.iter().enumerate() {
            let channels = self.stem << level;
            x = net.scope(format!("layer{}", level + 1), |net| {
                (0..count).try_fold(x, |x, k| {
                    let stride = if k == 0 && level > 0 { 2 } else { 1 };
                    net.scope(k, |net| self.block(net, x, channels, stride))
                })
            })?;
            if let Some(Next { skips, .. }) = before {
                for skip in skips[LEVELS - 1 - level] {
                    x = net.add(x, skip)?;
                }
            }
            features[LEVELS - 1 - level] = x;
        }
        Ok(features)
    }

    /// Each level through a 1x1 plus the level above, enlarged. -> features, and what another stage gets.
    fn up(&self, net: &mut Network, down: Features, more: bool) -> Result<(Features, Option<Next>), ShapeError> {
        let point = Conv2dLayer::new(self.channels, 1);
        let (mut features, mut skips) = (down, [[down[0]; 2]; LEVELS]);
        let mut input = None;
        for (level, &x) in down.iter().enumerate() {
            net.scope(format!("up{}", level + 1), |net| {
                let mut y = unit(net, "in_skip", x, point, false)?;
                if level > 0 {
                    let size = size_of(net, x)?;
                    let above = net.resize(features[level - 1], size, true)?;
                    let above = unit(net, "up_conv", above, point, false)?;
                    y = net.add(y, above)?;
                }
                y = net.relu(y)?;
                features[level] = y;
                if more {
                    let back = Conv2dLayer::new(self.stem << (LEVELS - 1 - level), 1);
                    skips[level] = [unit(net, "out_skip1", x, back, true)?, unit(net, "out_skip2", y, back, true)?];
                    if level == LEVELS - 1 {
                        input = Some(unit(net, "cross_conv", y, Conv2dLayer::new(self.stem, 1), true)?);
                    }
                }
                Ok(())
            })?;
        }
        Ok((features, input.map(|input| Next { input, skips })))
    }

    /// Figure 3, the residual steps block: part i passes i + 1 3x3 convolutions, and in front of each but the last is added what
    /// part i - 1 has there. The last of each side by side, through a 1x1, plus the input.
    fn block(&self, net: &mut Network, x: ValueId, channels: usize, stride: usize) -> Result<ValueId, ShapeError> {
        let [_, inputs, _, _] = net.graph.shape(x).nchw("rsn")?;
        let width = inputs * self.expand / self.stem;
        let wide = unit(net, "conv_bn_relu1", x, Conv2dLayer::new(PARTS * width, 1).stride(stride), true)?;
        let mut above: Vec<ValueId> = Vec::new();
        let mut ends = Vec::new();
        for (part, mut y) in net.split(wide, &[width; PARTS])?.into_iter().enumerate() {
            let mut row = Vec::new();
            for step in 0..=part {
                if let Some(&above) = above.get(step) {
                    y = net.add(y, above)?;
                }
                let name = format!("conv_bn_relu2_{}_{}", part + 1, step + 1);
                y = unit(net, name, y, Conv2dLayer::new(width, 3), true)?;
                row.push(y);
            }
            above = row;
            ends.push(y);
        }
        let y = net.concat(&ends)?;
        let y = unit(net, "conv_bn3", y, Conv2dLayer::new(channels, 1), false)?;
        let skip = match stride == 1 && inputs == channels {
            true => x,
            false => unit(net, "downsample", x, Conv2dLayer::new(channels, 1).stride(stride), false)?,
        };
        let y = net.add(y, skip)?;
        net.relu(y)
    }
}

/// Convolution `conv`, batch normalisation `bn` and, where asked for, ReLU.
fn unit(
    net: &mut Network,
    name: impl ToString,
    x: ValueId,
    layer: Conv2dLayer,
    relu: bool,
) -> Result<ValueId, ShapeError> {
    net.scope(name, |net| {
        let x = net.conv2d("conv", x, layer)?;
        let x = net.batch_norm("bn", x, BatchNormLayer::new())?;
        if relu { net.relu(x) } else { Ok(x) }
    })
}
