//! Gaussian peaks at joints.

use super::kernels::{JOINTS, check_sigma, samples_and_joints};
use crate::ir::Argument::{Input, Output};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, folded, take};
use crate::ops::OperatorCase;

/// joints \[N, J, 3\] -> (maps \[N, J, height, width\], weights \[N, J, 1, 1\]).
///
/// A joint is x and y in heat-map pixels, and more than 0 where it is labelled. Its map is a Gaussian with peak 1 at
/// (floor(x + 0.5), floor(y + 0.5)), cut off where |dx| or |dy| is more than 3 sigma, as in the public HRNet code. The
/// weight is 1; it is 0, and so is the map, where the joint is unlabelled or no pixel of the map is within the
/// cut-off. (The public code keeps weight 1 for a window that ends just before the first row or column, and rounds
/// towards 0 what lies left of or above the map.) It has no gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JointTargets {
    /// Rows of the maps.
    pub height: usize,
    /// Columns of the maps.
    pub width: usize,
    /// Standard deviation in heat-map pixels, more than 0.
    pub sigma: f32,
}

impl Operator for JointTargets {
    fn name(&self) -> &'static str {
        "targets_joints"
    }

    fn attributes(&self) -> String {
        format!("size={}x{} sigma={}", self.height, self.width, self.sigma)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [joints] = take(self.name(), inputs)?;
        let (samples, count) = samples_and_joints(self.name(), joints)?;
        check_sigma(self.name(), self.sigma)?;
        Ok(vec![[samples, count, self.height, self.width].into(), [samples, count, 1, 1].into()])
    }

    fn gradient(&self, _: &mut Graph, _: &Node, _: &[Option<ValueId>]) -> Result<Vec<Option<ValueId>>, ShapeError> {
        Ok(vec![None])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let maps = case.outputs[1].elements();
        let dispatch = Dispatch {
            kernel: &JOINTS,
            constants: vec![
                ("MAPS", maps as f64),
                ("HEIGHT", self.height as f64),
                ("WIDTH", self.width as f64),
                ("SIGMA", f64::from(self.sigma)),
            ],
            bindings: vec![Input(0), Output(0), Output(1)],
            workgroups: folded(maps),
        };
        vec![Variant::new("plain", vec![dispatch])]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (mut maps, mut weights) = (Vec::new(), Vec::new());
        let sigma = f64::from(self.sigma);
        for joint in inputs[0].chunks_exact(3) {
            let (middle_x, middle_y) = ((joint[0] + 0.5).floor(), (joint[1] + 0.5).floor());
            let mut touches = false;
            for y in 0..self.height {
                for x in 0..self.width {
                    let (dx, dy) = (x as f64 - middle_x, y as f64 - middle_y);
                    let inside = dx.abs() <= 3.0 * sigma && dy.abs() <= 3.0 * sigma;
                    touches |= inside;
                    let value = (-(dx * dx + dy * dy) / (2.0 * sigma * sigma)).exp();
                    maps.push(if inside && joint[2] > 0.0 { value } else { 0.0 });
                }
            }
            weights.push(if touches && joint[2] > 0.0 { 1.0 } else { 0.0 });
        }
        vec![maps, weights]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let mut outputs = self.reference(shapes, inputs);
        // An exponential of -a carries the rounding of a.
        outputs[0].iter_mut().filter(|value| **value > 0.0).for_each(|value| *value *= 1.0 - value.ln());
        outputs
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(8.0 * outputs[0].elements() as f64, inputs, outputs)
    }
}

/// Inside, unlabelled, at half a pixel, over an edge, with a window that touches the first column, the last row and neither,
/// and two joints on one spot.
pub(super) fn places() -> Vec<f32> {
    [
        [5.3, 7.8, 1.0],
        [4.0, 4.0, 0.0],
        [8.5, 2.5, 1.0],
        [-3.2, 6.0, 1.0],
        [-6.4, 3.0, 1.0],
        [3.0, 17.4, 1.0],
        [-6.6, 3.0, 1.0],
        [3.0, 17.6, 1.0],
        [7.25, 9.5, 1.0],
        [7.25, 9.5, 1.0],
    ]
    .concat()
}

/// The cases of this file's operator.
pub(super) fn cases() -> Vec<OperatorCase> {
    use crate::ops::Fill::Given;
    let peaks = |height, width, sigma| JointTargets { height, width, sigma };
    vec![
        OperatorCase::new(peaks(12, 9, 2.0), &[[2, 5, 3]]).fill(0, Given(places())),
        OperatorCase::new(peaks(16, 11, 1.5), &[[1, 10, 3]]).fill(0, Given(places())),
        OperatorCase::new(peaks(1, 1, 2.0), &[[1, 1, 3]]).fill(0, Given(vec![0.3, -0.2, 1.0])),
    ]
}
