//! The fully connected layer and its gradients: three matrix products and a sum over rows.

use crate::ir::Argument::{Input, Output};
use crate::ir::{
    Argument, Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, folded, take,
};

use super::OperatorCase;
use super::shaders::kernels;

kernels! { "linear":
    PRODUCT, "product", "y = a b + bias, with strides: the layer, its input gradient and its weight gradient";
    PRODUCT_TILED, "product_tiled", "the same, 32 x 32 elements a workgroup";
    BACKWARD_BIAS, "backward_bias", "db = sum of dy over the rows";
}

/// Side of a workgroup's tile in [`PRODUCT_TILED`].
const TILE: usize = 32;

/// (x `[N, I]`, weight `[O, I]`, with `bias` a bias `[O]`) -> y `[N, O]`, `y[n, o] = sum over i of x[n, i] weight[o, i] +
/// bias[o]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    /// A bias is added.
    pub bias: bool,
}

/// (dy `[N, O]`, weight `[O, I]`) -> dx `[N, I]` of [`Linear`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearInputGradient;

/// (dy `[N, O]`, x `[N, I]`) -> dweight `[O, I]` of [`Linear`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearWeightGradient;

/// dy `[N, O]` -> dbias `[O]` of [`Linear`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearBiasGradient;

/// A product `[rows, depth]` times `[depth, columns]` of tensors that are read with strides.
#[derive(Debug, Clone, Copy)]
struct Product {
    rows: usize,
    columns: usize,
    depth: usize,
    /// Elements from one row of the first factor to the next, and along its depth.
    a: [usize; 2],
    /// Elements along the depth of the second factor, and from one column to the next.
    b: [usize; 2],
}

impl Product {
    /// The factors are inputs 0 and 1; `bias` is the input that is added to each row.
    fn variants(self, bias: Option<usize>) -> Vec<Variant> {
        let constants = vec![
            ("ROWS", self.rows as f64),
            ("COLUMNS", self.columns as f64),
            ("DEPTH", self.depth as f64),
            ("A_ROW", self.a[0] as f64),
            ("A_DEPTH", self.a[1] as f64),
            ("B_DEPTH", self.b[0] as f64),
            ("B_COLUMN", self.b[1] as f64),
            ("BIAS", f64::from(u8::from(bias.is_some()))),
        ];
        // Without a bias any tensor may stand there.
        let bindings: Vec<Argument> = vec![Input(0), Input(1), Input(bias.unwrap_or(1)), Output(0)];
        let elements = self.rows * self.columns;
        let plain = Dispatch::per_invocation(&PRODUCT, elements, constants.clone(), bindings.clone());
        let workgroups = folded(self.rows.div_ceil(TILE) * self.columns.div_ceil(TILE));
        let tiled = Dispatch { kernel: &PRODUCT_TILED, constants, bindings, workgroups };
        let mut variants = vec![Variant::new("plain", vec![plain]), Variant::new("tiled", vec![tiled])];
        if self.rows.min(self.columns) >= TILE / 2 {
            variants.swap(0, 1);
        }
        variants
    }

    fn reference(self, a: &[f64], b: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
        let mut y = Vec::with_capacity(self.rows * self.columns);
        for row in 0..self.rows {
            for column in 0..self.columns {
                let mut sum = bias.map_or(0.0, |bias| bias[column]);
                for k in 0..self.depth {
                    sum += a[row * self.a[0] + k * self.a[1]] * b[k * self.b[0] + column * self.b[1]];
                }
                y.push(sum);
            }
        }
        y
    }

    fn cost(self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(2.0 * (self.rows * self.columns * self.depth) as f64, inputs, outputs)
    }
}

/// The two extents of a matrix.
fn matrix(operator: &'static str, shape: &Shape, what: &str) -> Result<[usize; 2], ShapeError> {
    let wrong = || ShapeError::new(operator, format!("{what} {shape} is not a matrix"));
    shape.extents().try_into().map_err(|_| wrong())
}

/// The extents of a matrix that a shape rule has accepted.
fn extents(shape: &Shape) -> [usize; 2] {
    [shape.extents()[0], shape.extents()[1]]
}

impl Linear {
    fn product(x: &Shape, weight: &Shape) -> Product {
        let ([rows, depth], [columns, _]) = (extents(x), extents(weight));
        Product { rows, columns, depth, a: [depth, 1], b: [1, depth] }
    }
}

