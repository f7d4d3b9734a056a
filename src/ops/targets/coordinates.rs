//! Joints as coordinates.

use super::joints::places;
use super::kernels::{COORDINATES, samples_and_joints};
use crate::ir::Argument::{Input, Output};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, take};
use crate::ops::OperatorCase;

/// joints \[N, J, 3\] -> (coordinates \[N, J, 2\], weights \[N, J, 1\]): what
/// [`Expectation`](crate::ops::expectation::Expectation) of maps of this size should give.
///
/// A joint is x and y in heat-map pixels, and more than 0 where it is labelled: its coordinates are
/// (x / width - 1/2, y / height - 1/2) then, its weight 1, wherever it lies; else all are 0. It has no gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoordinateTargets {
    /// Rows of the maps.
    pub height: usize,
    /// Columns of the maps.
    pub width: usize,
}

impl CoordinateTargets {
    /// The coordinates, with `half` added to labelled joints', and the weights.
    fn targets(&self, joints: &[f64], half: f64) -> Vec<Vec<f64>> {
        let (mut coordinates, mut weights) = (Vec::new(), Vec::new());
        for joint in joints.chunks_exact(3) {
            if joint[2] > 0.0 {
                coordinates.extend([joint[0] / self.width as f64 + half, joint[1] / self.height as f64 + half]);
                weights.push(1.0);
            } else {
                coordinates.extend([0.0; 2]);
                weights.push(0.0);
            }
        }
        vec![coordinates, weights]
    }
}

impl Operator for CoordinateTargets {
    fn name(&self) -> &'static str {
        "targets_coordinates"
    }

    fn attributes(&self) -> String {
        format!("size={}x{}", self.height, self.width)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [joints] = take(self.name(), inputs)?;
        let (samples, count) = samples_and_joints(self.name(), joints)?;
        let (height, width) = (self.height, self.width);
        ShapeError::unless(height * width > 0, self.name(), || format!("maps of {height}x{width} have no pixels"))?;
        Ok(vec![[samples, count, 2].into(), [samples, count, 1].into()])
    }

    fn gradient(&self, _: &mut Graph, _: &Node, _: &[Option<ValueId>]) -> Result<Vec<Option<ValueId>>, ShapeError> {
        Ok(vec![None])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let joints = case.outputs[1].elements();
        let constants = vec![("JOINTS", joints as f64), ("HEIGHT", self.height as f64), ("WIDTH", self.width as f64)];
        let bindings = vec![Input(0), Output(0), Output(1)];
        vec![Variant::new("plain", vec![Dispatch::per_invocation(&COORDINATES, joints, constants, bindings)])]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        self.targets(inputs[0], -0.5)
    }

    fn magnitudes(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let absolute: Vec<f64> = inputs[0].chunks_exact(3).flat_map(|it| [it[0].abs(), it[1].abs(), it[2]]).collect();
        self.targets(&absolute, 0.5)
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(2.0 * outputs[0].elements() as f64, inputs, outputs)
    }
}

/// The cases of this file's operator.
pub(super) fn cases() -> Vec<OperatorCase> {
    use crate::ops::Fill::{Given, Uniform};
    let targets = |height, width| CoordinateTargets { height, width };
    vec![
        OperatorCase::new(targets(12, 9), &[[2, 5, 3]]).fill(0, Given(places())),
        OperatorCase::new(targets(1, 1), &[[1, 1, 3]]).fill(0, Given(vec![0.3, -0.2, 1.0])),
        OperatorCase::new(targets(64, 48), &[[32, 17, 3]]).fill(0, Uniform(-8.0, 56.0)),
    ]
}
