//! What a network predicts, and what it asks of its input.

use crate::ir::{ShapeError, ValueId};
use crate::nn::Network;

/// What a network predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeatMaps {
    /// `[N, J, H / 4, W / 4]`.
    pub joints: ValueId,
    /// `[N, B, H / 4, W / 4]`, for networks that predict bones.
    pub bones: Option<ValueId>,
    /// What the attention blocks have gated with.
    pub gates: AttentionGates,
}

/// The gates of DITN's attention blocks in front of the sigmoid: features are multiplied by 1 + sigmoid(gate). `None`
/// where the network has no such block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttentionGates {
    /// `[N, 2B, 1, 1]`: the first and the second joint of each bone.
    pub channel: Option<ValueId>,
    /// `[N, J, H / 4, W / 4]`.
    pub spatial: Option<ValueId>,
}

/// Both bodies halve the picture five times.
pub(super) fn check_input_size(net: &Network, image: ValueId, body: &'static str) -> Result<(), ShapeError> {
    let [_, _, h, w] = net.graph.shape(image).nchw(body)?;
    ShapeError::unless(h > 0 && w > 0 && h % 32 == 0 && w % 32 == 0, body, || {
        format!("the input size {h}x{w} is not a multiple of 32 in both directions")
    })
}
