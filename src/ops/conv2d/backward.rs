//! The gradients.

use super::geometry::{self, Geometry, NAME};
use super::operators::{Conv2d, Conv2dBiasGradient, Conv2dInputGradient, Conv2dWeightGradient};
use super::pass::Pass;
use super::{choice, reference};
use crate::ir::Argument::Input;
use crate::ir::{Case, Cost, DType, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, take};
use crate::ops::Epilogue;

impl Conv2dInputGradient {
    fn geometry(&self, inputs: &[&Shape]) -> Result<Geometry, ShapeError> {
        let (dy, weight, residual) = if self.residual {
            let [dy, weight, residual] = take(NAME, inputs)?;
            (dy, weight, Some(residual))
        } else {
            let [dy, weight] = take(NAME, inputs)?;
            (dy, weight, None)
        };
        let [n, _, _, _] = dy.nchw(NAME)?;
        let [_, c, _, _] = weight.nchw(NAME)?;
        let x = Shape::from([n, c * self.groups, self.size[0], self.size[1]]);
        if let Some(residual) = residual {
            ShapeError::unless(*residual == x, NAME, || format!("residual {residual} is not {x}"))?;
        }
        let geometry = Geometry::forward(&x, weight, self.stride, self.padding, self.groups)?;
        geometry.check_output(dy)?;
        Ok(geometry)
    }

    fn epilogue(&self) -> Epilogue {
        Epilogue { residual: self.residual, relu: false }
    }
}

impl Operator for Conv2dInputGradient {
    fn name(&self) -> &'static str {
        "conv2d_backward_input"
    }

    fn attributes(&self) -> String {
        let [height, width] = self.size;
        let residual = if self.residual { " residual" } else { "" };
        format!("{} size={height}x{width}{residual}", geometry::attributes(self.stride, self.padding, self.groups))
    }

    fn label(&self, inputs: &[&Shape]) -> String {
        Geometry::of(self.geometry(inputs)).label()
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        Ok(vec![self.geometry(inputs)?.input()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(ddx) = output_gradients[0] else { return Ok(vec![None; node.inputs.len()]) };
        let &Self { stride, padding, groups, .. } = self;
        let (dy, weight) = (node.inputs[0], node.inputs[1]);
        let [_, _, kh, kw] = graph.shape(weight).nchw(self.name())?;
        let kernel = Conv2dWeightGradient { stride, padding, groups, kernel: [kh, kw] };
        let mut gradients = vec![
            Some(graph.apply_one(
                Conv2d { stride, padding, groups, bias: false, epilogue: Epilogue::NONE },
                &[ddx, weight],
            )?),
            Some(graph.apply_one(kernel, &[dy, ddx])?),
        ];
        gradients.extend(self.residual.then_some(Some(ddx)));
        Ok(gradients)
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let f16 = case.dtypes.input(0) == DType::F16;
        let pass = Pass::input_gradient(self.residual.then_some(Input(2)), f16);
        choice::backward_input(&Geometry::of(self.geometry(case.inputs)), &pass, case.capabilities)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let dx = reference::backward_input(&Geometry::of(self.geometry(shapes)), inputs[0], inputs[1]);
        vec![self.epilogue().reference(dx, inputs.get(2).copied())]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        let following = self.epilogue().operations() * outputs[0].elements() as f64;
        Cost::new(Geometry::of(self.geometry(inputs)).flops() + following, inputs, outputs)
    }
}

impl Conv2dWeightGradient {
    fn geometry(&self, inputs: &[&Shape]) -> Result<Geometry, ShapeError> {
        let [dy, x] = take(NAME, inputs)?;
        let [_, o, _, _] = dy.nchw(NAME)?;
        let [_, c, _, _] = x.nchw(NAME)?;
        let weight = Shape::from([o, c / self.groups.max(1), self.kernel[0], self.kernel[1]]);
        let geometry = Geometry::forward(x, &weight, self.stride, self.padding, self.groups)?;
        geometry.check_output(dy)?;
        Ok(geometry)
    }
}

impl Operator for Conv2dWeightGradient {
    fn name(&self) -> &'static str {
        "conv2d_backward_weight"
    }

    fn attributes(&self) -> String {
        let [height, width] = self.kernel;
        format!("{} kernel={height}x{width}", geometry::attributes(self.stride, self.padding, self.groups))
    }

    fn label(&self, inputs: &[&Shape]) -> String {
        Geometry::of(self.geometry(inputs)).label()
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        Ok(vec![self.geometry(inputs)?.weight()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let f16 = [0, 1].into_iter().all(|input| case.dtypes.input(input) == DType::F16);
        choice::backward_weight(&Geometry::of(self.geometry(case.inputs)), f16, case.capabilities)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![reference::backward_weight(&Geometry::of(self.geometry(shapes)), inputs[0], inputs[1])]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(Geometry::of(self.geometry(inputs)).flops(), inputs, outputs)
    }
}

impl Operator for Conv2dBiasGradient {
    fn name(&self) -> &'static str {
        "conv2d_backward_bias"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy] = take(self.name(), inputs)?;
        Ok(vec![[dy.nchw(self.name())?[1]].into()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        choice::backward_bias(case.inputs[0])
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![reference::backward_bias(shapes[0], inputs[0])]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(inputs[0].elements() as f64, inputs, outputs)
    }
}
