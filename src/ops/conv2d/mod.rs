//! Two-dimensional convolution (cross-correlation, as PyTorch's) and its gradients.
//!
//! y\[n, o, i, j\] = bias\[o\] + sum over c, u, v of weight\[o, c, u, v\] x\[n, g C/G + c, i SY + u - PY, j SX + v - PX\]
//!
//! with x zero outside the picture and g the group of output o. Kernels, strides and paddings are (vertical,
//! horizontal). [`Conv2d`] is the forward pass, [`Conv2dStatistics`] the same with what a batch normalisation behind it
//! needs; [`Conv2dInputGradient`], [`Conv2dWeightGradient`] and [`Conv2dBiasGradient`] are the backward pass. The input
//! gradient is a transposed convolution and can be differentiated itself.

mod choice;
mod direct;
mod direct_weight;
mod gemm;
mod geometry;
mod pass;
mod reference;
mod registry;
mod splits;
mod statistics;
mod tables;
mod taps;
mod winograd;

pub use registry::kernels;
pub use statistics::Conv2dStatistics;
pub(super) use tables::TABLES;

use super::{Epilogue, OperatorCase};
use crate::ir::Argument::Input;
use crate::ir::{Case, Cost, DType, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant};
use geometry::Geometry;

const NAME: &str = "conv2d";

/// (x `[N, C, H, W]`, weight `[O, C / groups, KH, KW]`\[, bias `[O]`\]\[, residual `[N, O, OH, OW]`\]) -> y
/// `[N, O, OH, OW]` with OH = floor((H + 2 padding - KH) / stride) + 1. With an epilogue it is not differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Step between outputs.
    pub stride: [usize; 2],
    /// Zeros on each side of the input.
    pub padding: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// What follows.
    pub epilogue: Epilogue,
}

/// (dy `[N, O, OH, OW]`, weight `[O, C / groups, KH, KW]`) -> dx `[N, C, H, W]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dInputGradient {
    /// Of the forward pass.
    pub stride: [usize; 2],
    /// Of the forward pass.
    pub padding: [usize; 2],
    /// Of the forward pass.
    pub groups: usize,
    /// H and W of x, which dy alone does not tell with a stride.
    pub size: [usize; 2],
}

/// (dy `[N, O, OH, OW]`, x `[N, C, H, W]`) -> dweight `[O, C / groups, KH, KW]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dWeightGradient {
    /// Of the forward pass.
    pub stride: [usize; 2],
    /// Of the forward pass.
    pub padding: [usize; 2],
    /// Of the forward pass.
    pub groups: usize,
    /// KH and KW.
    pub kernel: [usize; 2],
}

/// dy `[N, O, OH, OW]` -> dbias `[O]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dBiasGradient;

