//! Layers that change the resolution and have no parameters.

use crate::ir::{ShapeError, ValueId};
use crate::nn::Network;
use crate::ops::upsample::Upsample;

impl Network {
    /// Nearest up-sampling by a whole factor.
    ///
    /// # Errors
    /// [`ShapeError`] where `x` is not `[N, C, H, W]`.
    pub fn upsample(&mut self, x: ValueId, factor: usize) -> Result<ValueId, ShapeError> {
        self.graph.apply_one(Upsample { factor }, &[x])
    }
}
