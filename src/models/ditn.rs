//! DITN (Li et al. 2023): two decoders on a shared body, and the dynamic transfer of information from bones to joints.
//!
//! Figures and equations are those of *Human Pose Estimation via Dynamic Information Transfer*, Electronics 12, 695.

use super::maps::{AttentionGates, HeatMaps};
use crate::data::Skeleton;
use crate::ir::{ShapeError, ValueId};
use crate::nn::{BatchNormLayer, Conv2dLayer, Network, WeightInit};
use crate::ops::dynamic_conv::DynamicConv;
use crate::ops::gate::Gate;
use crate::ops::gather_channels::{GatherChannels, ScatterAdd};
use crate::ops::global_average_pool::GlobalAveragePool;
use crate::ops::max_pool::MaxPool;

/// Which parts of DITN stand on the body; Table 5 takes them away one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ditn {
    /// The transfer from bones to joints; without it two decoders share a body (multi-task only).
    pub transfer: bool,
    /// The channel attention behind the dynamic convolution.
    pub channel_attention: bool,
    /// The spatial attention in front of the joint heat maps.
    pub spatial_attention: bool,
}

/// Initial weight of the batch normalisations that end in a heat map: the maps start near zero, where most of their
/// targets are, instead of near one.
const HEAT_MAP_WEIGHT: f32 = 0.1;

impl Ditn {
    /// With all its parts.
    pub const FULL: Self = Self { transfer: true, channel_attention: true, spatial_attention: true };

    /// Figure 2. features `[N, C, H, W]` -> joint heat maps `[N, J, H, W]`, bone heat maps `[N, B, H, W]`, gates.
    ///
    /// # Errors
    /// [`ShapeError`] where the maps are too small for the parameter adapter.
    pub fn heat_maps(&self, net: &mut Network, features: ValueId, skeleton: &Skeleton) -> Result<HeatMaps, ShapeError> {
        let joints = net.scope("joint_decoder", |net| decoder(net, features, skeleton.joints.len()))?;
        let bones = net.scope("bone_decoder", |net| decoder(net, features, skeleton.bones.len()))?;
        let (joints, gates) = if self.transfer {
            net.scope("transfer", |net| self.transfer(net, joints, bones, &skeleton.bones))?
        } else {
            (joints, AttentionGates::default())
        };
        Ok(HeatMaps { bones: Some(bones), gates, ..HeatMaps::of_joints(joints) })
    }

    /// Figure 5 and Equations 2 and 3, the dynamic information transfer module: F_J `[N, J, H, W]` and F_B
    /// `[N, B, H, W]` -> joint heat maps `[N, J, H, W]`, for bones that each join two joints.
    fn transfer(
        &self,
        net: &mut Network,
        joints: ValueId,
        bones: ValueId,
        skeleton: &[(usize, usize)],
    ) -> Result<(ValueId, AttentionGates), ShapeError> {
        let mut gates = AttentionGates::default();
        let ends: Vec<usize> = skeleton.iter().flat_map(|&(a, b)| [a, b]).collect();
        let twice: Vec<usize> = (0..skeleton.len()).flat_map(|bone| [bone, bone]).collect();
        let [_, joint_count, _, _] = net.graph.shape(joints).nchw("transfer")?;

        let mixed = net.conv2d("mix", joints, head_conv(joint_count, 1))?;
        let grouped_joints = net.graph.apply_one(GatherChannels { index: ends.clone() }, &[mixed])?;
        let grouped_bones = net.graph.apply_one(GatherChannels { index: twice }, &[bones])?;
        let theta = net.scope("adapter", |net| parameter_adapter(net, grouped_bones, skeleton.len()))?;
        let mut induced = net.graph.apply_one(DynamicConv, &[grouped_joints, theta])?;
        if self.channel_attention {
            let scope = "channel_attention";
            let (weighted, gate) = net.scope(scope, |net| channel_attention(net, induced, skeleton.len()))?;
            (induced, gates.channel) = (weighted, Some(gate));
        }
        let mut refined = net.graph.apply_one(ScatterAdd { index: ends }, &[mixed, induced])?;
        if self.spatial_attention {
            let scope = "spatial_attention";
            let (weighted, gate) = net.scope(scope, |net| spatial_attention(net, refined, joint_count))?;
            (refined, gates.spatial) = (weighted, Some(gate));
        }
        Ok((refined, gates))
    }
}

