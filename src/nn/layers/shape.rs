//! Layers that give the same elements other extents, or other tensors.

use crate::ir::{Shape, ShapeError, ValueId};
use crate::nn::Network;
use crate::ops::concat::{Concat, Split};
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

    /// The channels of all inputs one behind the other: `[N, C1, ...]`, `[N, C2, ...]`, ... -> `[N, C1 + C2 + ..., ...]`.
    ///
    /// # Errors
    /// [`ShapeError`] where there is no input, or the inputs differ in more than their channels.
    pub fn concat(&mut self, inputs: &[ValueId]) -> Result<ValueId, ShapeError> {
        self.graph.apply_one(Concat { inputs: inputs.len() }, inputs)
    }

    /// The first `channels[0]` channels, the next `channels[1]`, and so on: the inverse of [`Network::concat`].
    ///
    /// # Errors
    /// [`ShapeError`] where these are not all channels of `x`, or a part has none.
    pub fn split(&mut self, x: ValueId, channels: &[usize]) -> Result<Vec<ValueId>, ShapeError> {
        self.graph.apply(Split { channels: channels.to_vec() }, &[x])
    }
}
