//! Layers that take one element at a time.

use crate::ir::{ShapeError, ValueId};
use crate::nn::Network;
use crate::ops::add::Add;
use crate::ops::relu::Relu;

impl Network {
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
}
