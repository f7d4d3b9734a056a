//! What pose training minimises: the losses of the heat maps, as nodes of the graph.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ir::{Graph, ShapeError, ValueId};
use crate::models::HeatMaps;
use crate::nn::Training;
use crate::ops::coordinate_loss::CoordinateLoss;
use crate::ops::expectation::SpatialSoftmax;
use crate::ops::loss::{LossKind, MapLoss};

/// What is judged, and how it counts: total = the sum of weight times loss, over the joint maps (the decoded ones and the fine
/// ones before them), the coarse maps before them, the bone maps (Equation 10) and the coordinates, as far as a network has them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Objective {
    /// Loss of the joint heat maps.
    pub loss: LossKind,
    /// What it counts; with 0 it is left out.
    pub joint_weight: f32,
    /// Loss of the coarse joint heat maps: see [`SideMaps::coarse`](crate::models::SideMaps::coarse).
    pub coarse_loss: LossKind,
    /// What it counts; with 0 it is left out.
    pub coarse_weight: f32,
    /// Loss of the bone heat maps.
    pub bone_loss: LossKind,
    /// Lambda.
    pub bone_weight: f32,
    /// What the L1 distance of the coordinates counts in integral pose regression.
    pub coordinate_weight: f32,
    /// In integral pose regression the joint maps are judged behind their softmax, multiplied by this: 2 pi sigma^2 gives the
    /// softmax of a Gaussian of deviation sigma the peak 1 of its target.
    pub softmax_factor: f32,
}

/// Target maps `[N, M, H, W]` and the weights of the maps `[N, M, 1, 1]`; or coordinates `[N, J, 2]` and weights `[N, J, 1]`.
#[derive(Debug, Clone, Copy)]
pub struct Targets {
    /// The maps, or the coordinates.
    pub maps: ValueId,
    /// Their weights.
    pub weights: ValueId,
}

/// One of the losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossTerm {
    /// Of the joint heat maps that are decoded.
    Joints,
    /// Of the bone heat maps.
    Bones,
    /// Of the coordinates.
    Coordinates,
    /// Of joint heat maps before those, by their number: see [`HeatMaps::sides`].
    Side(usize),
}

impl fmt::Display for LossTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joints => f.write_str("joints"),
            Self::Bones => f.write_str("bones"),
            Self::Coordinates => f.write_str("coordinates"),
            Self::Side(number) => write!(f, "side.{number}"),
        }
    }
}

/// The losses in the graph, each `[1]`, with their weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Losses(pub Vec<(LossTerm, ValueId, f32)>);

/// The losses of a batch or a step; 0 is what its network does not have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LossValues {
    /// Of the joint heat maps.
    pub joints: f32,
    /// Of the bone heat maps.
    pub bones: f32,
    /// Of the coordinates.
    pub coordinates: f32,
    /// Of the joint heat maps before the last ones, in their order.
    pub sides: Vec<f32>,
}

impl Objective {
    /// Appends the losses of `maps`. Targets are asked for only where a loss is.
    ///
    /// # Errors
    /// [`ShapeError`] where maps and targets differ in shape, and where nothing is left to be judged.
    pub fn append(
        &self,
        graph: &mut Graph,
        maps: &HeatMaps,
        mut targets: impl FnMut(&mut Graph, LossTerm) -> Result<Targets, ShapeError>,
    ) -> Result<Losses, ShapeError> {
        let mut losses = Losses(Vec::new());
        let mut append = |graph: &mut Graph, term, kind, prediction, weight| {
            let of = targets(graph, term)?;
            let loss = graph.scoped_as(&scope(term), |graph| {
                graph.apply_one(MapLoss { kind }, &[prediction, of.maps, of.weights])
            })?;
            losses.0.push((term, loss, weight));
            Ok::<(), ShapeError>(())
        };
        if self.joint_weight != 0.0 {
            let joints = match maps.coordinates {
                None => maps.joints,
                Some(_) => graph.apply_one(SpatialSoftmax { factor: self.softmax_factor }, &[maps.joints])?,
            };
            append(graph, LossTerm::Joints, self.loss, joints, self.joint_weight)?;
        }
        if let Some(bones) = maps.bones {
            append(graph, LossTerm::Bones, self.bone_loss, bones, self.bone_weight)?;
        }
        for (number, side) in maps.sides.iter().enumerate() {
            let (kind, weight) = match side.coarse {
                true => (self.coarse_loss, self.coarse_weight),
                false => (self.loss, self.joint_weight),
            };
            if weight != 0.0 {
                append(graph, LossTerm::Side(number), kind, side.maps, weight)?;
            }
        }
        if let Some(coordinates) = maps.coordinates.filter(|_| self.coordinate_weight != 0.0) {
            let term = LossTerm::Coordinates;
            let of = targets(graph, term)?;
            let loss = graph.scoped_as(&scope(term), |graph| {
                graph.apply_one(CoordinateLoss, &[coordinates, of.maps, of.weights])
            })?;
            losses.0.push((term, loss, self.coordinate_weight));
        }
        ShapeError::unless(!losses.0.is_empty(), "objective", || "every loss has the weight 0".into())?;
        Ok(losses)
    }
}

/// Where a loss stands in the graph.
fn scope(term: LossTerm) -> String {
    match term {
        LossTerm::Joints => "joint loss".to_string(),
        LossTerm::Bones => "bone loss".to_string(),
        LossTerm::Coordinates => "coordinate loss".to_string(),
        LossTerm::Side(number) => format!("side loss {number}"),
    }
}

impl Losses {
    /// The training that minimises the total; its first outputs are the losses, in their order.
    pub fn training(&self) -> Training {
        Training::minimize_all(self.0.iter().map(|&(_, loss, weight)| (loss, weight)).collect())
    }

    /// The sum of weight times loss, of the losses' values in their order.
    pub fn total(&self, values: &[f32]) -> f32 {
        self.0.iter().zip(values).fold(0.0, |sum, (&(.., weight), value)| sum + weight * value)
    }

    /// The losses' values, given in their order, by what they are of.
    pub fn named(&self, values: &[f32]) -> LossValues {
        let mut named = LossValues::default();
        for (&(term, ..), &value) in self.0.iter().zip(values) {
            match term {
                LossTerm::Joints => named.joints = value,
                LossTerm::Bones => named.bones = value,
                LossTerm::Coordinates => named.coordinates = value,
                LossTerm::Side(number) => {
                    named.sides.resize(named.sides.len().max(number + 1), 0.0);
                    named.sides[number] = value;
                }
            }
        }
        named
    }
}