impl Operator for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn attributes(&self) -> String {
        if self.bias { "bias".to_string() } else { String::new() }
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let (x, weight) = if self.bias {
            let [x, weight, bias] = take(self.name(), inputs)?;
            ShapeError::unless(bias.extents() == &weight.extents()[..1], self.name(), || {
                format!("bias {bias} does not match weight {weight}")
            })?;
            (x, weight)
        } else {
            let [x, weight] = take(self.name(), inputs)?;
            (x, weight)
        };
        let ([n, seen], [outputs, taken]) = (matrix(self.name(), x, "x")?, matrix(self.name(), weight, "weight")?);
        ShapeError::unless(seen == taken, self.name(), || format!("x {x} does not match weight {weight}"))?;
        Ok(vec![[n, outputs].into()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None; node.inputs.len()]) };
        let mut gradients = vec![
            Some(graph.apply_one(LinearInputGradient, &[dy, node.inputs[1]])?),
            Some(graph.apply_one(LinearWeightGradient, &[dy, node.inputs[0]])?),
        ];
        if self.bias {
            gradients.push(Some(graph.apply_one(LinearBiasGradient, &[dy])?));
        }
        Ok(gradients)
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        Self::product(case.inputs[0], case.inputs[1]).variants(self.bias.then_some(2))
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![Self::product(shapes[0], shapes[1]).reference(inputs[0], inputs[1], inputs.get(2).copied())]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Self::product(inputs[0], inputs[1]).cost(inputs, outputs)
    }
}

impl LinearInputGradient {
    fn product(dy: &Shape, weight: &Shape) -> Product {
        let ([rows, depth], [_, columns]) = (extents(dy), extents(weight));
        Product { rows, columns, depth, a: [depth, 1], b: [columns, 1] }
    }
}

impl Operator for LinearInputGradient {
    fn name(&self) -> &'static str {
        "linear_backward_input"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy, weight] = take(self.name(), inputs)?;
        let ([n, given], [outputs, taken]) = (matrix(self.name(), dy, "dy")?, matrix(self.name(), weight, "weight")?);
        ShapeError::unless(given == outputs, self.name(), || format!("gradient {dy} does not match weight {weight}"))?;
        Ok(vec![[n, taken].into()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        Self::product(case.inputs[0], case.inputs[1]).variants(None)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![Self::product(shapes[0], shapes[1]).reference(inputs[0], inputs[1], None)]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Self::product(inputs[0], inputs[1]).cost(inputs, outputs)
    }
}

impl LinearWeightGradient {
    fn product(dy: &Shape, x: &Shape) -> Product {
        let ([depth, rows], [_, columns]) = (extents(dy), extents(x));
        Product { rows, columns, depth, a: [1, rows], b: [columns, 1] }
    }
}

impl Operator for LinearWeightGradient {
    fn name(&self) -> &'static str {
        "linear_backward_weight"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy, x] = take(self.name(), inputs)?;
        let ([n, outputs], [samples, seen]) = (matrix(self.name(), dy, "dy")?, matrix(self.name(), x, "x")?);
        ShapeError::unless(n == samples, self.name(), || format!("gradient {dy} does not match x {x}"))?;
        Ok(vec![[outputs, seen].into()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        Self::product(case.inputs[0], case.inputs[1]).variants(None)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![Self::product(shapes[0], shapes[1]).reference(inputs[0], inputs[1], None)]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Self::product(inputs[0], inputs[1]).cost(inputs, outputs)
    }
}

impl Operator for LinearBiasGradient {
    fn name(&self) -> &'static str {
        "linear_backward_bias"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy] = take(self.name(), inputs)?;
        let [_, outputs] = matrix(self.name(), dy, "dy")?;
        Ok(vec![[outputs].into()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let [rows, columns] = extents(case.inputs[0]);
        let constants = vec![("ROWS", rows as f64), ("COLUMNS", columns as f64)];
        let dispatch = Dispatch::per_invocation(&BACKWARD_BIAS, columns, constants, vec![Input(0), Output(0)]);
        vec![Variant::new("plain", vec![dispatch])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let [rows, columns] = extents(shapes[0]);
        vec![(0..columns).map(|column| (0..rows).map(|row| inputs[0][row * columns + column]).sum()).collect()]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(inputs[0].elements() as f64, inputs, outputs)
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    let layer = |n: usize, seen: usize, outputs: usize| -> [Shape; 3] {
        [[n, seen].into(), [outputs, seen].into(), [outputs].into()]
    };
    vec![
        OperatorCase::new(Linear { bias: true }, &layer(5, 7, 3)).differentiate(&[0, 1, 2]),
        OperatorCase::new(Linear { bias: false }, &layer(5, 7, 3)[..2]).differentiate(&[0, 1]),
        OperatorCase::new(Linear { bias: true }, &layer(67, 35, 33)),
        OperatorCase::new(Linear { bias: true }, &layer(1, 1, 1)),
        OperatorCase::new(LinearInputGradient, &[[35, 67], [67, 33]]),
        OperatorCase::new(LinearInputGradient, &[[4, 10], [10, 33]]),
        OperatorCase::new(LinearWeightGradient, &[[35, 67], [35, 33]]),
        OperatorCase::new(LinearWeightGradient, &[[9, 10], [9, 33]]),
        OperatorCase::new(LinearBiasGradient, &[[35, 67]]),
    ]
}
