//! Nearest up-sampling by a whole factor, alone and fused with the addition (and ReLU) of HRNet's fuse layers.

use crate::ir::Argument::{Input, Output};
use crate::ir::{
    Argument, Case, Cost, Dispatch, Graph, Kernel, Node, Operator, Shape, ShapeError, ValueId, Variant, absolute, take,
};

use super::OperatorCase;
use super::shaders::kernels;

const NAME: &str = "upsample";

kernels! { "upsample":
    FORWARD, "forward", "y = x with each element repeated along both axes";
    FORWARD_VEC4, "forward_vec4", "y = x with each element repeated along both axes, as vec4";
    BACKWARD_INPUT, "backward_input", "dx = the sums of dy over blocks";
    BACKWARD_INPUT_VEC4, "backward_input_vec4", "dx = the sums of dy over blocks, as vec4";
    ADD_FORWARD, "add_forward", "y = a + up(b), or max(a + up(b), 0)";
    ADD_FORWARD_VEC4, "add_forward_vec4", "y = a + up(b), or max(a + up(b), 0), as vec4";
    ADD_BACKWARD, "add_backward", "da = dy where y > 0, else 0; db = the sums of da over blocks";
    ADD_BACKWARD_VEC4, "add_backward_vec4", "da = dy where y > 0, else 0; db = the sums of da over blocks, as vec4";
}

/// Nearest up-sampling: x `[N, C, H, W]` -> y `[N, C, F H, F W]`, y[n, c, i, j] = x[n, c, i / F, j / F].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upsample {
    /// F, at least 1.
    pub factor: usize,
}

impl Operator for Upsample {
    fn name(&self) -> &'static str {
        NAME
    }

    fn attributes(&self) -> String {
        format!("factor={}", self.factor)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(NAME, inputs)?;
        Ok(vec![enlarged(x, self.factor)?])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        _: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None]) };
        Ok(vec![Some(graph.apply_one(UpsampleInputGradient { factor: self.factor }, &[dy])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let bindings = vec![Input(0), Output(0)];
        forward_variants(self.factor, case.outputs[0], &FORWARD, &FORWARD_VEC4, &[], &bindings)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![repeat(self.factor, width(shapes[0]), inputs[0])]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(0.0, inputs, outputs)
    }
}

/// dy `[N, C, F H, F W]` -> dx `[N, C, H, W]`, the sums of dy over F x F blocks: the transpose of [`Upsample`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpsampleInputGradient {
    /// F, at least 1.
    pub factor: usize,
}

impl Operator for UpsampleInputGradient {
    fn name(&self) -> &'static str {
        "upsample_backward"
    }

    fn attributes(&self) -> String {
        format!("factor={}", self.factor)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy] = take(self.name(), inputs)?;
        Ok(vec![reduced(dy, self.factor)?])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        _: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(gradient) = output_gradients[0] else { return Ok(vec![None]) };
        Ok(vec![Some(graph.apply_one(Upsample { factor: self.factor }, &[gradient])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let bindings = vec![Input(0), Output(0)];
        backward_variants(self.factor, case.outputs[0], &BACKWARD_INPUT, &BACKWARD_INPUT_VEC4, &bindings)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![sum_blocks(self.factor, width(shapes[0]), inputs[0])]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(inputs[0].elements() as f64, inputs, outputs)
    }
}

/// a `[N, C, F H, F W]`, b `[N, C, H, W]` -> y = a + up(b), or its maximum with 0: one term of an HRNet fuse layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpsampleAdd {
    /// F, at least 1.
    pub factor: usize,
    /// Whether ReLU follows the sum.
    pub relu: bool,
}

