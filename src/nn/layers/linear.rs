//! The fully connected layer.

use crate::ir::{ShapeError, ValueId};
use crate::nn::{Network, WeightInit};
use crate::ops::linear::Linear;

/// Attributes of a fully connected layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearLayer {
    /// Outputs.
    pub outputs: usize,
    /// A bias for each, starting at 0.
    pub bias: bool,
    /// Initial weights; `None` for [`Network::weight_init`].
    pub init: Option<WeightInit>,
}

impl LinearLayer {
    /// With a bias, initial weights as the network says.
    pub fn new(outputs: usize) -> Self {
        Self { outputs, bias: true, init: None }
    }

    /// Without a bias.
    #[must_use]
    pub fn no_bias(self) -> Self {
        Self { bias: false, ..self }
    }

    /// With other initial weights.
    #[must_use]
    pub fn init(self, init: WeightInit) -> Self {
        Self { init: Some(init), ..self }
    }
}

impl Network {
    /// Fully connected layer, `[N, I]` -> `[N, O]`, with parameters `name.weight` `[O, I]` and, unless left out, `name.bias`
    /// `[O]`.
    ///
    /// # Errors
    /// [`ShapeError`] where `x` is not `[N, I]`: see [`Network::flatten`].
    pub fn linear(&mut self, name: impl ToString, x: ValueId, layer: LinearLayer) -> Result<ValueId, ShapeError> {
        let LinearLayer { outputs, bias, init } = layer;
        self.scope(name, |net| {
            let shape = net.graph.shape(x);
            let &[_, seen] = shape.extents() else {
                return Err(ShapeError::new("linear", format!("{shape} is not [N, I]; flatten it")));
            };
            let mut inputs = vec![x, net.weight([outputs, seen], seen, init)];
            if bias {
                inputs.push(net.bias(outputs));
            }
            net.graph.apply_one(Linear { bias }, &inputs)
        })
    }
}
