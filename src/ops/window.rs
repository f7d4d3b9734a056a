//! Square pooling windows: what average and maximum pooling share.

use crate::ir::{Shape, ShapeError};

/// Windows of side `kernel`, `stride` apart, that reach `padding` over the border of a map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Window {
    /// x `[N, C, H, W]` -> `[N, C, H', W']` with H' = floor((H + 2 padding - kernel) / stride) + 1.
    ///
    /// # Errors
    /// [`ShapeError`] of `operator` where a window does not fit, or is padded by more than half of itself.
    pub fn pooled(&self, operator: &'static str, x: &Shape) -> Result<[usize; 4], ShapeError> {
        let Self { kernel, stride, padding } = *self;
        let [n, c, h, w] = x.nchw(operator)?;
        ShapeError::unless(kernel > 0 && stride > 0 && padding <= kernel / 2, operator, || {
            format!("kernel {kernel}, stride {stride}, padding {padding}: the padding may be half the kernel at most")
        })?;
        ShapeError::unless(h.min(w) > 0 && h.min(w) + 2 * padding >= kernel, operator, || {
            format!("{x} with padding {padding} is smaller than a window of {kernel}")
        })?;
        let along = |extent: usize| (extent + 2 * padding - kernel) / stride + 1;
        Ok([n, c, along(h), along(w)])
    }

    /// The `override` constants of a kernel of one invocation for each of `elements`.
    pub fn constants(&self, elements: usize, x: &Shape, y: &Shape) -> Vec<(&'static str, f64)> {
        let (x, y) = (x.extents(), y.extents());
        vec![
            ("ELEMENTS", elements as f64),
            ("HEIGHT", x[2] as f64),
            ("WIDTH", x[3] as f64),
            ("OUT_HEIGHT", y[2] as f64),
            ("OUT_WIDTH", y[3] as f64),
            ("KERNEL", self.kernel as f64),
            ("STRIDE", self.stride as f64),
            ("PADDING", self.padding as f64),
        ]
    }
}
