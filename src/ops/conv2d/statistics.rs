//! A convolution and the statistics of its result, which batch normalisation needs in training.

use super::geometry::Geometry;
use super::{Conv2d, choice};
use crate::ir::{Case, Cost, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant};
use crate::ops::batch_norm::kernels::followed_by_statistics;
use crate::ops::batch_norm::twin;
use crate::ops::{Epilogue, Fill, OperatorCase};

/// The inputs of a [`Conv2d`] without epilogue -> (y `[N, O, OH, OW]`, mean `[O]`, biased variance `[O]` of y's channels).
///
/// Kernels that hold many pixels of a channel at a time write the moments of these, from which the statistics follow
/// without reading y again; behind all others y is read once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dStatistics {
    /// What computes y.
    pub convolution: Conv2d,
}

impl Operator for Conv2dStatistics {
    fn name(&self) -> &'static str {
        "conv2d_with_statistics"
    }

    fn attributes(&self) -> String {
        self.convolution.attributes()
    }

    fn label(&self, inputs: &[&Shape]) -> String {
        self.convolution.label(inputs)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        ShapeError::unless(self.convolution.epilogue == Epilogue::NONE, self.name(), || {
            "statistics are those of a convolution without epilogue".to_string()
        })?;
        let y = self.convolution.geometry(inputs)?.output();
        let channels = Shape::from([y.extents()[1]]);
        Ok(vec![y, channels.clone(), channels])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        ShapeError::unless(output_gradients[1..].iter().all(Option::is_none), self.name(), || {
            "the batch statistics are not differentiated by themselves".to_string()
        })?;
        self.convolution.gradient(graph, node, output_gradients)
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let geometry = Geometry::of(self.convolution.geometry(case.inputs));
        let forward =
            |statistics| choice::forward(&geometry, &self.convolution.pass(case, statistics), case.capabilities);
        let both_ways = |(alone, with): (Variant, Variant)| {
            let with = (with.name != alone.name).then_some(with);
            with.into_iter().chain([followed_by_statistics(alone, case.outputs[0])])
        };
        forward(false).into_iter().zip(forward(true)).flat_map(both_ways).collect()
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let mut outputs = self.convolution.reference(shapes, inputs);
        let y = Geometry::of(self.convolution.geometry(shapes)).output();
        let (mean, variance) = twin::statistics(&y, &outputs[0]);
        outputs.extend([mean, variance]);
        outputs
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        let convolution = self.convolution.cost(inputs, &outputs[..1]);
        // Three operations an element for the statistics.
        Cost::new(convolution.flops + 3.0 * outputs[0].elements() as f64, inputs, outputs)
    }
}

pub(super) fn cases() -> Vec<OperatorCase> {
    // Batch, channels, height, width; outputs, kernel; stride; padding; groups; bias.
    let geometries = [
        ([2, 8, 8, 16], [12, 3, 3], 1, 1, 1, true),
        ([3, 4, 7, 9], [9, 3, 3], 1, 0, 1, false),
        ([3, 4, 6, 10], [5, 1, 1], 1, 0, 1, true),
        ([2, 8, 4, 6], [24, 1, 1], 1, 0, 1, false),
        ([2, 3, 11, 9], [18, 3, 3], 2, 1, 1, true),
        ([2, 6, 9, 9], [6, 3, 3], 1, 1, 3, false),
        ([1, 1, 1, 1], [1, 1, 1], 1, 0, 1, false),
    ];
    let case =
        |(x, [o, kh, kw], stride, padding, groups, bias): ([usize; 4], [usize; 3], usize, usize, usize, bool)| {
            let (stride, padding) = ([stride; 2], [padding; 2]);
            let convolution = Conv2d { stride, padding, groups, bias, epilogue: Epilogue::NONE };
            let mut shapes: Vec<Shape> = vec![x.into(), [o, x[1] / groups, kh, kw].into()];
            shapes.extend(bias.then(|| [o].into()));
            let wanted = if bias { &[0, 1, 2][..] } else { &[0, 1] };
            // Positive inputs, so that the mean is not itself rounding. Where y is stored as F16, the kernels that read it
            // again give the statistics of the rounded y.
            OperatorCase::new(Conv2dStatistics { convolution }, &shapes)
                .fill(0, Fill::Uniform(0.0, 1.0))
                .f16_tolerance(1e-3)
                .differentiate(wanted)
                .differentiate_outputs(1)
        };
    geometries.map(case).to_vec()
}
