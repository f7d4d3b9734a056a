//! The flip test: mirroring, and merging the maps or points of a picture with those of its mirror image.

use crate::ir::Argument::{Input, Output, Table};
use crate::ir::{
    Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, absolute, folded, take,
};

use super::OperatorCase;
use super::shaders::kernels;

kernels! { "flip":
    HORIZONTAL, "horizontal", "y[.., column] = x[.., width - 1 - column]";
    MERGE, "merge", "merged = (maps + maps of the mirrored picture, mirrored back and shifted one pixel to the right) / 2";
    MERGE_POINTS, "merge_points", "merged = (points + points of the mirrored picture, mirrored back) / 2";
}

/// x -> y of the same shape with the last dimension mirrored: y\[.., w\] = x\[.., W - 1 - w\]. It is its own gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlipHorizontal;

impl Operator for FlipHorizontal {
    fn name(&self) -> &'static str {
        "flip_horizontal"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(self.name(), inputs)?;
        ShapeError::unless(x.elements() > 0 && !x.extents().is_empty(), self.name(), || format!("{x} has no columns"))?;
        Ok(vec![x.clone()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        _: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None]) };
        Ok(vec![Some(graph.apply_one(FlipHorizontal, &[dy])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let elements = case.inputs[0].elements();
        let dispatch = Dispatch {
            kernel: &HORIZONTAL,
            constants: vec![("ELEMENTS", elements as f64), ("WIDTH", columns(case.inputs[0]) as f64)],
            bindings: vec![Input(0), Output(0)],
            workgroups: folded(elements.div_ceil(64)),
        };
        vec![Variant::new("plain", vec![dispatch])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![inputs[0].chunks_exact(columns(shapes[0])).flat_map(|row| row.iter().rev().copied()).collect()]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(0.0, inputs, outputs)
    }
}

/// (maps, maps of the mirrored picture) -> merged, all \[N, C, H, W\]: the mean of the maps and the un-flipped ones.
///
/// Un-flipped is u\[n, c, h, w\] = flipped\[n, partner\[c\], h, W - 1 - w\], with `shift` then shifted one pixel to the right,
/// where column 0 keeps its own value: the public HRNet code with `SHIFT_HEATMAP`. It is for evaluation and has no gradient
/// rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlipMerge {
    /// For each map the one of the same body part or bone on the other side, or itself.
    pub partner: Vec<usize>,
    /// Whether the un-flipped maps are shifted one pixel to the right.
    pub shift: bool,
}

impl Operator for FlipMerge {
    fn name(&self) -> &'static str {
        "flip_merge"
    }

    fn attributes(&self) -> String {
        format!("partner={} shift={}", super::list(&self.partner), self.shift)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [maps, flipped] = take(self.name(), inputs)?;
        let [_, channels, ..] = maps.nchw(self.name())?;
        ShapeError::unless(maps == flipped, self.name(), || format!("maps {maps} and flipped maps {flipped} differ"))?;
        check_partners(self.name(), &self.partner, channels, "map", maps)?;
        Ok(vec![maps.clone()])
    }

    fn gradient(&self, _: &mut Graph, _: &Node, _: &[Option<ValueId>]) -> Result<Vec<Option<ValueId>>, ShapeError> {
        Err(ShapeError::new(self.name(), "merging maps of mirrored pictures has no gradient rule"))
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let extents = case.inputs[0].extents();
        let maps = extents[0] * extents[1];
        let dispatch = Dispatch {
            kernel: &MERGE,
            constants: vec![
                ("MAPS", maps as f64),
                ("CHANNELS", extents[1] as f64),
                ("HEIGHT", extents[2] as f64),
                ("WIDTH", extents[3] as f64),
                ("SHIFT", f64::from(u8::from(self.shift))),
            ],
            bindings: vec![Input(0), Input(1), Table(0), Output(0)],
            workgroups: folded(maps),
        };
        let partner = self.partner.iter().map(|&partner| partner as u32).collect();
        vec![Variant::new("plain", vec![dispatch]).with_tables(vec![partner])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let extents = shapes[0].extents();
        let (channels, height, width) = (extents[1], extents[2], extents[3]);
        let (maps, flipped) = (inputs[0], inputs[1]);
        let mut merged = Vec::with_capacity(maps.len());
        for map in 0..extents[0] * channels {
            let source = map / channels * channels + self.partner[map % channels];
            for y in 0..height {
                let row = &maps[(map * height + y) * width..][..width];
                let mut unflipped = flipped[(source * height + y) * width..][..width].to_vec();
                unflipped.reverse();
                if self.shift {
                    unflipped.copy_within(..width - 1, 1);
                }
                merged.extend(row.iter().zip(&unflipped).map(|(a, b)| 0.5 * (a + b)));
            }
        }
        vec![merged]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(2.0 * outputs[0].elements() as f64, inputs, outputs)
    }
}

/// (points, points of the mirrored picture) -> merged, all \[N, J, 3\] of x and y in heat-map pixels and score: the mean of
/// the points and the un-flipped ones.
///
/// Un-flipped is (width - 1/4 - x, y, score) of flipped\[n, partner\[j\]\]: the mirrored picture's pixel i is the picture's
/// pixel 4 width - 1 - i, and a heat-map pixel is 4 pixels. It is for evaluation and has no gradient rule.
#[derive(Debug, Clone, PartialEq)]
pub struct FlipMergePoints {
    /// For each joint the one of the same body part on the other side, or itself.
    pub partner: Vec<usize>,
    /// Columns of the heat maps.
    pub width: f32,
}

impl FlipMergePoints {
    /// The means of `points` and of `flipped`, whose x are `mirror` of what they were.
    fn merged(&self, points: &[f64], flipped: &[f64], mirror: impl Fn(f64) -> f64) -> Vec<f64> {
        let joints = self.partner.len();
        let mut merged = Vec::with_capacity(points.len());
        for (number, point) in points.chunks_exact(3).enumerate() {
            let source = number / joints * joints + self.partner[number % joints];
            let other = &flipped[3 * source..3 * source + 3];
            let other = [mirror(other[0]), other[1], other[2]];
            merged.extend(point.iter().zip(other).map(|(a, b)| 0.5 * (a + b)));
        }
        merged
    }
}

impl Operator for FlipMergePoints {
    fn name(&self) -> &'static str {
        "flip_merge_points"
    }

    fn attributes(&self) -> String {
        format!("partner={} width={}", super::list(&self.partner), self.width)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [points, flipped] = take(self.name(), inputs)?;
        let &[_, joints, 3] = points.extents() else {
            return Err(ShapeError::new(self.name(), format!("points {points} are not [N, J, 3]")));
        };
        ShapeError::unless(points == flipped, self.name(), || {
            format!("points {points} and flipped points {flipped} differ")
        })?;
        check_partners(self.name(), &self.partner, joints, "point", points)?;
        Ok(vec![points.clone()])
    }

    fn gradient(&self, _: &mut Graph, _: &Node, _: &[Option<ValueId>]) -> Result<Vec<Option<ValueId>>, ShapeError> {
        Err(ShapeError::new(self.name(), "merging points of mirrored pictures has no gradient rule"))
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let points = case.inputs[0].elements() / 3;
        let constants =
            vec![("POINTS", points as f64), ("JOINTS", self.partner.len() as f64), ("WIDTH", f64::from(self.width))];
        let bindings = vec![Input(0), Input(1), Table(0), Output(0)];
        let dispatch = Dispatch::per_invocation(&MERGE_POINTS, points, constants, bindings);
        let partner = self.partner.iter().map(|&partner| partner as u32).collect();
        vec![Variant::new("plain", vec![dispatch]).with_tables(vec![partner])]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![self.merged(inputs[0], inputs[1], |x| f64::from(self.width) - 0.25 - x)]
    }

    fn magnitudes(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let [points, flipped] = [inputs[0], inputs[1]].map(absolute);
        vec![self.merged(&points, &flipped, |x| f64::from(self.width).abs() + 0.25 + x)]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(2.0 * outputs[0].elements() as f64, inputs, outputs)
    }
}