impl Conv2d {
    fn geometry(&self, inputs: &[&Shape]) -> Result<Geometry, ShapeError> {
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
    fn pass(&self, case: &Case, statistics: bool) -> pass::Pass {
        let (bias, residual) = (self.bias().map(Input), self.residual().map(Input));
        let (relu, prepacked) = (self.epilogue.relu, case.constant[1]);
        let f16 = case.dtypes.input(0) == DType::F16;
        pass::Pass { input_gradient: false, bias, residual, relu, prepacked, statistics, f16 }
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
        let input = Conv2dInputGradient { stride, padding, groups, size: [h, w] };
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

impl Conv2dInputGradient {
    fn geometry(&self, inputs: &[&Shape]) -> Result<Geometry, ShapeError> {
        let [dy, weight] = super::take(NAME, inputs)?;
        let [n, _, _, _] = dy.nchw(NAME)?;
        let [_, c, _, _] = weight.nchw(NAME)?;
        let x = Shape::from([n, c * self.groups, self.size[0], self.size[1]]);
        let geometry = Geometry::forward(&x, weight, self.stride, self.padding, self.groups)?;
        geometry.check_output(dy)?;
        Ok(geometry)
    }
}

impl Operator for Conv2dInputGradient {
    fn name(&self) -> &'static str {
        "conv2d_backward_input"
    }

    fn attributes(&self) -> String {
        let [height, width] = self.size;
        format!("{} size={height}x{width}", geometry::attributes(self.stride, self.padding, self.groups))
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
        let Some(ddx) = output_gradients[0] else { return Ok(vec![None; 2]) };
        let &Self { stride, padding, groups, .. } = self;
        let (dy, weight) = (node.inputs[0], node.inputs[1]);
        let [_, _, kh, kw] = graph.shape(weight).nchw(self.name())?;
        let kernel = Conv2dWeightGradient { stride, padding, groups, kernel: [kh, kw] };
        Ok(vec![
            Some(graph.apply_one(
                Conv2d { stride, padding, groups, bias: false, epilogue: Epilogue::NONE },
                &[ddx, weight],
            )?),
            Some(graph.apply_one(kernel, &[dy, ddx])?),
        ])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let f16 = case.dtypes.input(0) == DType::F16;
        choice::backward_input(&Geometry::of(self.geometry(case.inputs)), f16, case.capabilities)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![reference::backward_input(&Geometry::of(self.geometry(shapes)), inputs[0], inputs[1])]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(Geometry::of(self.geometry(inputs)).flops(), inputs, outputs)
    }
}

impl Conv2dWeightGradient {
    fn geometry(&self, inputs: &[&Shape]) -> Result<Geometry, ShapeError> {
        let [dy, x] = super::take(NAME, inputs)?;
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
        let [dy] = super::take(self.name(), inputs)?;
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

/// The cases of this folder's operators.
pub fn cases() -> Vec<OperatorCase> {
    // Batch, channels, height, width; outputs, kernel; stride; padding; groups; bias.
    let geometries = [
        ([2, 3, 9, 7], [5, 3, 3], 1, 1, 1, false),
        ([2, 8, 8, 16], [8, 3, 3], 1, 1, 1, true),
        ([1, 4, 7, 9], [9, 1, 1], 1, 0, 1, true),
        ([2, 8, 4, 6], [12, 1, 1], 1, 0, 1, true),
        ([2, 3, 11, 9], [8, 3, 3], 2, 1, 1, false),
        ([1, 3, 17, 15], [4, 7, 7], 2, 3, 1, false),
        ([2, 3, 8, 6], [5, 4, 4], 2, 1, 1, false),
        ([2, 6, 9, 9], [6, 3, 3], 2, 0, 3, false),
        ([2, 6, 5, 4], [6, 3, 3], 1, 1, 3, false),
        ([2, 4, 1, 1], [4, 1, 1], 1, 0, 2, false),
        ([1, 3, 12, 13], [3, 9, 9], 1, 4, 3, false),
        ([1, 1, 1, 1], [1, 1, 1], 1, 0, 1, false),
        ([2, 2, 6, 5], [3, 2, 4], 1, 1, 1, false),
    ];
    let mut cases = Vec::new();
    for (x, [o, kh, kw], stride, padding, groups, bias) in geometries {
        let epilogue = Epilogue::NONE;
        let forward = Conv2d { stride: [stride; 2], padding: [padding; 2], groups, bias, epilogue };
        let mut shapes: Vec<Shape> = vec![x.into(), [o, x[1] / groups, kh, kw].into()];
        let wanted = if bias { &[0, 1, 2][..] } else { &[0, 1] };
        if bias {
            shapes.push([o].into());
        }
        let y = {
            let inputs: Vec<&Shape> = shapes.iter().collect();
            Geometry::of(forward.geometry(&inputs)).output()
        };
        cases.push(OperatorCase::new(forward, &shapes).differentiate(wanted));
        for (residual, relu) in [(false, true), (true, false), (true, true)] {
            let epilogue = Epilogue { residual, relu };
            let shapes = [&shapes[..], if residual { std::slice::from_ref(&y) } else { &[] }].concat();
            cases.push(OperatorCase::new(Conv2d { epilogue, ..forward }, &shapes));
        }
        let (x, weight) = (shapes[0].clone(), shapes[1].clone());
        let [_, _, h, w] = [0, 1, 2, 3].map(|axis| x.extents()[axis]);
        let (stride, padding) = ([stride; 2], [padding; 2]);
        let input = Conv2dInputGradient { stride, padding, groups, size: [h, w] };
        cases.push(OperatorCase::new(input, &[y.clone(), weight]).differentiate(&[0, 1]));
        let kernel = Conv2dWeightGradient { stride, padding, groups, kernel: [kh, kw] };
        cases.push(OperatorCase::new(kernel, &[y.clone(), x]));
        cases.push(OperatorCase::new(Conv2dBiasGradient, &[y]));
    }
    cases.extend(statistics::cases());
    cases
}
