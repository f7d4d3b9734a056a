//! The flip test: mirroring, and merging the maps of a picture with those of its mirror image.

use crate::ir::Argument::{Input, Output, Table};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, folded, take};

use super::OperatorCase;
use super::shaders::kernels;

kernels! { "flip":
    HORIZONTAL, "horizontal", "y[.., column] = x[.., width - 1 - column]";
    MERGE, "merge", "merged = (maps + maps of the mirrored picture, mirrored back and shifted one pixel to the right) / 2";
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
/// Un-flipped is u\[n, c, h, w\] = flipped\[n, partner\[c\], h, W - 1 - w\], then shifted one pixel to the right, where
/// column 0 keeps its own value: the public HRNet code with `SHIFT_HEATMAP`. It is for evaluation and has no gradient
/// rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlipMerge {
    /// For each map the one of the same body part or bone on the other side, or itself.
    pub partner: Vec<usize>,
}

impl Operator for FlipMerge {
    fn name(&self) -> &'static str {
        "flip_merge"
    }

    fn attributes(&self) -> String {
        format!("partner={}", super::list(&self.partner))
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [maps, flipped] = take(self.name(), inputs)?;
        let [_, channels, ..] = maps.nchw(self.name())?;
        ShapeError::unless(maps == flipped, self.name(), || format!("maps {maps} and flipped maps {flipped} differ"))?;
        ShapeError::unless(self.partner.len() == channels, self.name(), || {
            format!("{} partners for the {channels} maps of {maps}", self.partner.len())
        })?;
        for (map, partner) in self.partner.iter().enumerate() {
            ShapeError::unless(*partner < channels, self.name(), || {
                format!("partner {partner} of map {map} is not among the {channels} maps of {maps}")
            })?;
        }
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
                unflipped.copy_within(..width - 1, 1);
                merged.extend(row.iter().zip(&unflipped).map(|(a, b)| 0.5 * (a + b)));
            }
        }
        vec![merged]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(2.0 * outputs[0].elements() as f64, inputs, outputs)
    }
}

/// Extent of the last dimension.
fn columns(shape: &Shape) -> usize {
    shape.extents().last().copied().unwrap_or(1)
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    vec![
        OperatorCase::new(FlipHorizontal, &[[2, 3, 5, 7]]).differentiate(&[0]),
        OperatorCase::new(FlipHorizontal, &[[1, 3, 16, 12]]),
        OperatorCase::new(FlipHorizontal, &[[1]]),
        OperatorCase::new(FlipMerge { partner: vec![2, 1, 0, 4, 3] }, &[[2, 5, 9, 7]; 2]),
        OperatorCase::new(FlipMerge { partner: vec![1, 2, 0] }, &[[1, 3, 16, 12]; 2]),
        OperatorCase::new(FlipMerge { partner: vec![0] }, &[[1, 1, 1, 1]; 2]),
    ]
}
