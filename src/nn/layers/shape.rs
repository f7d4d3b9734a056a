//! Layers that give the same elements other extents.

use crate::ir::{Shape, ShapeError, ValueId};
use crate::nn::Network;
use crate::ops::reshape::Reshape;

impl Network {
    /// The same elements in the same order with other extents.
    ///
    /// # Errors
    /// [`ShapeError`] where there are not as many elements.
    pub fn reshape(&mut self, x: ValueId, shape: impl Into<Shape>) -> Result<ValueId, ShapeError> {
        let extents = shape.into().extents().to_vec();
        self.graph.apply_one(Reshape { extents }, &[x])
    }

    /// `[N, ...]` -> `[N, I]`, I being the elements of one sample.
    ///
    /// # Errors
    /// [`ShapeError`] for a tensor without extents.
    pub fn flatten(&mut self, x: ValueId) -> Result<ValueId, ShapeError> {
        let extents = self.graph.shape(x).extents();
        let (&samples, sample) =
            extents.split_first().ok_or_else(|| ShapeError::new("flatten", "a single number has no samples"))?;
        let elements = sample.iter().product();
        self.reshape(x, [samples, elements])
    }
}
