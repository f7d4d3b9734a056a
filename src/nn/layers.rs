//! The layers, named and initialised as in the public PyTorch code.

use super::{Initial, Mode, Network, Weights};
use crate::ir::{Role, ShapeError, ValueId};
use crate::ops::Epilogue;
use crate::ops::add::Add;
use crate::ops::batch_norm::{BatchNorm, BatchNormInference, RunningStatistics};
use crate::ops::conv2d::{Conv2d, Conv2dInputGradient};
use crate::ops::relu::Relu;
use crate::ops::upsample::Upsample;

/// Added to the variance by every batch normalisation.
pub const EPS: f32 = 1e-5;
/// Weight of a batch in the running statistics.
pub const MOMENTUM: f32 = 0.1;

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
    /// Initial weights; `None` for what the network says of its body.
    pub weights: Option<Weights>,
}

impl Conv2dLayer {
    /// Stride 1, 'same' padding, one group, no bias, initial weights as the network says.
    pub fn new(channels: usize, kernel: usize) -> Self {
        Self { channels, kernel, stride: 1, padding: kernel / 2, groups: 1, bias: false, weights: None }
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
    pub fn weights(self, weights: Weights) -> Self {
        Self { weights: Some(weights), ..self }
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
            let Conv2dLayer { channels: outputs, kernel, stride, padding, groups, bias, weights } = layer;
            let group = channels / groups.max(1);
            let initial = weights.unwrap_or(net.body_weights).initial(group * kernel * kernel);
            let weight = net.tensor("weight", [outputs, group, kernel, kernel], Role::Parameter, initial);
            let mut inputs = vec![x, weight];
            if bias {
                inputs.push(net.tensor("bias", [outputs], Role::Parameter, Initial::Constant(0.0)));
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
            let Conv2dLayer { channels: outputs, kernel, stride, padding, groups, bias, weights } = layer;
            ShapeError::unless(groups == 1 && !bias, NAME, || "groups and bias are not supported".into())?;
            ShapeError::unless(h * w > 0 && kernel > 2 * padding, NAME, || {
                format!("padding {padding} leaves nothing of a kernel of {kernel}")
            })?;
            // PyTorch counts the second extent of the weight as the inputs of an output.
            let initial = weights.unwrap_or(net.body_weights).initial(outputs * kernel * kernel);
            let weight = net.tensor("weight", [channels, outputs, kernel, kernel], Role::Parameter, initial);
            let size = [h, w].map(|extent| (extent - 1) * stride + kernel - 2 * padding);
            let operator = Conv2dInputGradient { stride: [stride; 2], padding: [padding; 2], groups, size };
            net.graph.apply_one(operator, &[x, weight])
        })
    }

    /// Batch normalisation with `name.weight` (starting at `weight`) and `name.bias`, and its running statistics.
    ///
    /// # Errors
    /// [`ShapeError`] where `x` is not `[N, C, H, W]` or, in training, has one value per channel.
    pub fn batch_norm(&mut self, name: impl ToString, x: ValueId, weight: f32) -> Result<ValueId, ShapeError> {
        self.scope(name, |net| {
            let [n, channels, h, w] = net.graph.shape(x).nchw("batch_norm")?;
            let gamma = net.tensor("weight", [channels], Role::Parameter, Initial::Constant(weight));
            let beta = net.tensor("bias", [channels], Role::Parameter, Initial::Constant(0.0));
            let running_mean = net.tensor("running_mean", [channels], Role::State, Initial::Constant(0.0));
            let running_var = net.tensor("running_var", [channels], Role::State, Initial::Constant(1.0));
            let (eps, epilogue) = (EPS, Epilogue::NONE);
            if net.mode == Mode::Inference {
                let inputs = [x, gamma, beta, running_mean, running_var];
                return net.graph.apply_one(BatchNormInference { eps, epilogue }, &inputs);
            }
            let outputs = net.graph.apply(BatchNorm { eps, epilogue }, &[x, gamma, beta])?;
            let update = RunningStatistics { momentum: MOMENTUM, count: n * h * w };
            net.graph.apply(update, &[running_mean, running_var, outputs[1], outputs[2]])?;
            Ok(outputs[0])
        })
    }

    /// y = max(x, 0).
    ///
    /// # Errors
    /// None for a value of this graph.
    pub fn relu(&mut self, x: ValueId) -> Result<ValueId, ShapeError> {
        self.graph.apply_one(Relu, &[x])
    }

    /// a + b.
    ///
    /// # Errors
    /// [`ShapeError`] where the shapes differ.
    pub fn add(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, ShapeError> {
        self.graph.apply_one(Add, &[a, b])
    }

    /// Nearest up-sampling by a whole factor.
    ///
    /// # Errors
    /// [`ShapeError`] where `x` is not `[N, C, H, W]`.
    pub fn upsample(&mut self, x: ValueId, factor: usize) -> Result<ValueId, ShapeError> {
        self.graph.apply_one(Upsample { factor }, &[x])
    }
}
