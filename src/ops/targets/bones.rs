//! Ridges along bones.

use super::joints::places;
use super::kernels::{BONES, check_sigma, samples_and_joints};
use crate::ir::Argument::{Input, Output, Table};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, folded, take};
use crate::ops::OperatorCase;

/// joints \[N, J, 3\] -> (maps \[N, B, height, width\], weights \[N, B, 1, 1\]).
///
/// A joint is x and y in heat-map pixels, and more than 0 where it is labelled. The map of a bone is
/// exp(-d^2 / (2 sigma^2)), d the distance from a pixel to the segment between the bone's two joints, which are not
/// rounded. The weight is 1; it is 0, and so is the map, unless both are labelled. It has no gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct BoneTargets {
    /// Rows of the maps.
    pub height: usize,
    /// Columns of the maps.
    pub width: usize,
    /// Standard deviation in heat-map pixels, more than 0.
    pub sigma: f32,
    /// The two joints of each bone.
    pub bones: Vec<(usize, usize)>,
}

impl BoneTargets {
    /// The maps and weights, where a pixel's element is `of_pixel` of its value and of the ways from the first joint to the
    /// pixel and to the place of the bone nearest to it.
    fn maps(
        &self,
        shapes: &[&Shape],
        inputs: &[&[f64]],
        of_pixel: impl Fn(f64, [f64; 2], [f64; 2]) -> f64,
    ) -> (Vec<f64>, Vec<f64>) {
        let (mut maps, mut weights) = (Vec::new(), Vec::new());
        let sigma = f64::from(self.sigma);
        for joints in inputs[0].chunks_exact(3 * shapes[0].extents()[1]) {
            for &(start, end) in &self.bones {
                let (start, end) = (&joints[3 * start..3 * start + 3], &joints[3 * end..3 * end + 3]);
                let counts = start[2] > 0.0 && end[2] > 0.0;
                let along = [end[0] - start[0], end[1] - start[1]];
                let squared_length = along[0] * along[0] + along[1] * along[1];
                for y in 0..self.height {
                    for x in 0..self.width {
                        let here = [x as f64 - start[0], y as f64 - start[1]];
                        let share = match squared_length {
                            0.0 => 0.0,
                            _ => ((here[0] * along[0] + here[1] * along[1]) / squared_length).clamp(0.0, 1.0),
                        };
                        let nearest = [share * along[0], share * along[1]];
                        let (dx, dy) = (here[0] - nearest[0], here[1] - nearest[1]);
                        let value = (-(dx * dx + dy * dy) / (2.0 * sigma * sigma)).exp();
                        maps.push(if counts { of_pixel(value, here, nearest) } else { 0.0 });
                    }
                }
                weights.push(if counts { 1.0 } else { 0.0 });
            }
        }
        (maps, weights)
    }
}

impl Operator for BoneTargets {
    fn name(&self) -> &'static str {
        "targets_bones"
    }

    fn attributes(&self) -> String {
        let joints: Vec<usize> = self.bones.iter().flat_map(|&(start, end)| [start, end]).collect();
        format!("size={}x{} sigma={} bones={}", self.height, self.width, self.sigma, crate::ops::list(&joints))
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [joints] = take(self.name(), inputs)?;
        let (samples, count) = samples_and_joints(self.name(), joints)?;
        check_sigma(self.name(), self.sigma)?;
        for &(start, end) in &self.bones {
            ShapeError::unless(start < count && end < count, self.name(), || {
                format!("bone ({start}, {end}) joins joints that {joints} does not have")
            })?;
        }
        let bones = self.bones.len();
        ShapeError::unless(bones > 0, self.name(), || "there is no bone".to_string())?;
        Ok(vec![[samples, bones, self.height, self.width].into(), [samples, bones, 1, 1].into()])
    }

    fn gradient(&self, _: &mut Graph, _: &Node, _: &[Option<ValueId>]) -> Result<Vec<Option<ValueId>>, ShapeError> {
        Ok(vec![None])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let joints = case.inputs[0].extents();
        let dispatch = Dispatch {
            kernel: &BONES,
            constants: vec![
                ("SAMPLES", joints[0] as f64),
                ("JOINTS", joints[1] as f64),
                ("BONES", self.bones.len() as f64),
                ("HEIGHT", self.height as f64),
                ("WIDTH", self.width as f64),
                ("SIGMA", f64::from(self.sigma)),
            ],
            bindings: vec![Input(0), Table(0), Output(0), Output(1)],
            workgroups: folded(case.outputs[1].elements()),
        };
        let bones = self.bones.iter().flat_map(|&(start, end)| [start as u32, end as u32]).collect();
        vec![Variant::new("plain", vec![dispatch]).with_tables(vec![bones])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (maps, weights) = self.maps(shapes, inputs, |value, _, _| value);
        vec![maps, weights]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (maps, weights) = self.maps(shapes, inputs, |value, here, along| {
            // The exponent is a sum of squares of differences, d = here - along, which are as exact as what they are of.
            let term = |axis: usize| {
                let distance = (here[axis] - along[axis]).abs();
                distance * (here[axis].abs() + along[axis].abs()) + 0.5 * distance * distance
            };
            let sigma = f64::from(self.sigma);
            value * (1.0 + (term(0) + term(1)) / (sigma * sigma))
        });
        vec![maps, weights]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(18.0 * outputs[0].elements() as f64, inputs, outputs)
    }
}

/// The cases of this file's operator.
pub(super) fn cases() -> Vec<OperatorCase> {
    use crate::ops::Fill::Given;
    let bones = vec![(0, 2), (2, 1), (3, 0), (4, 3)];
    let ridges = |height, width, sigma| BoneTargets { height, width, sigma, bones: bones.clone() };
    vec![
        OperatorCase::new(ridges(12, 9, 2.0), &[[2, 5, 3]]).fill(0, Given(places())),
        OperatorCase::new(ridges(33, 31, 1.0), &[[1, 10, 3]]).fill(0, Given(places())),
    ]
}