impl Operator for UpsampleAdd {
    fn name(&self) -> &'static str {
        "upsample_add"
    }

    fn attributes(&self) -> String {
        format!("factor={}{}", self.factor, if self.relu { " relu" } else { "" })
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [a, b] = take(self.name(), inputs)?;
        let enlarged = enlarged(b, self.factor)?;
        ShapeError::unless(*a == enlarged, self.name(), || {
            format!("{b} enlarged {} times is {enlarged} and cannot be added to {a}", self.factor)
        })?;
        Ok(vec![enlarged])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let factor = self.factor;
        let Some(dy) = output_gradients[0] else { return Ok(vec![None, None]) };
        if self.relu {
            let gradients = graph.apply(UpsampleAddGradient { factor }, &[dy, node.outputs[0]])?;
            return Ok(gradients.into_iter().map(Some).collect());
        }
        Ok(vec![Some(dy), Some(graph.apply_one(UpsampleInputGradient { factor }, &[dy])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let bindings = vec![Input(0), Input(1), Output(0)];
        let constants = [("RELU", f64::from(u8::from(self.relu)))];
        forward_variants(self.factor, case.outputs[0], &ADD_FORWARD, &ADD_FORWARD_VEC4, &constants, &bindings)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let enlarged = repeat(self.factor, width(shapes[1]), inputs[1]);
        let sums = inputs[0].iter().zip(enlarged).map(|(a, b)| a + b);
        vec![if self.relu { sums.map(|sum| sum.max(0.0)).collect() } else { sums.collect() }]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        let operations = if self.relu { 2.0 } else { 1.0 };
        Cost::new(operations * outputs[0].elements() as f64, inputs, outputs)
    }
}

/// (dy, y) -> (da, db) of [`UpsampleAdd`] with ReLU: da = dy where y > 0, else 0; db = the sums of da over F x F blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpsampleAddGradient {
    /// F, at least 1.
    pub factor: usize,
}

impl Operator for UpsampleAddGradient {
    fn name(&self) -> &'static str {
        "upsample_add_backward"
    }

    fn attributes(&self) -> String {
        format!("factor={}", self.factor)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy, y] = take(self.name(), inputs)?;
        ShapeError::unless(dy == y, self.name(), || format!("gradient {dy} does not match output {y}"))?;
        Ok(vec![dy.clone(), reduced(dy, self.factor)?])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let bindings = vec![Input(0), Input(1), Output(0), Output(1)];
        backward_variants(self.factor, case.outputs[1], &ADD_BACKWARD, &ADD_BACKWARD_VEC4, &bindings)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let da: Vec<f64> = inputs[0].iter().zip(inputs[1]).map(|(dy, y)| if *y > 0.0 { *dy } else { 0.0 }).collect();
        let db = sum_blocks(self.factor, width(shapes[0]), &da);
        vec![da, db]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        self.reference(shapes, &[&absolute(inputs[0]), inputs[1]])
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(2.0 * inputs[0].elements() as f64, inputs, outputs)
    }
}

fn enlarged(shape: &Shape, factor: usize) -> Result<Shape, ShapeError> {
    let [n, c, h, w] = shape.nchw(NAME)?;
    ShapeError::unless(factor > 0, NAME, || "the factor must be at least 1, not 0".to_string())?;
    Ok([n, c, factor * h, factor * w].into())
}

fn reduced(shape: &Shape, factor: usize) -> Result<Shape, ShapeError> {
    let [n, c, h, w] = shape.nchw(NAME)?;
    ShapeError::unless(factor > 0, NAME, || "the factor must be at least 1, not 0".to_string())?;
    let divides = h.is_multiple_of(factor) && w.is_multiple_of(factor);
    ShapeError::unless(divides, NAME, || format!("{factor} does not divide height and width of {shape}"))?;
    Ok([n, c, h / factor, w / factor].into())
}

/// The innermost extent.
fn width(shape: &Shape) -> usize {
    shape.extents().last().copied().unwrap_or(1)
}

/// Whether the kernels that work on vec4 take this factor and this width of the large tensor.
fn takes_vec4(factor: usize, width: usize) -> bool {
    (factor == 2 || factor.is_multiple_of(4)) && width.is_multiple_of(4)
}

