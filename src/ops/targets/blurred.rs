//! Blurred pixels at joints: the targets of cascaded pyramid networks (Chen et al., CVPR 2018) and of what follows them.

use super::kernels::{BLURRED, BLURRED_VEC4, samples_and_joints};
use crate::ir::Argument::{Input, Output, Table};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, take};
use crate::ops::{OperatorCase, blur};

/// The largest value of a blurred target.
pub const PEAK: f32 = 255.0;

/// joints \[N, J, 3\] -> (maps \[N, J, height, width\], weights \[N, J, 1, 1\]).
///
/// A joint is x and y in heat-map pixels, and 0 where it is not labelled, 1 where it is labelled but hidden, 2 where it is
/// visible. Its map is what `cv2.GaussianBlur(map, (blur, blur), 0)` makes of one pixel at (floor(x), floor(y)), over its
/// largest value, times [`PEAK`]: weights 1 4 6 4 1 for a blur of 5, 2 7 14 18 14 7 2 for 7, a Gaussian of deviation
/// 0.15 blur + 0.35 for others, cut off at blur / 2 and mirrored at the border, whose pixels do not repeat. The weight is
/// 1; it is 0, and so is the map, where the joint is unlabelled or its pixel is not in the map. It has no gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlurredTargets {
    /// Rows of the maps, more than blur / 2.
    pub height: usize,
    /// Columns of the maps, more than blur / 2.
    pub width: usize,
    /// Side of the blur in pixels: odd, 5 or more.
    pub blur: usize,
    /// Only visible joints have a peak, and the weight of every joint is 1: what is hidden is to be left out of the map.
    pub visible_only: bool,
}

impl BlurredTargets {
    /// A row of `extent` pixels that is 1 at `place`, blurred.
    fn blurred_row(&self, place: usize, extent: usize) -> Vec<f64> {
        let (taps, reach) = (blur::taps(self.blur), (self.blur / 2) as isize);
        let mut row = vec![0.0; extent];
        for (pixel, value) in row.iter_mut().enumerate() {
            for step in -reach..=reach {
                if blur::mirrored(pixel as isize + step, extent) == place {
                    *value += taps[step.unsigned_abs()];
                }
            }
        }
        row
    }
}

impl Operator for BlurredTargets {
    fn name(&self) -> &'static str {
        "targets_blurred"
    }

    fn attributes(&self) -> String {
        let visible_only = if self.visible_only { " visible-only" } else { "" };
        format!("size={}x{} blur={}{visible_only}", self.height, self.width, self.blur)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [joints] = take(self.name(), inputs)?;
        let (samples, count) = samples_and_joints(self.name(), joints)?;
        blur::check(self.name(), self.blur, [self.height, self.width])?;
        Ok(vec![[samples, count, self.height, self.width].into(), [samples, count, 1, 1].into()])
    }

    fn gradient(&self, _: &mut Graph, _: &Node, _: &[Option<ValueId>]) -> Result<Vec<Option<ValueId>>, ShapeError> {
        Ok(vec![None])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let maps = case.outputs[1].elements();
        let constants = vec![
            ("MAPS", maps as f64),
            ("HEIGHT", self.height as f64),
            ("WIDTH", self.width as f64),
            ("REACH", (self.blur / 2) as f64),
            ("PEAK", f64::from(PEAK)),
            ("VISIBLE_ONLY", f64::from(u8::from(self.visible_only))),
        ];
        let variant = |name, kernel| {
            let bindings = vec![Input(0), Table(0), Output(0), Output(1)];
            let dispatch = Dispatch::per_workgroup(kernel, maps, constants.clone(), bindings);
            Variant::new(name, vec![dispatch]).with_tables(vec![blur::table(&blur::taps(self.blur))])
        };
        let mut variants = vec![variant("plain", &BLURRED)];
        if self.width.is_multiple_of(4) {
            variants.insert(0, variant("vec4", &BLURRED_VEC4));
        }
        variants
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (mut maps, mut weights) = (Vec::new(), Vec::new());
        for joint in inputs[0].chunks_exact(3) {
            let (x, y) = (joint[0].floor(), joint[1].floor());
            let inside = x >= 0.0 && x < self.width as f64 && y >= 0.0 && y < self.height as f64;
            let counts = inside && joint[2] > if self.visible_only { 1.0 } else { 0.0 };
            if counts {
                let column = self.blurred_row(y as usize, self.height);
                let row = self.blurred_row(x as usize, self.width);
                let largest = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
                let scale = f64::from(PEAK) / (largest(&column) * largest(&row));
                maps.extend(column.iter().flat_map(|y| row.iter().map(move |x| scale * y * x)));
            } else {
                maps.resize(maps.len() + self.height * self.width, 0.0);
            }
            weights.push(if counts || self.visible_only { 1.0 } else { 0.0 });
        }
        vec![maps, weights]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        // No term is below 0.
        self.reference(shapes, inputs)
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(6.0 * outputs[0].elements() as f64, inputs, outputs)
    }
}

/// The cases of this file's operator.
pub(super) fn cases() -> Vec<OperatorCase> {
    use crate::ops::Fill::Given;
    // Inside, unlabelled, hidden, next to and in corners, on the last pixel, outside by less than a pixel.
    let joints: Vec<f32> = [
        [5.3, 7.8, 2.0],
        [4.0, 4.0, 0.0],
        [6.5, 2.5, 1.0],
        [1.0, 0.99, 2.0],
        [0.0, 0.0, 2.0],
        [10.99, 11.99, 2.0],
        [10.0, 1.7, 1.0],
        [-0.01, 3.0, 2.0],
        [3.0, 12.0, 2.0],
        [11.0, 9.5, 2.0],
    ]
    .concat();
    let case = |[height, width, blur]: [usize; 3], visible_only, shape: [usize; 3]| {
        OperatorCase::new(BlurredTargets { height, width, blur, visible_only }, &[shape])
    };
    let realistic = (0..2 * 17).flat_map(|joint| [joint as f32 * 1.43, joint as f32 * 1.91, (joint % 3) as f32]);
    vec![
        case([12, 11, 5], false, [2, 5, 3]).fill(0, Given(joints.clone())),
        case([12, 12, 7], false, [1, 10, 3]).fill(0, Given(joints.clone())),
        case([12, 11, 9], true, [2, 5, 3]).fill(0, Given(joints.clone())),
        case([12, 12, 11], true, [1, 10, 3]).fill(0, Given(joints.clone())),
        // As small as the blur allows: every pixel has an image beyond both edges.
        case([8, 8, 15], false, [1, 10, 3]).fill(0, Given(joints)),
        case([3, 3, 5], false, [1, 1, 3]).fill(0, Given(vec![1.0, 1.0, 2.0])),
        case([64, 48, 15], false, [2, 17, 3]).fill(0, Given(realistic.collect())),
    ]
}
