//! The stacked hourglass (Newell et al. 2016): residuals that activate before they convolve, down to the lowest resolution and
//! up again, several times over, with heat maps behind each time.
//!
//! Names and order are those of the public checkpoints of bearpaw's and anibali's code.

use super::maps::{HeatMaps, SideMaps, check_input_size};
use crate::ir::{ShapeError, ValueId};
use crate::nn::{BatchNormLayer, Conv2dLayer, Network};
use crate::ops::max_pool::MaxPool;

/// Extents of a stacked hourglass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hourglass {
    /// How many hourglasses follow each other.
    pub stacks: usize,
    /// Residuals in a row, wherever the figure shows one.
    pub residuals: usize,
    /// Channels of the features.
    pub channels: usize,
    /// Channels of the first convolution.
    pub stem: usize,
    /// How often an hourglass halves the resolution.
    pub levels: usize,
    /// Whether the stem widens as in the paper, `stem`, 2 `stem`, 2 `stem`, `channels`; else 4 `stem` comes third, as in
    /// bearpaw's code.
    pub paper_stem: bool,
}

const HALF: MaxPool = MaxPool { kernel: 2, stride: 2, padding: 0 };

impl Hourglass {
    /// The paper's but for the stem, which is that of the checkpoints: 8 stacks.
    pub const EIGHT: Self = Self { stacks: 8, residuals: 1, channels: 256, stem: 64, levels: 4, paper_stem: false };

    /// What the sides of the input must be multiples of.
    pub fn input_multiple(&self) -> usize {
        4 << self.levels
    }

    /// image `[N, 3, H, W]` -> the heat maps of each stack, the last of which are decoded.
    ///
    /// # Errors
    /// [`ShapeError`] where H or W is not a multiple of [`input_multiple`](Self::input_multiple).
    pub fn heat_maps(&self, net: &mut Network, image: ValueId, joints: usize) -> Result<HeatMaps, ShapeError> {
        check_input_size(net, image, "hourglass", self.input_multiple())?;
        let mut x = self.stem(net, image)?;
        let mut sides = Vec::new();
        for stack in 0.. {
            let y = self.features(net, x, stack)?;
            let maps = net.scope("score", |net| net.conv2d(stack, y, Conv2dLayer::new(joints, 1).bias()))?;
            if stack + 1 >= self.stacks {
                return Ok(HeatMaps { sides, ..HeatMaps::of_joints(maps) });
            }
            sides.push(SideMaps { maps, coarse: false, blur: HeatMaps::BLUR });
            // What this stack has seen and what it predicts go into the next one's input.
            let layer = Conv2dLayer::new(self.channels, 1).bias();
            let seen = net.scope("fc_", |net| net.conv2d(stack, y, layer))?;
            let predicted = net.scope("score_", |net| net.conv2d(stack, maps, layer))?;
            x = net.add(x, seen)?;
            x = net.add(x, predicted)?;
        }
        Err(ShapeError::new("hourglass", "there is no last stack"))
    }

    /// `[N, 3, H, W]` -> `[N, C, H / 4, W / 4]`.
    fn stem(&self, net: &mut Network, image: ValueId) -> Result<ValueId, ShapeError> {
        let x = net.conv2d("conv1", image, Conv2dLayer::new(self.stem, 7).stride(2).bias())?;
        let x = net.batch_norm("bn1", x, BatchNormLayer::new())?;
        let x = net.relu(x)?;
        let x = residuals(net, "layer1", x, 1, 2 * self.stem)?;
        let x = net.graph.apply_one(HALF, &[x])?;
        let x = residuals(net, "layer2", x, 1, if self.paper_stem { 2 } else { 4 } * self.stem)?;
        residuals(net, "layer3", x, 1, self.channels)
    }

    /// One hourglass, residuals and a 1x1 convolution, from which the maps are made.
    fn features(&self, net: &mut Network, x: ValueId, stack: usize) -> Result<ValueId, ShapeError> {
        let y = net.scope("hg", |net| {
            net.scope(stack, |net| net.scope("hg", |net| self.hourglass(net, x, self.levels.saturating_sub(1))))
        })?;
        let y = net.scope("res", |net| residuals(net, stack, y, self.residuals, self.channels))?;
        net.scope("fc", |net| {
            net.scope(stack, |net| {
                let y = net.conv2d(0, y, Conv2dLayer::new(self.channels, 1).bias())?;
                let y = net.batch_norm(1, y, BatchNormLayer::new())?;
                net.relu(y)
            })
        })
    }

    /// Figure 3, from this level (0 is the lowest) down: residuals 0 beside, 1 on the way down, 2 on the way up, and at the
    /// bottom 3.
    fn hourglass(&self, net: &mut Network, x: ValueId, level: usize) -> Result<ValueId, ShapeError> {
        let row = |net: &mut Network, x, number: usize| {
            net.scope(level, |net| residuals(net, number, x, self.residuals, self.channels))
        };
        let low = net.graph.apply_one(HALF, &[x])?;
        let low = row(net, low, 1)?;
        let low = if level > 0 { self.hourglass(net, low, level - 1)? } else { row(net, low, 3)? };
        let low = row(net, low, 2)?;
        let beside = row(net, x, 0)?;
        let low = net.upsample(low, 2)?;
        net.add(beside, low)
    }
}

/// Residuals `0`, `1`, ... in a row.
fn residuals(
    net: &mut Network,
    name: impl ToString,
    x: ValueId,
    count: usize,
    channels: usize,
) -> Result<ValueId, ShapeError> {
    net.scope(name, |net| (0..count).try_fold(x, |x, k| net.scope(k, |net| residual(net, x, channels))))
}

/// Figure 4 with normalisation and ReLU in front of each convolution (He et al. 2016): 1x1 to half the channels, 3x3, 1x1, plus
/// the input (through a 1x1 where the width changes).
fn residual(net: &mut Network, x: ValueId, channels: usize) -> Result<ValueId, ShapeError> {
    let [_, inputs, _, _] = net.graph.shape(x).nchw("hourglass")?;
    let mut y = x;
    for (number, (outputs, kernel)) in [(channels / 2, 1), (channels / 2, 3), (channels, 1)].into_iter().enumerate() {
        y = net.batch_norm(format!("bn{}", number + 1), y, BatchNormLayer::new())?;
        y = net.relu(y)?;
        y = net.conv2d(format!("conv{}", number + 1), y, Conv2dLayer::new(outputs, kernel).bias())?;
    }
    let skip = match inputs == channels {
        true => x,
        false => net.scope("downsample", |net| net.conv2d(0, x, Conv2dLayer::new(channels, 1).bias()))?,
    };
    net.add(y, skip)
}
