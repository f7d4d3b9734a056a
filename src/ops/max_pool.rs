//! Max-pooling over square windows.

use crate::ir::Argument::{Input, Output, Scratch};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, absolute, take};

use super::OperatorCase;
use super::shaders::kernels;
use super::window::Window;

const NAME: &str = "max_pool";

kernels! { "max_pool":
    FORWARD, "forward", "y = the largest element of each window";
    PLACES, "places", "the place in x of the first of the largest elements of each window";
    BACKWARD_INPUT, "backward_input", "dx = the sum of dy over the windows whose maximum it is";
}

/// x `[N, C, H, W]` -> y `[N, C, H', W']`, y[n, c, i, j] = max over u, v of x[n, c, i S + u - P, j S + v - P], where
/// what lies outside the map does not take part and H' = floor((H + 2 P - K) / S) + 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool {
    /// K, the side of a window.
    pub kernel: usize,
    /// S, the distance between windows.
    pub stride: usize,
    /// P, how far windows reach over the border; at most K / 2.
    pub padding: usize,
}

impl MaxPool {
    fn window(&self) -> Window {
        let Self { kernel, stride, padding } = *self;
        Window { kernel, stride, padding }
    }

    /// Places in x, in reading order, of what each element of y is the maximum of.
    fn windows(&self, x: &Shape) -> Vec<Vec<usize>> {
        let extents = x.extents();
        let (planes, height, width) = (extents[0] * extents[1], extents[2], extents[3]);
        let along = |extent: usize| (extent + 2 * self.padding - self.kernel) / self.stride + 1;
        let clipped = |window: usize, extent: usize| {
            let start = window * self.stride;
            start.saturating_sub(self.padding)..(start + self.kernel - self.padding).min(extent)
        };
        let mut windows = Vec::new();
        for plane in 0..planes {
            for i in 0..along(height) {
                for j in 0..along(width) {
                    let rows = clipped(i, height);
                    let place = |row, column| (plane * height + row) * width + column;
                    windows
                        .push(rows.flat_map(|row| clipped(j, width).map(move |column| place(row, column))).collect());
                }
            }
        }
        windows
    }
}

impl Operator for MaxPool {
    fn name(&self) -> &'static str {
        NAME
    }

    fn attributes(&self) -> String {
        format!("kernel={} stride={} padding={}", self.kernel, self.stride, self.padding)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(NAME, inputs)?;
        Ok(vec![self.window().pooled(NAME, x)?.into()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None]) };
        let gradient = MaxPoolInputGradient { pool: *self };
        Ok(vec![Some(graph.apply_one(gradient, &[dy, node.inputs[0]])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let (x, y) = (case.inputs[0], case.outputs[0]);
        let constants = self.window().constants(y.elements(), x, y);
        let dispatch = Dispatch::per_invocation(&FORWARD, y.elements(), constants, vec![Input(0), Output(0)]);
        vec![Variant::new("plain", vec![dispatch])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let x = inputs[0];
        let windows = self.windows(shapes[0]);
        vec![windows.iter().map(|window| window.iter().fold(f64::NEG_INFINITY, |y, &at| y.max(x[at]))).collect()]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        vec![absolute(&self.reference(shapes, inputs)[0])]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new((self.kernel * self.kernel * outputs[0].elements()) as f64, inputs, outputs)
    }
}

/// (dy, x) -> dx of [`MaxPool`]: dy of each window goes to the first, in reading order, of its largest elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPoolInputGradient {
    /// The pooling that is differentiated.
    pub pool: MaxPool,
}

impl Operator for MaxPoolInputGradient {
    fn name(&self) -> &'static str {
        "max_pool_backward"
    }

    fn attributes(&self) -> String {
        self.pool.attributes()
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy, x] = take(self.name(), inputs)?;
        let y = Shape::from(self.pool.window().pooled(NAME, x)?);
        ShapeError::unless(*dy == y, self.name(), || format!("gradient {dy} does not match output {y}"))?;
        Ok(vec![x.clone()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let (y, x) = (case.inputs[0], case.inputs[1]);
        let (windows, elements) = (y.elements(), x.elements());
        let find = self.pool.window().constants(windows, x, y);
        let gather = self.pool.window().constants(elements, x, y);
        let dispatches = vec![
            Dispatch::per_invocation(&PLACES, windows, find, vec![Input(1), Scratch(0)]),
            Dispatch::per_invocation(&BACKWARD_INPUT, elements, gather, vec![Input(0), Scratch(0), Output(0)]),
        ];
        vec![Variant::new("plain", dispatches).with_scratch(vec![windows])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (dy, x) = (inputs[0], inputs[1]);
        let mut dx = vec![0.0; x.len()];
        for (window, dy) in self.pool.windows(shapes[1]).iter().zip(dy) {
            let first = window.iter().copied().reduce(|first, at| if x[at] > x[first] { at } else { first });
            // Half a kernel of padding at most leaves an element in every window.
            if let Some(first) = first {
                dx[first] += dy;
            }
        }
        vec![dx]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        self.reference(shapes, &[&absolute(inputs[0]), inputs[1]])
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new((self.pool.kernel * self.pool.kernel * inputs[0].elements()) as f64, inputs, outputs)
    }
}

/// The pooling of the parameter adapter: 2 x 2 windows side by side.
const HALVE: MaxPool = MaxPool { kernel: 2, stride: 2, padding: 0 };
/// The pooling of the ResNet stem: 3 x 3 windows that overlap.
const STEM: MaxPool = MaxPool { kernel: 3, stride: 2, padding: 1 };

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::Distinct;
    let pool = |pool, shape: [usize; 4]| OperatorCase::new(pool, &[shape]).fill(0, Distinct).differentiate(&[0]);
    vec![
        pool(HALVE, [2, 3, 6, 4]),
        pool(HALVE, [1, 2, 31, 31]),
        pool(HALVE, [1, 1, 2, 3]),
        pool(STEM, [2, 3, 8, 6]),
        pool(STEM, [1, 2, 7, 9]),
        pool(STEM, [1, 1, 1, 1]),
        // All negative: padding that took part with a 0 would win.
        OperatorCase::new(STEM, &[[1, 2, 5, 6]]).fill(0, super::Fill::Uniform(-2.0, -1.0)),
        pool(MaxPool { kernel: 1, stride: 2, padding: 0 }, [1, 2, 5, 4]),
        pool(MaxPool { kernel: 5, stride: 1, padding: 2 }, [1, 2, 6, 7]),
    ]
}
