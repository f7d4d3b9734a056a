//! Batch normalisation.

use crate::ir::{ShapeError, ValueId};
use crate::nn::{Initial, Mode, Network};
use crate::ops::Epilogue;
use crate::ops::batch_norm::{BatchNorm, BatchNormInference, RunningStatistics};

/// Attributes of a batch normalisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormLayer {
    /// Added to the variance.
    pub eps: f32,
    /// Weight of a batch in the running statistics.
    pub momentum: f32,
    /// Where the weights start.
    pub weight: f32,
}

impl Default for BatchNormLayer {
    fn default() -> Self {
        Self { eps: 1e-5, momentum: 0.1, weight: 1.0 }
    }
}

impl BatchNormLayer {
    /// PyTorch's: eps 1e-5, momentum 0.1, weights that start at 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// With weights that start here.
    #[must_use]
    pub fn weight(self, weight: f32) -> Self {
        Self { weight, ..self }
    }
}

impl Network {
    /// Batch normalisation of `[N, C, H, W]` with parameters `name.weight` `[C]` and `name.bias` `[C]`, which starts at 0,
    /// and the running statistics `name.running_mean` and `name.running_var` `[C]`.
    ///
    /// # Errors
    /// [`ShapeError`] where `x` is not `[N, C, H, W]` or, in training, has one value per channel.
    pub fn batch_norm(
        &mut self,
        name: impl ToString,
        x: ValueId,
        layer: BatchNormLayer,
    ) -> Result<ValueId, ShapeError> {
        let BatchNormLayer { eps, momentum, weight } = layer;
        self.scope(name, |net| {
            let [n, channels, h, w] = net.graph.shape(x).nchw("batch_norm")?;
            let gamma = net.parameter("weight", [channels], Initial::Constant(weight));
            let beta = net.bias(channels);
            let running_mean = net.state("running_mean", [channels], Initial::Constant(0.0));
            let running_var = net.state("running_var", [channels], Initial::Constant(1.0));
            let epilogue = Epilogue::NONE;
            if net.mode() == Mode::Inference {
                let inputs = [x, gamma, beta, running_mean, running_var];
                return net.graph.apply_one(BatchNormInference { eps, epilogue }, &inputs);
            }
            let outputs = net.graph.apply(BatchNorm { eps, epilogue }, &[x, gamma, beta])?;
            let update = RunningStatistics { momentum, count: n * h * w, batches: 1 };
            net.graph.apply(update, &[running_mean, running_var, outputs[1], outputs[2]])?;
            Ok(outputs[0])
        })
    }
}
