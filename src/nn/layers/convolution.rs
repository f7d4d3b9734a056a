//! Convolutions.

use crate::ir::{ShapeError, ValueId};
use crate::nn::{Network, WeightInit};
use crate::ops::Epilogue;
use crate::ops::conv2d::{Conv2d, Conv2dInputGradient};

/// Attributes of a square convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conv2dLayer {
    /// Output channels.
    pub channels: usize,
    /// Extent of the kernel.
    pub kernel: usize,
    /// Step between outputs.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// A bias a channel, starting at 0.
    pub bias: bool,
    /// Initial weights; `None` for [`Network::weight_init`].
    pub init: Option<WeightInit>,
}

impl Conv2dLayer {
    /// Stride 1, 'same' padding, one group, no bias, initial weights as the network says.
    pub fn new(channels: usize, kernel: usize) -> Self {
        Self { channels, kernel, stride: 1, padding: kernel / 2, groups: 1, bias: false, init: None }
    }

    /// With another stride.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// With other padding.
    #[must_use]
    pub fn padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    /// With groups.
    #[must_use]
    pub fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// With a bias.
    #[must_use]
    pub fn bias(self) -> Self {
        Self { bias: true, ..self }
    }

    /// With other initial weights.
    #[must_use]
    pub fn init(self, init: WeightInit) -> Self {
        Self { init: Some(init), ..self }
    }
}

impl Network {
    /// Convolution with parameters `name.weight` `[O, I / groups, k, k]` and, if asked for, `name.bias` `[O]`.
    ///
    /// # Errors
    /// [`ShapeError`] where `x` does not fit.
    pub fn conv2d(&mut self, name: impl ToString, x: ValueId, layer: Conv2dLayer) -> Result<ValueId, ShapeError> {
        self.scope(name, |net| {
            let [_, channels, _, _] = net.graph.shape(x).nchw("conv2d")?;
            let Conv2dLayer { channels: outputs, kernel, stride, padding, groups, bias, init } = layer;
            let group = channels / groups.max(1);
            let weight = net.weight([outputs, group, kernel, kernel], group * kernel * kernel, init);
            let mut inputs = vec![x, weight];
            if bias {
                inputs.push(net.bias(outputs));
            }
            let (stride, padding, epilogue) = ([stride; 2], [padding; 2], Epilogue::NONE);
            net.graph.apply_one(Conv2d { stride, padding, groups, bias, epilogue }, &inputs)
        })
    }

    /// Transposed convolution with parameter `name.weight` `[C, O, k, k]`, as PyTorch lays it out:
    /// `[N, C, H, W]` -> `[N, O, (H - 1) stride - 2 padding + k, ...]`. It is the input gradient of the convolution that
    /// has O channels and gives C.
    ///
    /// # Errors
    /// [`ShapeError`] where `x` or the layer does not fit; a transposed convolution has neither groups nor a bias here.
    pub fn conv_transpose2d(
        &mut self,
        name: impl ToString,
        x: ValueId,
        layer: Conv2dLayer,
    ) -> Result<ValueId, ShapeError> {
        const NAME: &str = "conv_transpose2d";
        self.scope(name, |net| {
            let [_, channels, h, w] = net.graph.shape(x).nchw(NAME)?;
            let Conv2dLayer { channels: outputs, kernel, stride, padding, groups, bias, init } = layer;
            ShapeError::unless(groups == 1 && !bias, NAME, || "groups and bias are not supported".into())?;
            ShapeError::unless(h * w > 0 && kernel > 2 * padding, NAME, || {
                format!("padding {padding} leaves nothing of a kernel of {kernel}")
            })?;
            // PyTorch counts the second extent of the weight as the inputs of an output.
            let weight = net.weight([channels, outputs, kernel, kernel], outputs * kernel * kernel, init);
            let size = [h, w].map(|extent| (extent - 1) * stride + kernel - 2 * padding);
            let (stride, padding) = ([stride; 2], [padding; 2]);
            let operator = Conv2dInputGradient { stride, padding, groups, size, residual: false };
            net.graph.apply_one(operator, &[x, weight])
        })
    }
}
