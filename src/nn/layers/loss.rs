//! Losses: what ends in one number.

use crate::ir::{ShapeError, ValueId};
use crate::nn::Network;
use crate::ops::softmax_cross_entropy::SoftmaxCrossEntropy;

impl Network {
    /// Cross-entropy of the softmax of `logits` `[N, C]` with `labels` `[N]`, `[1]`: the mean over N. Labels are uploaded
    /// as `u32`; a row whose label is not below C has no loss.
    ///
    /// # Errors
    /// [`ShapeError`] where the shapes are others.
    pub fn softmax_cross_entropy(&mut self, logits: ValueId, labels: ValueId) -> Result<ValueId, ShapeError> {
        self.graph.apply_one(SoftmaxCrossEntropy, &[logits, labels])
    }
}
