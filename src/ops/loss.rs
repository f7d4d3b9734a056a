//! Losses between maps: mean squared error, focal L2, smooth L1 and online hard keypoint mining.

use crate::ir::Argument::{self, Input, Output, Scratch};
use crate::ir::{
    Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, absolute, folded, take,
};

use super::OperatorCase;
use super::shaders::kernels;

kernels! { "loss":
    MAP_LOSSES, "map_losses", "losses[map] = weight[map] * mean over the map's pixels of loss(prediction, target)";
    HARDEST, "hardest", "kept[n, m] = values[n, m] where map m is among sample n's with the largest losses, else 0";
    TOTAL, "total", "total = scale * sum of losses";
    BACKWARD_PREDICTION, "backward_prediction", "dprediction = dloss * weight[map] / elements * derivative of the loss";
}

/// Below this target value a pixel counts as background for the focal losses.
const FOCAL_THRESHOLD: f32 = 0.01;

/// What a pixel with prediction p and target t costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossKind {
    /// (p - t)^2.
    Mse,
    /// (p - t)^2 |1 - s|^2 with s = 1 - p where t < 0.01 and s = p elsewhere: easy pixels weigh little on both sides
    /// of the threshold.
    FocalL2,
    /// (p - t)^2 |f|^2 with f = 1 - p where t < 0.01 and f = t elsewhere: Equations 6 and 7 of the DITN paper to the
    /// letter.
    FocalL2Printed,
    /// (p - t)^2 / 2 where |p - t| < 1, |p - t| - 1/2 elsewhere.
    SmoothL1,
    /// Online hard keypoint mining: (p - t)^2, but only each sample's maps with the largest losses count; of equal
    /// ones the first.
    Ohkm {
        /// How many maps of a sample count; all where it has no more.
        hardest: usize,
    },
}

impl LossKind {
    /// The kernels' constant `KIND`.
    fn number(self) -> f64 {
        match self {
            Self::Mse | Self::Ohkm { .. } => 0.0,
            Self::FocalL2 => 1.0,
            Self::FocalL2Printed => 2.0,
            Self::SmoothL1 => 3.0,
        }
    }

    /// Its [`Operator::attributes`].
    fn attributes(self) -> String {
        match self {
            Self::Mse => "kind=mse".to_string(),
            Self::FocalL2 => "kind=focal-l2".to_string(),
            Self::FocalL2Printed => "kind=focal-l2-printed".to_string(),
            Self::SmoothL1 => "kind=smooth-l1".to_string(),
            Self::Ohkm { hardest } => format!("kind=ohkm hardest={hardest}"),
        }
    }

    /// How many of a sample's maps count.
    fn counted(self, maps: usize) -> usize {
        match self {
            Self::Ohkm { hardest } => hardest.min(maps),
            _ => maps,
        }
    }

    /// The focal factor and its derivative with respect to the prediction.
    fn focal_factor(self, p: f64, t: f64) -> (f64, f64) {
        let background = t < f64::from(FOCAL_THRESHOLD);
        match (self, background) {
            (Self::FocalL2, true) => (p, 1.0),
            (Self::FocalL2, false) | (Self::FocalL2Printed, true) => (1.0 - p, -1.0),
            (Self::FocalL2Printed, false) => (t, 0.0),
            _ => (1.0, 0.0),
        }
    }

    fn loss(self, p: f64, t: f64) -> f64 {
        let error = p - t;
        match self {
            Self::SmoothL1 if error.abs() < 1.0 => 0.5 * error * error,
            Self::SmoothL1 => error.abs() - 0.5,
            _ => {
                let (factor, _) = self.focal_factor(p, t);
                error * error * factor * factor
            }
        }
    }

    fn derivative(self, p: f64, t: f64) -> f64 {
        let error = p - t;
        match self {
            Self::SmoothL1 => error.clamp(-1.0, 1.0),
            _ => {
                let (factor, slope) = self.focal_factor(p, t);
                2.0 * error * factor * (factor + error * slope)
            }
        }
    }

    /// The sum of the absolute terms of [`LossKind::derivative`].
    fn derivative_magnitude(self, p: f64, t: f64) -> f64 {
        match self {
            Self::SmoothL1 => self.derivative(p, t).abs(),
            _ => {
                let (error, (factor, slope)) = (p - t, self.focal_factor(p, t));
                2.0 * (error * factor).abs() * (factor.abs() + (error * slope).abs())
            }
        }
    }

    /// The reference of [`MAP_LOSSES`].
    fn map_losses(self, pixels: usize, prediction: &[f64], target: &[f64], weight: &[f64]) -> Vec<f64> {
        let mut losses = Vec::with_capacity(weight.len());
        for (map, weight) in weight.iter().enumerate() {
            let mut sum = 0.0;
            for index in map * pixels..(map + 1) * pixels {
                sum += self.loss(prediction[index], target[index]);
            }
            losses.push(weight * sum / pixels as f64);
        }
        losses
    }

