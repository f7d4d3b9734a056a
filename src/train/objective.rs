//! What pose training minimises: the losses of the heat maps, as nodes of the graph.

use crate::ir::{Graph, ShapeError, ValueId};
use crate::models::HeatMaps;
use crate::nn::Training;
use crate::ops::loss::{LossKind, MapLoss};

/// total = joints + bone_weight * bones (Equation 10).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// Loss of the joint heat maps.
    pub loss: LossKind,
    /// Loss of the bone heat maps.
    pub bone_loss: LossKind,
    /// Lambda.
    pub bone_weight: f32,
}

/// Target maps `[N, M, H, W]` and the weights of the maps `[N, M, 1, 1]`.
#[derive(Debug, Clone, Copy)]
pub struct Targets {
    /// The maps.
    pub maps: ValueId,
    /// Their weights.
    pub weights: ValueId,
}

/// The losses in the graph.
#[derive(Debug, Clone, Copy)]
pub struct Losses {
    /// Loss of the joint heat maps `[1]`.
    pub joints: ValueId,
    /// Loss of the bone heat maps `[1]`, for networks that predict bones.
    pub bones: Option<ValueId>,
}

impl Objective {
    /// Appends the losses of `maps`. `bone_targets` is asked for only where the network predicts bones.
    ///
    /// # Errors
    /// [`ShapeError`] where maps and targets differ in shape.
    pub fn append(
        &self,
        graph: &mut Graph,
        maps: HeatMaps,
        joint_targets: Targets,
        bone_targets: impl FnOnce(&mut Graph) -> Result<Targets, ShapeError>,
    ) -> Result<Losses, ShapeError> {
        let append = |graph: &mut Graph, kind, prediction, targets: Targets, name: &str| {
            graph.scoped_as(&format!("{name} loss"), |graph| {
                graph.apply_one(MapLoss { kind }, &[prediction, targets.maps, targets.weights])
            })
        };
        let joints = append(graph, self.loss, maps.joints, joint_targets, "joint")?;
        let Some(bone_maps) = maps.bones else { return Ok(Losses { joints, bones: None }) };
        let targets = bone_targets(graph)?;
        let bones = append(graph, self.bone_loss, bone_maps, targets, "bone")?;
        Ok(Losses { joints, bones: Some(bones) })
    }

    /// The training that minimises the total.
    pub fn training(&self, losses: &Losses) -> Training {
        let training = Training::minimize(losses.joints);
        match losses.bones {
            Some(bones) => training.plus(bones, self.bone_weight),
            None => training,
        }
    }

    /// joints + bone_weight * bones.
    pub fn total(&self, joints: f32, bones: f32) -> f32 {
        joints + self.bone_weight * bones
    }
}
