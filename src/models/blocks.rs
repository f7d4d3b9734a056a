//! The building blocks that both bodies share, named as in the public checkpoints.

use crate::ir::{ShapeError, ValueId};
use crate::nn::{BatchNormLayer, Conv2dLayer, Network};

/// Convolution `0` and batch normalisation `1`, as in a PyTorch `Sequential`.
pub(super) fn conv_bn(net: &mut Network, x: ValueId, layer: Conv2dLayer) -> Result<ValueId, ShapeError> {
    let x = net.conv2d(0, x, layer)?;
    net.batch_norm(1, x, BatchNormLayer::new())
}

/// The same and ReLU.
pub(super) fn conv_bn_relu(net: &mut Network, x: ValueId, layer: Conv2dLayer) -> Result<ValueId, ShapeError> {
    let x = conv_bn(net, x, layer)?;
    net.relu(x)
}

/// Convolution `conv<number>`, batch normalisation `bn<number>`, ReLU, side by side in the current scope.
pub(super) fn numbered_conv_bn_relu(
    net: &mut Network,
    number: usize,
    x: ValueId,
    layer: Conv2dLayer,
) -> Result<ValueId, ShapeError> {
    let x = net.conv2d(format!("conv{number}"), x, layer)?;
    let x = net.batch_norm(format!("bn{number}"), x, BatchNormLayer::new())?;
    net.relu(x)
}

/// Two 3x3 convolutions and the identity.
pub(super) fn basic_block(net: &mut Network, x: ValueId, channels: usize) -> Result<ValueId, ShapeError> {
    let y = numbered_conv_bn_relu(net, 1, x, Conv2dLayer::new(channels, 3))?;
    let y = net.conv2d("conv2", y, Conv2dLayer::new(channels, 3))?;
    let y = net.batch_norm("bn2", y, BatchNormLayer::new())?;
    let y = net.add(y, x)?;
    net.relu(y)
}

/// 1x1 to `channels`, 3x3 (which has the stride), 1x1 to 4 `channels`, and the identity (through a 1x1 where the shape
/// changes).
pub(super) fn bottleneck(net: &mut Network, x: ValueId, channels: usize, stride: usize) -> Result<ValueId, ShapeError> {
    let [_, inputs, _, _] = net.graph.shape(x).nchw("bottleneck")?;
    let skip = if stride != 1 || inputs != 4 * channels {
        net.scope("downsample", |net| conv_bn(net, x, Conv2dLayer::new(4 * channels, 1).stride(stride)))?
    } else {
        x
    };
    let y = bottleneck_branch(net, x, channels, 4 * channels, stride)?;
    let y = net.add(y, skip)?;
    net.relu(y)
}

/// What a bottleneck adds to its skip: 1x1 to `channels`, 3x3 (which has the stride), 1x1 to `outputs`.
pub(super) fn bottleneck_branch(
    net: &mut Network,
    x: ValueId,
    channels: usize,
    outputs: usize,
    stride: usize,
) -> Result<ValueId, ShapeError> {
    let y = numbered_conv_bn_relu(net, 1, x, Conv2dLayer::new(channels, 1))?;
    let y = numbered_conv_bn_relu(net, 2, y, Conv2dLayer::new(channels, 3).stride(stride))?;
    let y = net.conv2d("conv3", y, Conv2dLayer::new(outputs, 1))?;
    net.batch_norm("bn3", y, BatchNormLayer::new())
}

/// Bottlenecks `0`, `1`, ... in a row; the first has the stride.
pub(super) fn bottlenecks(
    net: &mut Network,
    name: &str,
    x: ValueId,
    count: usize,
    channels: usize,
    stride: usize,
) -> Result<ValueId, ShapeError> {
    net.scope(name, |net| {
        (0..count).try_fold(x, |x, k| net.scope(k, |net| bottleneck(net, x, channels, if k == 0 { stride } else { 1 })))
    })
}
