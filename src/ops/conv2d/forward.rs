//! The forward pass.

use super::geometry::{self, Geometry, NAME};
use super::operators::{Conv2d, Conv2dBiasGradient, Conv2dInputGradient, Conv2dWeightGradient};
use super::pass::Pass;
use super::{choice, reference};
use crate::ir::Argument::Input;
use crate::ir::{Case, Cost, DType, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant};
use crate::ops::Epilogue;

impl Conv2d {
    pub(super) fn geometry(&self, inputs: &[&Shape]) -> Result<Geometry, ShapeError> {
        let count = 2 + usize::from(self.bias) + usize::from(self.epilogue.residual);
        ShapeError::unless(inputs.len() == count, NAME, || format!("takes {count} inputs, not {}", inputs.len()))?;
        let geometry = Geometry::forward(inputs[0], inputs[1], self.stride, self.padding, self.groups)?;
        if let Some(bias) = self.bias().map(|number| inputs[number]) {
            ShapeError::unless(bias.extents() == [geometry.out_channels], NAME, || {
                format!("bias {bias} is not [{}]", geometry.out_channels)
            })?;
        }
        if let Some(residual) = self.residual().map(|number| inputs[number]) {
            let output = geometry.output();
            ShapeError::unless(*residual == output, NAME, || format!("residual {residual} is not {output}"))?;
        }
        Ok(geometry)
    }

    /// What kernels are to compute.
    pub(super) fn pass(&self, case: &Case, statistics: bool) -> Pass {
        let (bias, residual) = (self.bias().map(Input), self.residual().map(Input));
        let (relu, prepacked) = (self.epilogue.relu, case.constant[1]);
        let f16 = case.dtypes.input(0) == DType::F16;
        Pass { input_gradient: false, bias, residual, relu, prepacked, statistics, f16 }
    }

    /// Number of the input that is the bias.
    fn bias(&self) -> Option<usize> {
        self.bias.then_some(2)
    }

    /// Number of the input that is the residual.
    fn residual(&self) -> Option<usize> {
        self.epilogue.residual.then_some(2 + usize::from(self.bias))
    }
}

impl Operator for Conv2d {
    fn name(&self) -> &'static str {
        NAME
    }

    fn attributes(&self) -> String {
        let bias = if self.bias { " bias" } else { "" };
        let window = geometry::attributes(self.stride, self.padding, self.groups);
        format!("{window}{bias}{}", self.epilogue.attributes())
    }

    fn label(&self, inputs: &[&Shape]) -> String {
        Geometry::of(self.geometry(inputs)).label()
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        Ok(vec![self.geometry(inputs)?.output()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None; node.inputs.len()]) };
        ShapeError::unless(self.epilogue == Epilogue::NONE, NAME, || {
            "an epilogue is for inference, which is not differentiated".to_string()
        })?;
        let &Self { stride, padding, groups, .. } = self;
        let (x, weight) = (node.inputs[0], node.inputs[1]);
        let [_, _, h, w] = graph.shape(x).nchw(NAME)?;
        let [_, _, kh, kw] = graph.shape(weight).nchw(NAME)?;
        let input = Conv2dInputGradient { stride, padding, groups, size: [h, w], residual: false };
        let kernel = Conv2dWeightGradient { stride, padding, groups, kernel: [kh, kw] };
        let mut gradients = vec![
            Some(graph.apply_one(input, &[dy, weight])?), //
            Some(graph.apply_one(kernel, &[dy, x])?),
        ];
        if self.bias {
            gradients.push(Some(graph.apply_one(Conv2dBiasGradient, &[dy])?));
        }
        Ok(gradients)
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        choice::forward(&Geometry::of(self.geometry(case.inputs)), &self.pass(case, false), case.capabilities)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let geometry = Geometry::of(self.geometry(shapes));
        let y = reference::forward(&geometry, inputs[0], inputs[1], self.bias().map(|number| inputs[number]));
        vec![self.epilogue.reference(y, self.residual().map(|number| inputs[number]))]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        let following = self.epilogue.operations() * outputs[0].elements() as f64;
        Cost::new(Geometry::of(self.geometry(inputs)).flops() + following, inputs, outputs)
    }
}
