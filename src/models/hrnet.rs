//! HRNet (Sun et al. 2019): a stem, a stage of bottlenecks, then three stages of parallel branches at 1/4, 1/8, 1/16
//! and 1/32 of the input that exchange what they see after every module.
//!
//! Names and order are those of the public `pose_hrnet` checkpoints.

use super::blocks::{basic_block, bottlenecks, conv_bn, conv_bn_relu, numbered_conv_bn_relu};
use super::maps::check_input_size;
use crate::ir::{ShapeError, ValueId};
use crate::nn::{Conv2dLayer, Network};

/// Extents of an HRNet body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HrNet {
    /// Channels of the branch at 1/4; each further branch has twice as many.
    pub width: usize,
    /// Channels of the stem and of the bottlenecks of the first stage.
    pub stem: usize,
    /// Basic blocks a branch and module.
    pub blocks: usize,
    /// Modules of stages 2, 3 and 4.
    pub modules: [usize; 3],
}

impl HrNet {
    /// HRNet-W32.
    pub const W32: Self = Self { width: 32, stem: 64, blocks: 4, modules: [1, 4, 3] };
    /// HRNet-W48.
    pub const W48: Self = Self { width: 48, ..Self::W32 };

    /// image `[N, 3, H, W]` -> features `[N, width, H / 4, W / 4]`.
    ///
    /// # Errors
    /// [`ShapeError`] where H or W is not a multiple of 32.
    pub fn backbone(&self, net: &mut Network, image: ValueId) -> Result<ValueId, ShapeError> {
        check_input_size(net, image, "hrnet", 32)?;
        let channels: Vec<usize> = (0..4).map(|branch| self.width << branch).collect();

        let x = numbered_conv_bn_relu(net, 1, image, Conv2dLayer::new(self.stem, 3).stride(2))?;
        let x = numbered_conv_bn_relu(net, 2, x, Conv2dLayer::new(self.stem, 3).stride(2))?;
        let x = bottlenecks(net, "layer1", x, 4, self.stem, 1)?;

        let xs = net.scope("transition1", |net| {
            let high = net.scope(0, |net| conv_bn_relu(net, x, Conv2dLayer::new(channels[0], 3)))?;
            let low = net
                .scope(1, |net| net.scope(0, |net| conv_bn_relu(net, x, Conv2dLayer::new(channels[1], 3).stride(2))))?;
            Ok(vec![high, low])
        })?;
        let xs = self.stage(net, 2, xs, false)?;
        let xs = widen(net, "transition2", xs, channels[2])?;
        let xs = self.stage(net, 3, xs, false)?;
        let xs = widen(net, "transition3", xs, channels[3])?;
        let xs = self.stage(net, 4, xs, true)?;
        Ok(xs[0])
    }

    /// The modules of a stage. The last one of the network computes the branch at 1/4 only.
    fn stage(
        &self,
        net: &mut Network,
        number: usize,
        xs: Vec<ValueId>,
        last: bool,
    ) -> Result<Vec<ValueId>, ShapeError> {
        let modules = self.modules[number - 2];
        net.scope(format!("stage{number}"), |net| {
            (0..modules).try_fold(xs, |xs, module| {
                let outputs = if last && module == modules - 1 { 1 } else { xs.len() };
                net.scope(module, |net| self.fusion_module(net, xs, outputs))
            })
        })
    }

    /// Basic blocks on every branch, then every resolution summed into every other.
    fn fusion_module(&self, net: &mut Network, xs: Vec<ValueId>, outputs: usize) -> Result<Vec<ValueId>, ShapeError> {
        let xs = net.scope("branches", |net| {
            let branch = |(j, &x): (usize, &ValueId)| {
                net.scope(j, |net| {
                    (0..self.blocks).try_fold(x, |x, k| net.scope(k, |net| basic_block(net, x, self.width << j)))
                })
            };
            xs.iter().enumerate().map(branch).collect::<Result<Vec<_>, _>>()
        })?;
        net.scope("fuse_layers", |net| {
            (0..outputs)
                .map(|i| {
                    net.scope(i, |net| {
                        let mut total = None;
                        for (j, &x) in xs.iter().enumerate() {
                            let term = net.scope(j, |net| self.resample(net, x, j, i))?;
                            total = Some(match total {
                                None => term,
                                Some(total) => net.add(total, term)?,
                            });
                        }
                        net.relu(total.ok_or_else(|| ShapeError::new("hrnet", "a module without branches"))?)
                    })
                })
                .collect()
        })
    }

    /// Branch `from` at the resolution and width of branch `to`.
    fn resample(&self, net: &mut Network, x: ValueId, from: usize, to: usize) -> Result<ValueId, ShapeError> {
        if from > to {
            let x = conv_bn(net, x, Conv2dLayer::new(self.width << to, 1))?;
            return net.upsample(x, 1 << (from - to));
        }
        (from..to).try_fold(x, |x, level| {
            let last = level == to - 1;
            let channels = if last { self.width << to } else { self.width << from };
            net.scope(level - from, |net| {
                let x = conv_bn(net, x, Conv2dLayer::new(channels, 3).stride(2))?;
                if last { Ok(x) } else { net.relu(x) }
            })
        })
    }
}

/// Appends a branch at half the resolution of the lowest one.
fn widen(net: &mut Network, name: &str, mut xs: Vec<ValueId>, channels: usize) -> Result<Vec<ValueId>, ShapeError> {
    let lowest = xs[xs.len() - 1];
    let branch = xs.len();
    let added = net.scope(name, |net| {
        net.scope(branch, |net| net.scope(0, |net| conv_bn_relu(net, lowest, Conv2dLayer::new(channels, 3).stride(2))))
    })?;
    xs.push(added);
    Ok(xs)
}
