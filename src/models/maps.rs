//! What a network predicts, and what it asks of its input.

use crate::ir::{ShapeError, ValueId};
use crate::nn::Network;

/// What a network predicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeatMaps {
    /// `[N, J, H / 4, W / 4]`: those that are decoded.
    pub joints: ValueId,
    /// How far the targets of these maps are [blurred](crate::ops::targets::BlurredTargets), where targets are.
    pub blur: usize,
    /// The joint maps that training judges before those, in the order in which they are computed: of earlier stacks or stages,
    /// and of coarser levels.
    pub sides: Vec<SideMaps>,
    /// `[N, J, 2]`: the expectations of the softmax of `joints`, in [integral pose regression](super::ModelConfig::integral).
    pub coordinates: Option<ValueId>,
    /// `[N, B, H / 4, W / 4]`, for networks that predict bones.
    pub bones: Option<ValueId>,
    /// What the attention blocks have gated with.
    pub gates: AttentionGates,
}

impl HeatMaps {
    /// Blur of the finest targets but those of a last stage.
    pub(super) const BLUR: usize = 7;

    /// Joint maps alone.
    pub(super) fn of_joints(joints: ValueId) -> Self {
        let (sides, gates) = (Vec::new(), AttentionGates::default());
        Self { joints, blur: Self::BLUR, sides, coordinates: None, bones: None, gates }
    }
}

/// Joint maps that are judged in training and not decoded: a side output, or intermediate supervision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SideMaps {
    /// `[N, J, H / 4, W / 4]`.
    pub maps: ValueId,
    /// Whether they are of a level that only finds what is easy: it learns the joints that can be seen, from wider targets, and
    /// has a loss of its own. The others are judged as those that are decoded.
    pub coarse: bool,
    /// As [`HeatMaps::blur`].
    pub blur: usize,
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

/// A network that halves the picture so often that its sides must be multiples of `multiple`.
pub(super) fn check_input_size(
    net: &Network,
    image: ValueId,
    body: &'static str,
    multiple: usize,
) -> Result<(), ShapeError> {
    let [_, _, h, w] = net.graph.shape(image).nchw(body)?;
    ShapeError::unless(h > 0 && w > 0 && h.is_multiple_of(multiple) && w.is_multiple_of(multiple), body, || {
        format!("the input size {h}x{w} is not a multiple of {multiple} in both directions")
    })
}

/// Height and width.
pub(super) fn size_of(net: &Network, x: ValueId) -> Result<[usize; 2], ShapeError> {
    let [_, _, height, width] = net.graph.shape(x).nchw("size")?;
    Ok([height, width])
}