    /// The reference of [`HARDEST`]: `values` with those of the maps that do not count set to 0.
    fn keep_counted(self, maps: usize, losses: &[f64], values: &[f64]) -> Vec<f64> {
        let mut kept = vec![0.0; values.len()];
        for first in (0..values.len()).step_by(maps) {
            let mut order: Vec<usize> = (first..first + maps).collect();
            // The sort is stable: of equal losses the first stays first.
            order.sort_by(|&a, &b| losses[b].total_cmp(&losses[a]));
            for &map in &order[..self.counted(maps)] {
                kept[map] = values[map];
            }
        }
        kept
    }

    fn check(self, operator: &'static str) -> Result<(), ShapeError> {
        ShapeError::unless(self != Self::Ohkm { hardest: 0 }, operator, || "mining needs at least one map".to_string())
    }
}

/// (prediction \[N, M, H, W\], target \[N, M, H, W\], weight \[N, M, 1, 1\]) -> loss \[1\]: the mean over all elements
/// (of the maps that count) of weight times what the pixel costs.
///
/// Only the prediction has a gradient; it flows through the focal factor too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapLoss {
    /// What a pixel costs.
    pub kind: LossKind,
}

impl Operator for MapLoss {
    fn name(&self) -> &'static str {
        "loss"
    }

    fn attributes(&self) -> String {
        self.kind.attributes()
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [prediction, target, weight] = take(self.name(), inputs)?;
        self.kind.check(self.name())?;
        check_maps(self.name(), prediction, target, weight)?;
        Ok(vec![[1].into()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dloss) = output_gradients[0] else { return Ok(vec![None; 3]) };
        let inputs = [dloss, node.inputs[0], node.inputs[1], node.inputs[2]];
        let dprediction = graph.apply_one(MapLossPredictionGradient { kind: self.kind }, &inputs)?;
        Ok(vec![Some(dprediction), None, None])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let [samples, maps, ..] = extents(case.inputs[0]);
        let elements = samples * maps;
        let scale = 1.0 / (samples * self.kind.counted(maps)) as f64;
        let total = |losses| Dispatch {
            kernel: &TOTAL,
            constants: vec![("ELEMENTS", elements as f64), ("SCALE", scale)],
            bindings: vec![losses, Output(0)],
            workgroups: [1; 3],
        };
        let map_losses = self.kind.map_losses_dispatch(case.inputs[0], [Input(0), Input(1), Input(2)]);
        if self.kind.counted(maps) == maps {
            let dispatches = vec![map_losses, total(Scratch(0))];
            return vec![Variant::new("plain", dispatches).with_scratch(vec![elements])];
        }
        let hardest = self.kind.hardest_dispatch(case.inputs[0], Scratch(0), Scratch(1));
        let dispatches = vec![map_losses, hardest, total(Scratch(1))];
        vec![Variant::new("plain", dispatches).with_scratch(vec![elements; 2])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let [samples, maps, height, width] = extents(shapes[0]);
        let losses = self.kind.map_losses(height * width, inputs[0], inputs[1], inputs[2]);
        let kept = self.kind.keep_counted(maps, &losses, &losses);
        vec![vec![kept.iter().sum::<f64>() / (samples * self.kind.counted(maps)) as f64]]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        // Differences of inputs are exact but for their own rounding, and no pixel's loss is negative.
        self.reference(shapes, &[inputs[0], inputs[1], &absolute(inputs[2])])
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(6.0 * inputs[0].elements() as f64, inputs, outputs)
    }
}

/// (dloss \[1\], prediction, target, weight as of [`MapLoss`]) -> dprediction \[N, M, H, W\].
///
/// Mining computes the losses of the maps again to choose the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapLossPredictionGradient {
    /// What a pixel costs.
    pub kind: LossKind,
}

impl MapLossPredictionGradient {
    /// The reference, with `derivative` of each pixel's prediction and target.
    fn of_derivatives(
        &self,
        shapes: &[&Shape],
        inputs: &[&[f64]],
        derivative: impl Fn(LossKind, f64, f64) -> f64,
    ) -> Vec<f64> {
        let [samples, maps, height, width] = extents(shapes[1]);
        let pixels = height * width;
        let (dloss, prediction, target) = (inputs[0][0], inputs[1], inputs[2]);
        let losses = self.kind.map_losses(pixels, prediction, target, inputs[3]);
        let weight = self.kind.keep_counted(maps, &losses, inputs[3]);
        let counted = samples * self.kind.counted(maps) * pixels;
        let mut dprediction = vec![0.0; prediction.len()];
        for (map, weight) in weight.iter().enumerate() {
            let scale = dloss * weight / counted as f64;
            for index in map * pixels..(map + 1) * pixels {
                dprediction[index] = scale * derivative(self.kind, prediction[index], target[index]);
            }
        }
        dprediction
    }
}

