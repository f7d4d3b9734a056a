//! Layers that change the resolution and have no parameters.

use crate::ir::{ShapeError, ValueId};
use crate::nn::Network;
use crate::ops::avg_pool::AvgPool;
use crate::ops::global_average_pool::GlobalAveragePool;
use crate::ops::max_pool::MaxPool;
use crate::ops::resize::Resize;
use crate::ops::upsample::Upsample;

/// Attributes of pooling over square windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool2d {
    /// Side of a window.
    pub kernel: usize,
    /// Distance between windows.
    pub stride: usize,
    /// How far windows reach over the border; half the kernel at most.
    pub padding: usize,
}

impl Pool2d {
    /// Windows that touch each other, without padding.
    pub fn new(kernel: usize) -> Self {
        Self { kernel, stride: kernel, padding: 0 }
    }

    /// With another distance between windows.
    #[must_use]
    pub fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// With padding.
    #[must_use]
    pub fn padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }
}

impl Network {
    /// The largest element of each window: `[N, C, H, W]` -> `[N, C, floor((H + 2 padding - kernel) / stride) + 1, ...]`.
    /// Padding does not take part.
    ///
    /// # Errors
    /// [`ShapeError`] where `x` is not `[N, C, H, W]` or smaller than a window.
    pub fn max_pool2d(&mut self, x: ValueId, layer: Pool2d) -> Result<ValueId, ShapeError> {
        let Pool2d { kernel, stride, padding } = layer;
        self.graph.apply_one(MaxPool { kernel, stride, padding }, &[x])
    }

    /// The mean of each window; extents as of [`Network::max_pool2d`]. Padding counts as 0.
    ///
    /// # Errors
    /// As [`Network::max_pool2d`].
    pub fn avg_pool2d(&mut self, x: ValueId, layer: Pool2d) -> Result<ValueId, ShapeError> {
        let Pool2d { kernel, stride, padding } = layer;
        self.graph.apply_one(AvgPool { kernel, stride, padding }, &[x])
    }

    /// The mean of each channel: `[N, C, H, W]` -> `[N, C, 1, 1]`.
    ///
    /// # Errors
    /// [`ShapeError`] where `x` is not `[N, C, H, W]`.
    pub fn global_average_pool(&mut self, x: ValueId) -> Result<ValueId, ShapeError> {
        self.graph.apply_one(GlobalAveragePool, &[x])
    }

    /// Nearest up-sampling by a whole factor.
    ///
    /// # Errors
    /// [`ShapeError`] where `x` is not `[N, C, H, W]`.
    pub fn upsample(&mut self, x: ValueId, factor: usize) -> Result<ValueId, ShapeError> {
        self.graph.apply_one(Upsample { factor }, &[x])
    }

    /// Bilinear resizing to `size`, height and width, up or down: torch.nn.functional.interpolate(mode="bilinear"). With
    /// `align_corners` the centres of the corner pixels stay where they are.
    ///
    /// # Errors
    /// [`ShapeError`] where `x` is not `[N, C, H, W]` or an extent is 0 or above 32,767.
    pub fn resize(&mut self, x: ValueId, size: [usize; 2], align_corners: bool) -> Result<ValueId, ShapeError> {
        self.graph.apply_one(Resize { size, align_corners }, &[x])
    }
}
