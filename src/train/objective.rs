//! What training minimises and how: the losses of the heat maps and the optimizer's updates, as nodes of the graph.

use crate::graph::{differentiate, recompute};
use crate::ir::{Graph, ShapeError, ValueId};
use crate::models::HeatMaps;
use crate::ops::adamw::AdamW;
use crate::ops::loss::{LossKind, MapLoss};
use crate::ops::loss_scale::{NonFinite, ScaledSeed, UnscaledHyper, UpdateLossScale};

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

/// The losses in the graph, with the inputs through which the host says how much each counts.
#[derive(Debug, Clone, Copy)]
pub struct Losses {
    /// Loss of the joint heat maps `[1]`.
    pub joints: ValueId,
    /// Loss of the bone heat maps `[1]`, for networks that predict bones.
    pub bones: Option<ValueId>,
    joint_seed: ValueId,
    bone_seed: Option<ValueId>,
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
            let loss = graph.scoped_as(&format!("{name} loss"), |graph| {
                graph.apply_one(MapLoss { kind }, &[prediction, targets.maps, targets.weights])
            })?;
            Ok((loss, graph.input(&format!("gradient of the {name} loss"), [1])))
        };
        let (joints, joint_seed) = append(graph, self.loss, maps.joints, joint_targets, "joint")?;
        let Some(bone_maps) = maps.bones else {
            return Ok(Losses { joints, bones: None, joint_seed, bone_seed: None });
        };
        let targets = bone_targets(graph)?;
        let (bones, bone_seed) = append(graph, self.bone_loss, bone_maps, targets, "bone")?;
        Ok(Losses { joints, bones: Some(bones), joint_seed, bone_seed: Some(bone_seed) })
    }

    /// joints + bone_weight * bones.
    pub fn total(&self, joints: f32, bones: f32) -> f32 {
        joints + self.bone_weight * bones
    }
}

impl Losses {
    /// The losses as outputs of a plan.
    pub fn values(&self) -> Vec<ValueId> {
        [Some(self.joints), self.bones].into_iter().flatten().collect()
    }

    /// Each loss with the input that holds its share in the gradient.
    pub fn seeds(&self) -> Vec<(ValueId, ValueId)> {
        let bones = self.bones.zip(self.bone_seed);
        [Some((self.joints, self.joint_seed)), bones].into_iter().flatten().collect()
    }

    /// What to upload once to the inputs of [`Losses::seeds`]: the gradients of the total for the two losses.
    pub fn shares(&self, objective: &Objective) -> Vec<(ValueId, f32)> {
        let bones = self.bone_seed.map(|seed| (seed, objective.bone_weight));
        [Some((self.joint_seed, 1.0)), bones].into_iter().flatten().collect()
    }
}

/// Appends the gradients of the losses for all parameters: (parameter, gradient) of those that the losses depend on.
/// Normalised values are recomputed for them instead of being kept. With the state of a loss scale they are that many
/// times as large.
///
/// # Errors
/// As [`differentiate`].
pub fn append_gradients(
    graph: &mut Graph,
    losses: &Losses,
    loss_scale: Option<ValueId>,
) -> Result<Vec<(ValueId, ValueId)>, ShapeError> {
    let parameters = graph.parameters();
    let forward = graph.nodes().len();
    let mut seeds = losses.seeds();
    if let Some(state) = loss_scale {
        for (_, seed) in &mut seeds {
            *seed = graph.scoped_as("loss scale", |graph| graph.apply_one(ScaledSeed, &[*seed, state]))?;
        }
    }
    let gradients = differentiate(graph, &seeds, &parameters)?;
    recompute(graph, forward)?;
    Ok(parameters.into_iter().zip(gradients).filter_map(|(parameter, gradient)| Some((parameter, gradient?))).collect())
}

/// Appends an AdamW update for each (parameter, gradient), with moments `optimizer.m.NAME` and `optimizer.v.NAME`;
/// returns the input of the optimizer's numbers. With the state of a loss scale the gradients are divided by it, and
/// where one has overflowed nothing is updated but the scale.
///
/// # Errors
/// [`ShapeError`] where a gradient does not match its parameter.
pub fn append_optimizer(
    graph: &mut Graph,
    gradients: &[(ValueId, ValueId)],
    loss_scale: Option<ValueId>,
) -> Result<ValueId, ShapeError> {
    let input = graph.input("hyper", [8]);
    let hyper = match loss_scale {
        None => input,
        Some(state) => graph.scoped_as("loss scale", |graph| {
            let overflow = append_overflow(graph, gradients.iter().map(|&(_, gradient)| gradient).collect())?;
            graph.apply(UpdateLossScale, &[state, overflow])?;
            graph.apply_one(UnscaledHyper, &[input, state, overflow])
        })?,
    };
    for &(parameter, gradient) in gradients {
        let (name, shape) = (graph.value(parameter).name.clone(), graph.shape(parameter).clone());
        let first = graph.state(&format!("optimizer.m.{name}"), shape.clone());
        let second = graph.state(&format!("optimizer.v.{name}"), shape);
        graph.scoped_as(&name, |graph| graph.apply(AdamW, &[parameter, gradient, first, second, hyper]))?;
    }
    Ok(input)
}

/// Appends whether an element of `tensors` is not finite, `[1]`: of a few at a time, then of what that gave, to the last.
fn append_overflow(graph: &mut Graph, mut tensors: Vec<ValueId>) -> Result<ValueId, ShapeError> {
    let mut flags = false;
    loop {
        let found: Result<Vec<_>, _> =
            tensors.chunks(NonFinite::TENSORS).map(|some| graph.apply_one(NonFinite { flags }, some)).collect();
        tensors = found?;
        flags = true;
        if let &[only] = &tensors[..]
            && graph.shape(only).elements() == 1
        {
            return Ok(only);
        }
    }
}