/// The variants of the kernels that compute the large tensor `y`.
fn forward_variants(
    factor: usize,
    y: &Shape,
    plain: &'static Kernel,
    vec4: &'static Kernel,
    constants: &[(&'static str, f64)],
    bindings: &[Argument],
) -> Vec<Variant> {
    let (elements, width) = (y.elements(), width(y));
    let mut own = vec![("FACTOR", factor as f64), ("ELEMENTS", elements as f64), ("WIDTH", width as f64)];
    own.extend_from_slice(constants);
    let dispatch = |kernel, items| -> Vec<Dispatch> {
        vec![Dispatch::per_invocation(kernel, items, own.clone(), bindings.to_vec())]
    };
    let mut variants = vec![Variant::new("plain", dispatch(plain, elements))];
    if takes_vec4(factor, width) {
        variants.insert(0, Variant::new("vec4", dispatch(vec4, elements / 4)));
    }
    variants
}

/// The variants of the kernels that reduce to the small tensor `dx`.
fn backward_variants(
    factor: usize,
    dx: &Shape,
    plain: &'static Kernel,
    vec4: &'static Kernel,
    bindings: &[Argument],
) -> Vec<Variant> {
    let (elements, width) = (dx.elements(), width(dx));
    let dispatch = |kernel, items: usize, count: &'static str, width: usize| -> Vec<Dispatch> {
        let constants = vec![("FACTOR", factor as f64), (count, items as f64), ("WIDTH", width as f64)];
        vec![Dispatch::per_invocation(kernel, items, constants, bindings.to_vec())]
    };
    let mut variants = vec![Variant::new("plain", dispatch(plain, elements, "ELEMENTS", width))];
    if takes_vec4(factor, factor * width) {
        let blocks = if factor == 2 { elements / 2 } else { elements };
        variants.insert(0, Variant::new("vec4", dispatch(vec4, blocks, "BLOCKS", factor * width)));
    }
    variants
}

/// Float64 reference of [`FORWARD`]; `width` is that of `x`.
fn repeat(factor: usize, width: usize, x: &[f64]) -> Vec<f64> {
    let large = factor * width;
    (0..x.len() * factor * factor)
        .map(|index| {
            let (row, column) = (index / large, index % large);
            x[row / factor * width + column / factor]
        })
        .collect()
}

/// Float64 reference of [`BACKWARD_INPUT`]; `width` is that of `dy`.
fn sum_blocks(factor: usize, width: usize, dy: &[f64]) -> Vec<f64> {
    let small = width / factor;
    (0..dy.len() / (factor * factor))
        .map(|index| {
            let (row, column) = (index / small, index % small);
            let mut sum = 0.0;
            for u in 0..factor {
                let start = ((row * factor + u) * small + column) * factor;
                sum += dy[start..start + factor].iter().sum::<f64>();
            }
            sum
        })
        .collect()
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::AwayFromZero;
    let mut cases = vec![
        OperatorCase::new(Upsample { factor: 2 }, &[[1, 1, 1, 1]]),
        OperatorCase::new(Upsample { factor: 3 }, &[[1, 2, 3, 1]]).differentiate(&[0]),
    ];
    for factor in [2, 4, 8] {
        // Of the widths 3 and 4 one takes vec4 at a factor of 2; larger factors always do.
        for (small, large) in
            [([2, 3, 2, 3], [2, 3, 2 * factor, 3 * factor]), ([1, 2, 3, 4], [1, 2, 3 * factor, 4 * factor])]
        {
            let relu = UpsampleAdd { factor, relu: true };
            cases.extend([
                OperatorCase::new(Upsample { factor }, &[small]).differentiate(&[0]),
                OperatorCase::new(UpsampleInputGradient { factor }, &[large]).differentiate(&[0]),
                OperatorCase::new(UpsampleAdd { factor, relu: false }, &[large, small]).differentiate(&[0, 1]),
                // |a| >= 1/2 and |b| <= 1/4 keep the sums away from the kink.
                OperatorCase::new(relu, &[large, small])
                    .fill(0, AwayFromZero(0.5))
                    .fill(1, super::Fill::Uniform(-0.25, 0.25))
                    .differentiate(&[0, 1]),
                OperatorCase::new(UpsampleAddGradient { factor }, &[large, large]),
            ]);
        }
    }
    cases
}
