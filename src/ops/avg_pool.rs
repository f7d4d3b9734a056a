//! Average pooling over square windows.

use crate::ir::Argument::{Input, Output};
use crate::ir::{Case, Cost, Dispatch, Graph, Kernel, Node, Operator, Shape, ShapeError, ValueId, Variant, take};

use super::OperatorCase;
use super::shaders::kernels;
use super::window::Window;

kernels! { "avg_pool":
    FORWARD, "forward", "y = the mean of each window";
    BACKWARD_INPUT, "backward_input", "dx = the sum of dy over the windows that hold the element, over their size";
}

/// x `[N, C, H, W]` -> y `[N, C, H', W']`, y[n, c, i, j] = sum over u, v of x[n, c, i S + u - P, j S + v - P] / K^2, where
/// what lies outside the map counts as 0 and H' = floor((H + 2 P - K) / S) + 1: torch.nn.AvgPool2d.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPool {
    /// K, the side of a window.
    pub kernel: usize,
    /// S, the distance between windows.
    pub stride: usize,
    /// P, how far windows reach over the border; at most K / 2.
    pub padding: usize,
}

/// dy `[N, C, H', W']` -> dx `[N, C, H, W]` of [`AvgPool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgPoolInputGradient {
    /// The pooling that is differentiated.
    pub pool: AvgPool,
    /// H and W.
    pub size: [usize; 2],
}

impl AvgPool {
    fn window(&self) -> Window {
        let Self { kernel, stride, padding } = *self;
        Window { kernel, stride, padding }
    }

    /// One invocation an element of the output.
    fn variants(&self, kernel: &'static Kernel, output: &Shape, x: &Shape, y: &Shape) -> Vec<Variant> {
        let elements = output.elements();
        let constants = self.window().constants(elements, x, y);
        let dispatch = Dispatch::per_invocation(kernel, elements, constants, vec![Input(0), Output(0)]);
        vec![Variant::new("plain", vec![dispatch])]
    }

    /// Calls `visit` with the place in x and the place in y of each element of each window.
    fn each_pair(&self, x: &[usize], y: &[usize], mut visit: impl FnMut(usize, usize)) {
        for window in 0..y.iter().product() {
            let (channel, i, j) = (window / (y[2] * y[3]), window / y[3] % y[2], window % y[3]);
            for u in 0..self.kernel {
                for v in 0..self.kernel {
                    let (row, column) = (i * self.stride + u, j * self.stride + v);
                    let inside = |at: usize, extent: usize| at >= self.padding && at < extent + self.padding;
                    if inside(row, x[2]) && inside(column, x[3]) {
                        visit((channel * x[2] + row - self.padding) * x[3] + column - self.padding, window);
                    }
                }
            }
        }
    }

    fn area(&self) -> f64 {
        (self.kernel * self.kernel) as f64
    }
}

impl Operator for AvgPool {
    fn name(&self) -> &'static str {
        "avg_pool"
    }

    fn attributes(&self) -> String {
        format!("kernel={} stride={} padding={}", self.kernel, self.stride, self.padding)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(self.name(), inputs)?;
        Ok(vec![self.window().pooled(self.name(), x)?.into()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None]) };
        let [_, _, height, width] = graph.shape(node.inputs[0]).nchw(self.name())?;
        let gradient = AvgPoolInputGradient { pool: *self, size: [height, width] };
        Ok(vec![Some(graph.apply_one(gradient, &[dy])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        self.variants(&FORWARD, case.outputs[0], case.inputs[0], case.outputs[0])
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let Ok(pooled) = self.window().pooled(self.name(), shapes[0]) else { unreachable!("output_shapes accepts x") };
        let mut y = vec![0.0; pooled.iter().product()];
        self.each_pair(shapes[0].extents(), &pooled, |at, window| y[window] += inputs[0][at] / self.area());
        vec![y]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(self.area() * outputs[0].elements() as f64, inputs, outputs)
    }
}

impl Operator for AvgPoolInputGradient {
    fn name(&self) -> &'static str {
        "avg_pool_backward"
    }

    fn attributes(&self) -> String {
        format!("{} size={}x{}", self.pool.attributes(), self.size[0], self.size[1])
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy] = take(self.name(), inputs)?;
        let [n, c, ..] = dy.nchw(self.name())?;
        let x = Shape::from([n, c, self.size[0], self.size[1]]);
        let y = Shape::from(self.pool.window().pooled(self.name(), &x)?);
        ShapeError::unless(*dy == y, self.name(), || format!("gradient {dy} does not match output {y}"))?;
        Ok(vec![x])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        self.pool.variants(&BACKWARD_INPUT, case.outputs[0], case.outputs[0], case.inputs[0])
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let y = shapes[0].extents();
        let x = [y[0], y[1], self.size[0], self.size[1]];
        let mut dx = vec![0.0; x.iter().product()];
        self.pool.each_pair(&x, y, |at, window| dx[at] += inputs[0][window] / self.pool.area());
        vec![dx]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(self.pool.area() * inputs[0].elements() as f64, inputs, outputs)
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    let pool = |kernel, stride, padding| AvgPool { kernel, stride, padding };
    let gradient =
        |pool: AvgPool, size: [usize; 2], dy: [usize; 4]| OperatorCase::new(AvgPoolInputGradient { pool, size }, &[dy]);
    vec![
        OperatorCase::new(pool(2, 2, 0), &[[2, 3, 6, 8]]).differentiate(&[0]),
        OperatorCase::new(pool(3, 2, 1), &[[2, 3, 7, 8]]).differentiate(&[0]),
        OperatorCase::new(pool(2, 3, 0), &[[1, 2, 9, 10]]).differentiate(&[0]),
        OperatorCase::new(pool(5, 1, 2), &[[1, 2, 6, 7]]),
        OperatorCase::new(pool(1, 1, 0), &[[1, 1, 1, 1]]),
        gradient(pool(3, 2, 1), [7, 8], [2, 3, 4, 4]),
        gradient(pool(2, 3, 0), [9, 10], [1, 2, 3, 3]),
    ]
}