impl Operator for MapLossPredictionGradient {
    fn name(&self) -> &'static str {
        "loss_backward"
    }

    fn attributes(&self) -> String {
        self.kind.attributes()
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dloss, prediction, target, weight] = take(self.name(), inputs)?;
        self.kind.check(self.name())?;
        ShapeError::unless(dloss.extents() == [1], self.name(), || format!("gradient {dloss} of the loss is not [1]"))?;
        check_maps(self.name(), prediction, target, weight)?;
        Ok(vec![prediction.clone()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let [samples, maps, height, width] = extents(case.inputs[1]);
        let elements = samples * maps;
        let counted = samples * self.kind.counted(maps) * height * width;
        let backward = |weight| Dispatch {
            kernel: &BACKWARD_PREDICTION,
            constants: vec![
                ("KIND", self.kind.number()),
                ("MAPS", elements as f64),
                ("PIXELS", (height * width) as f64),
                ("SCALE", 1.0 / counted as f64),
            ],
            bindings: vec![Input(0), Input(1), Input(2), weight, Output(0)],
            workgroups: folded(elements),
        };
        if self.kind.counted(maps) == maps {
            return vec![Variant::new("plain", vec![backward(Input(3))])];
        }
        // A map that does not count is one of weight 0.
        let map_losses = self.kind.map_losses_dispatch(case.inputs[1], [Input(1), Input(2), Input(3)]);
        let hardest = self.kind.hardest_dispatch(case.inputs[1], Input(3), Scratch(1));
        let dispatches = vec![map_losses, hardest, backward(Scratch(1))];
        vec![Variant::new("plain", dispatches).with_scratch(vec![elements; 2])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![self.of_derivatives(shapes, inputs, LossKind::derivative)]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![absolute(&self.of_derivatives(shapes, inputs, LossKind::derivative_magnitude))]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(8.0 * inputs[1].elements() as f64, inputs, outputs)
    }
}

impl LossKind {
    /// The weighted losses of all maps into scratch tensor 0.
    fn map_losses_dispatch(self, prediction: &Shape, inputs: [Argument; 3]) -> Dispatch {
        let [samples, maps, height, width] = extents(prediction);
        let [prediction, target, weight] = inputs;
        Dispatch {
            kernel: &MAP_LOSSES,
            constants: vec![
                ("KIND", self.number()),
                ("MAPS", (samples * maps) as f64),
                ("PIXELS", (height * width) as f64),
            ],
            bindings: vec![prediction, target, weight, Scratch(0)],
            workgroups: folded(samples * maps),
        }
    }

    /// `values` of the maps that count by the losses in scratch tensor 0.
    fn hardest_dispatch(self, prediction: &Shape, values: Argument, kept: Argument) -> Dispatch {
        let [samples, maps, ..] = extents(prediction);
        Dispatch {
            kernel: &HARDEST,
            constants: vec![("SAMPLES", samples as f64), ("MAPS", maps as f64), ("HARDEST", self.counted(maps) as f64)],
            bindings: vec![Scratch(0), values, kept],
            workgroups: folded((samples * maps).div_ceil(64)),
        }
    }
}

fn check_maps(operator: &'static str, prediction: &Shape, target: &Shape, weight: &Shape) -> Result<(), ShapeError> {
    let [samples, maps, ..] = prediction.nchw(operator)?;
    ShapeError::unless(prediction.elements() > 0, operator, || format!("{prediction} has no elements to average"))?;
    ShapeError::unless(prediction == target, operator, || {
        format!("prediction {prediction} and target {target} differ")
    })?;
    ShapeError::unless(weight.extents() == [samples, maps, 1, 1], operator, || {
        format!("weight {weight} is not [{samples}, {maps}, 1, 1], one for each map of {prediction}")
    })
}

/// Extents of maps that [`check_maps`] has accepted.
fn extents(maps: &Shape) -> [usize; 4] {
    let extents = maps.extents();
    [extents[0], extents[1], extents[2], extents[3]]
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::{Uniform, Weights};
    let kinds = [
        LossKind::Mse,
        LossKind::FocalL2,
        LossKind::FocalL2Printed,
        LossKind::SmoothL1,
        LossKind::Ohkm { hardest: 2 },
        LossKind::Ohkm { hardest: 8 },
    ];
    let mut cases = Vec::new();
    for kind in kinds {
        // Targets on both sides of the focal threshold, errors on both sides of the bend of smooth L1.
        let forward = |[n, m, h, w]: [usize; 4]| {
            OperatorCase::new(MapLoss { kind }, &[[n, m, h, w], [n, m, h, w], [n, m, 1, 1]])
                .fill(0, Uniform(-2.0, 2.0))
                .fill(1, Uniform(-0.5, 1.0))
        };
        cases.push(forward([2, 5, 7, 3]).fill(2, Uniform(0.5, 1.5)).differentiate(&[0]));
        cases.push(forward([3, 16, 12, 9]).fill(2, Weights));
        cases.push(forward([1, 1, 1, 1]).fill(2, Uniform(0.5, 1.5)));
        let maps: Shape = [2, 5, 11, 13].into();
        let shapes = [[1].into(), maps.clone(), maps, [2, 5, 1, 1].into()];
        let backward = OperatorCase::new(MapLossPredictionGradient { kind }, &shapes);
        cases.push(backward.fill(1, Uniform(-2.0, 2.0)).fill(2, Uniform(-0.5, 1.0)).fill(3, Uniform(0.5, 1.5)));
    }
    cases
}
