//! The body of SimpleBaseline (Xiao et al. 2018): a ResNet (He et al. 2016) down to 1/32 of the input, then three
//! transposed convolutions back up to 1/4.
//!
//! Names and order are those of the public `pose_resnet` checkpoints.

use super::blocks::{bottlenecks, numbered_conv_bn_relu};
use super::maps::check_input_size;
use crate::ir::{ShapeError, ValueId};
use crate::nn::{BatchNormLayer, Conv2dLayer, Network};
use crate::ops::max_pool::MaxPool;

/// The ResNets of the papers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// ResNet-50: 3, 4, 6, 3.
    Fifty,
    /// ResNet-101: 3, 4, 23, 3.
    HundredAndOne,
    /// ResNet-152: 3, 8, 36, 3.
    HundredAndFiftyTwo,
}

impl Depth {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fifty, Self::HundredAndOne, Self::HundredAndFiftyTwo];

    /// The one with this many layers.
    pub fn of_layers(layers: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|depth| depth.layers() == layers)
    }

    /// The one with these bottlenecks.
    pub(super) fn of_bottlenecks(bottlenecks: [usize; 4]) -> Option<Self> {
        Self::ALL.into_iter().find(|depth| depth.bottlenecks() == bottlenecks)
    }

    /// Layers with weights, by which the network is named.
    pub fn layers(self) -> usize {
        match self {
            Self::Fifty => 50,
            Self::HundredAndOne => 101,
            Self::HundredAndFiftyTwo => 152,
        }
    }

    /// Bottlenecks of each of the four stages.
    pub fn bottlenecks(self) -> [usize; 4] {
        match self {
            Self::Fifty => [3, 4, 6, 3],
            Self::HundredAndOne => [3, 4, 23, 3],
            Self::HundredAndFiftyTwo => [3, 8, 36, 3],
        }
    }
}

/// Extents of a SimpleBaseline body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResNet {
    /// Bottlenecks of each of the four stages: of a [`Depth`], or others.
    pub layers: [usize; 4],
    /// Channels of the stem and of the first stage's bottlenecks; the features have four times as many.
    pub stem: usize,
}

impl ResNet {
    /// That of ResNet-50, -101 and -152.
    pub const STEM: usize = 64;

    /// ResNet-50, -101 or -152.
    pub fn of_depth(depth: Depth) -> Self {
        Self { layers: depth.bottlenecks(), stem: Self::STEM }
    }

    /// The ResNet: image `[N, 3, H, W]` -> `[N, 32 stem, H / 32, W / 32]`.
    ///
    /// # Errors
    /// [`ShapeError`] where H or W is not a multiple of 32.
    pub fn backbone(&self, net: &mut Network, image: ValueId) -> Result<ValueId, ShapeError> {
        Ok(self.stages(net, image)?[3])
    }

    /// The features of each stage, `[N, 4 stem, H / 4, W / 4]` to `[N, 32 stem, H / 32, W / 32]`.
    ///
    /// # Errors
    /// As [`backbone`](Self::backbone).
    pub fn stages(&self, net: &mut Network, image: ValueId) -> Result<[ValueId; 4], ShapeError> {
        check_input_size(net, image, "resnet", 32)?;
        let x = numbered_conv_bn_relu(net, 1, image, Conv2dLayer::new(self.stem, 7).stride(2))?;
        let mut x = net.graph.apply_one(MaxPool { kernel: 3, stride: 2, padding: 1 }, &[x])?;
        let mut stages = [x; 4];
        for (stage, (features, &count)) in stages.iter_mut().zip(&self.layers).enumerate() {
            let stride = if stage == 0 { 1 } else { 2 };
            x = bottlenecks(net, &format!("layer{}", stage + 1), x, count, self.stem << stage, stride)?;
            *features = x;
        }
        Ok(stages)
    }

    /// The transposed convolutions: `[N, C, H / 32, W / 32]` -> features `[N, 4 stem, H / 4, W / 4]`.
    ///
    /// # Errors
    /// [`ShapeError`] where `x` is not of four extents.
    pub fn features(&self, net: &mut Network, x: ValueId) -> Result<ValueId, ShapeError> {
        net.scope("deconv_layers", |net| {
            // In PyTorch's `Sequential`, each of the three takes three numbers: convolution, batch norm, ReLU.
            (0..3).try_fold(x, |x, k| {
                let x = net.conv_transpose2d(3 * k, x, Conv2dLayer::new(4 * self.stem, 4).stride(2).padding(1))?;
                let x = net.batch_norm(3 * k + 1, x, BatchNormLayer::new())?;
                net.relu(x)
            })
        })
    }
}