/// Figure 6a. Bone maps `[N, 2B, H, W]` -> kernels theta `[N, 2B, kh, kw]`; 64x64 maps give 7x7.
///
/// It is that of the parsing-induced learner (Nie et al. 2018), which makes kernels of the features of body parts, without groups
/// and with biases, for a depthwise convolution of the features of the pose.
fn parameter_adapter(net: &mut Network, x: ValueId, bones: usize) -> Result<ValueId, ShapeError> {
    let conv = head_conv(2 * bones, 3).groups(bones);
    let half = MaxPool { kernel: 2, stride: 2, padding: 0 };
    let x = net.conv2d("conv1", x, conv.stride(2).padding(0))?;
    let x = net.graph.apply_one(half, &[x])?;
    let x = net.conv2d("conv2", x, conv)?;
    let x = net.graph.apply_one(half, &[x])?;
    net.conv2d("conv3", x, conv)
}

/// Figure 6b and Equation 4, a 2 -> 2 block a bone: r = K3(f), (1 + sigmoid(K1(avg(r)))) r; and the gate.
fn channel_attention(net: &mut Network, x: ValueId, bones: usize) -> Result<(ValueId, ValueId), ShapeError> {
    let r = conv_bn_relu(net, "residual", x, head_conv(2 * bones, 3).groups(bones), 1.0)?;
    let average = net.graph.apply_one(GlobalAveragePool, &[r])?;
    let gate = conv_bn_relu(net, "gate", average, head_conv(2 * bones, 1).groups(bones), 1.0)?;
    Ok((net.graph.apply_one(Gate, &[r, gate])?, gate))
}

/// Figure 6c and Equation 5: r = K3(f), (1 + sigmoid(DW9(K1(r)))) r; and the gate.
fn spatial_attention(net: &mut Network, x: ValueId, joints: usize) -> Result<(ValueId, ValueId), ShapeError> {
    let r = conv_bn_relu(net, "residual", x, head_conv(joints, 3), HEAT_MAP_WEIGHT)?;
    let point = conv_bn_relu(net, "point", r, head_conv(joints, 1), 1.0)?;
    let gate = conv_bn_relu(net, "depthwise", point, head_conv(joints, 9).groups(joints), 1.0)?;
    Ok((net.graph.apply_one(Gate, &[r, gate])?, gate))
}

/// A convolution of the heads, with the initial weights that the reference has.
fn head_conv(channels: usize, kernel: usize) -> Conv2dLayer {
    Conv2dLayer::new(channels, kernel).init(WeightInit::KaimingUniform)
}

/// Figure 3. C -> 2C by 1x1, 2C -> C by 3x3, plus the input, then 1x1 to `maps`.
fn decoder(net: &mut Network, x: ValueId, maps: usize) -> Result<ValueId, ShapeError> {
    let [_, c, _, _] = net.graph.shape(x).nchw("decoder")?;
    let y = conv_bn_relu(net, "expand", x, head_conv(2 * c, 1), 1.0)?;
    let y = conv_bn_relu(net, "reduce", y, head_conv(c, 3), 1.0)?;
    let y = net.add(y, x)?;
    conv_bn_relu(net, "head", y, head_conv(maps, 1), HEAT_MAP_WEIGHT)
}

/// Convolution `conv`, batch normalisation `bn` whose weights start at `weight`, ReLU.
fn conv_bn_relu(
    net: &mut Network,
    name: &str,
    x: ValueId,
    layer: Conv2dLayer,
    weight: f32,
) -> Result<ValueId, ShapeError> {
    net.scope(name, |net| {
        let x = net.conv2d("conv", x, layer)?;
        let x = net.batch_norm("bn", x, BatchNormLayer::new().weight(weight))?;
        net.relu(x)
    })
}