/// Refuses partners that are not one for each of the `count` maps or points of a shape, among these.
fn check_partners(
    operator: &'static str,
    partners: &[usize],
    count: usize,
    what: &str,
    shape: &Shape,
) -> Result<(), ShapeError> {
    ShapeError::unless(partners.len() == count, operator, || {
        format!("{} partners for the {count} {what}s of {shape}", partners.len())
    })?;
    for (number, partner) in partners.iter().enumerate() {
        ShapeError::unless(*partner < count, operator, || {
            format!("partner {partner} of {what} {number} is not among the {count} {what}s of {shape}")
        })?;
    }
    Ok(())
}

/// Extent of the last dimension.
fn columns(shape: &Shape) -> usize {
    shape.extents().last().copied().unwrap_or(1)
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::Uniform;
    vec![
        OperatorCase::new(FlipHorizontal, &[[2, 3, 5, 7]]).differentiate(&[0]),
        OperatorCase::new(FlipHorizontal, &[[1, 3, 16, 12]]),
        OperatorCase::new(FlipHorizontal, &[[1]]),
        OperatorCase::new(FlipMerge { partner: vec![2, 1, 0, 4, 3], shift: true }, &[[2, 5, 9, 7]; 2]),
        OperatorCase::new(FlipMerge { partner: vec![1, 2, 0], shift: true }, &[[1, 3, 16, 12]; 2]),
        OperatorCase::new(FlipMerge { partner: vec![1, 0, 2], shift: false }, &[[2, 3, 9, 7]; 2]),
        OperatorCase::new(FlipMerge { partner: vec![0], shift: true }, &[[1, 1, 1, 1]; 2]),
        OperatorCase::new(FlipMergePoints { partner: vec![2, 1, 0, 4, 3], width: 48.0 }, &[[2, 5, 3]; 2])
            .fill(0, Uniform(-1.0, 48.0))
            .fill(1, Uniform(-1.0, 48.0)),
        OperatorCase::new(FlipMergePoints { partner: vec![0], width: 1.0 }, &[[1, 1, 3]; 2]),
    ]
}
