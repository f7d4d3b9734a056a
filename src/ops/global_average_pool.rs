//! Global average pooling: the mean of each channel of each sample.

use crate::ir::Argument::{Input, Output};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, take};

use super::OperatorCase;
use super::shaders::kernels;

const NAME: &str = "global_average_pool";

kernels! { "global_average_pool":
    FORWARD, "forward", "y = the mean of each channel";
    BACKWARD_INPUT, "backward_input", "dx = dy of the channel / (H W)";
}

/// x `[N, C, H, W]` -> y `[N, C, 1, 1]`, the mean over height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalAveragePool;

impl Operator for GlobalAveragePool {
    fn name(&self) -> &'static str {
        NAME
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(NAME, inputs)?;
        let [n, c, h, w] = x.nchw(NAME)?;
        ShapeError::unless(h > 0 && w > 0, NAME, || format!("{x} has no pixels"))?;
        Ok(vec![[n, c, 1, 1].into()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None]) };
        let [_, _, height, width] = graph.shape(node.inputs[0]).nchw(NAME)?;
        Ok(vec![Some(graph.apply_one(GlobalAveragePoolGradient { height, width }, &[dy])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let channels = case.outputs[0].elements();
        let area = case.inputs[0].elements() / channels.max(1);
        let constants = vec![("CHANNELS", channels as f64), ("AREA", area as f64)];
        let dispatch = Dispatch::per_workgroup(&FORWARD, channels, constants, vec![Input(0), Output(0)]);
        vec![Variant::new("plain", vec![dispatch])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let area: usize = shapes[0].extents()[2..].iter().product();
        vec![inputs[0].chunks(area).map(|channel| channel.iter().sum::<f64>() / area as f64).collect()]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(inputs[0].elements() as f64, inputs, outputs)
    }
}

/// dy `[N, C, 1, 1]` -> dx `[N, C, H, W]`, dy / (H W) everywhere: the transpose of [`GlobalAveragePool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalAveragePoolGradient {
    /// H.
    pub height: usize,
    /// W.
    pub width: usize,
}

impl Operator for GlobalAveragePoolGradient {
    fn name(&self) -> &'static str {
        "global_average_pool_backward"
    }

    fn attributes(&self) -> String {
        format!("size={}x{}", self.height, self.width)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy] = take(self.name(), inputs)?;
        let [n, c, h, w] = dy.nchw(self.name())?;
        ShapeError::unless([h, w] == [1, 1], self.name(), || format!("gradient {dy} is not [{n}, {c}, 1, 1]"))?;
        Ok(vec![[n, c, self.height, self.width].into()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        _: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(gradient) = output_gradients[0] else { return Ok(vec![None]) };
        Ok(vec![Some(graph.apply_one(GlobalAveragePool, &[gradient])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let elements = case.outputs[0].elements();
        let constants = vec![("ELEMENTS", elements as f64), ("AREA", (self.height * self.width) as f64)];
        let dispatch = Dispatch::per_invocation(&BACKWARD_INPUT, elements, constants, vec![Input(0), Output(0)]);
        vec![Variant::new("plain", vec![dispatch])]
    }

    fn reference(&self, _: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let area = self.height * self.width;
        vec![(0..inputs[0].len() * area).map(|index| inputs[0][index / area] / area as f64).collect()]
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    vec![
        OperatorCase::new(GlobalAveragePool, &[[2, 3, 5, 7]]).differentiate(&[0]),
        OperatorCase::new(GlobalAveragePool, &[[1, 2, 9, 16]]).differentiate(&[0]),
        OperatorCase::new(GlobalAveragePool, &[[1, 1, 1, 1]]).differentiate(&[0]),
        OperatorCase::new(GlobalAveragePool, &[[2, 30, 64, 64]]),
        OperatorCase::new(GlobalAveragePoolGradient { height: 5, width: 7 }, &[[2, 3, 1, 1]]).differentiate(&[0]),
    ]
}
