//! A convolution and the statistics of its result, which batch normalisation needs in training.

use super::choice;
use super::geometry::Geometry;
use super::operators::Conv2dStatistics;
use crate::ir::{Case, Cost, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant};
use crate::ops::Epilogue;
use crate::ops::batch_norm::kernels::followed_by_statistics;
use crate::ops::batch_norm::reference;

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
            with.into_iter().chain([followed_by_statistics(alone, case.outputs[0], case.capabilities)])
        };
        forward(false).into_iter().zip(forward(true)).flat_map(both_ways).collect()
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let mut outputs = self.convolution.reference(shapes, inputs);
        let y = Geometry::of(self.convolution.geometry(shapes)).output();
        let (mean, variance) = reference::statistics(&y, &outputs[0]);
        outputs.extend([mean, variance]);
        outputs
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let y = self.convolution.reference(shapes, inputs).remove(0);
        let mut outputs = self.convolution.magnitudes(shapes, inputs);
        let shape = Geometry::of(self.convolution.geometry(shapes)).output();
        outputs.extend(reference::statistics_magnitudes(&shape, &y, &outputs[0]));
        outputs
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        let convolution = self.convolution.cost(inputs, &outputs[..1]);
        // Three operations an element for the statistics.
        Cost::new(convolution.flops + 3.0 * outputs[0].elements() as f64, inputs, outputs)
    }
}
