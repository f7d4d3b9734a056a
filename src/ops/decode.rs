//! Points from heat maps, as the public HRNet code decodes them.

use crate::gpu::Argument::{Input, Output};
use crate::gpu::{Dispatch, Kernel, folded};
use crate::ir::{Case, Cost, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant};

use super::OperatorCase;

/// The place of each map's largest value, refined by a quarter pixel.
pub static FORWARD: Kernel = Kernel {
    name: "decode/forward",
    summary: "points = place of the largest value, a quarter pixel towards the larger neighbours, and that value",
    source: include_str!("../../shaders/decode/forward.wgsl"),
    subgroups: false,
};

/// maps \[N, J, H, W\] -> points \[N, J, 3\]: x and y in pixels of the map, and the map's largest value.
///
/// The place of the largest value (of equal ones the first, row by row), moved a quarter pixel on each axis towards the
/// larger of the two neighbours where 1 < x < W - 1 and 1 < y < H - 1; (0, 0) where the largest value is not above 0.
/// It has no gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decode;

impl Operator for Decode {
    fn name(&self) -> &'static str {
        "decode"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [maps] = super::take(self.name(), inputs)?;
        let [samples, joints, height, width] = maps.nchw(self.name())?;
        ShapeError::unless(height * width > 0, self.name(), || format!("maps {maps} have no pixels"))?;
        Ok(vec![[samples, joints, 3].into()])
    }

    fn gradient(&self, _: &mut Graph, _: &Node, _: &[Option<ValueId>]) -> Result<Vec<Option<ValueId>>, ShapeError> {
        Ok(vec![None])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let extents = case.inputs[0].extents();
        let maps = extents[0] * extents[1];
        let dispatch = Dispatch {
            kernel: &FORWARD,
            constants: vec![("MAPS", maps as f64), ("HEIGHT", extents[2] as f64), ("WIDTH", extents[3] as f64)],
            bindings: vec![Input(0), Output(0)],
            workgroups: folded(maps),
        };
        vec![Variant::new("plain", vec![dispatch])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (height, width) = (shapes[0].extents()[2], shapes[0].extents()[3]);
        let mut points = Vec::new();
        for map in inputs[0].chunks_exact(height * width) {
            let mut place = 0;
            for (pixel, value) in map.iter().enumerate() {
                if *value > map[place] {
                    place = pixel;
                }
            }
            let (x, y) = (place % width, place / width);
            let mut point = [x as f64, y as f64];
            if map[place] <= 0.0 {
                point = [0.0; 2];
            } else if 1 < x && x < width - 1 && 1 < y && y < height - 1 {
                for (coordinate, step) in point.iter_mut().zip([1, width]) {
                    let slope = map[place + step] - map[place - step];
                    *coordinate += if slope == 0.0 { 0.0 } else { 0.25 * slope.signum() };
                }
            }
            points.extend(point);
            points.push(map[place]);
        }
        vec![points]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(inputs[0].elements() as f64, inputs, outputs)
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::{Distinct, Uniform};
    vec![
        OperatorCase::new(Decode, &[[3, 5, 9, 7]]).fill(0, Distinct),
        OperatorCase::new(Decode, &[[2, 3, 64, 48]]),
        OperatorCase::new(Decode, &[[1, 1, 1, 1]]),
        OperatorCase::new(Decode, &[[2, 2, 4, 4]]).fill(0, Uniform(-1.0, -0.5)),
    ]
}

/// The kernels of this file.
pub fn kernels() -> Vec<&'static Kernel> {
    vec![&FORWARD]
}
