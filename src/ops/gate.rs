//! The attention gate of DITN (Equations 4 and 5): y = (1 + sigmoid(g)) r.

use crate::ir::Argument::{Input, Output};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, absolute, take};

use super::OperatorCase;
use super::shaders::kernels;

const NAME: &str = "gate";

kernels! { "gate":
    FORWARD, "forward", "y = (1 + sigmoid(g)) r";
    BACKWARD_PIXEL, "backward_pixel", "dr = (1 + s) dy and dg = dy r s (1 - s) with s = sigmoid(g), a gate a pixel";
    BACKWARD_CHANNEL, "backward_channel", "dr = (1 + s) dy and dg = s (1 - s) sum of dy r with s = sigmoid(g), a gate a channel";
}

/// r `[N, C, H, W]`, g `[N, C, H, W]` (a gate a pixel) or `[N, C, 1, 1]` (a gate a channel)
/// -> y = (1 + sigmoid(g)) r `[N, C, H, W]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate;

impl Operator for Gate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [r, g] = take(NAME, inputs)?;
        let [n, c, _, _] = r.nchw(NAME)?;
        let fits = g == r || *g == Shape::from([n, c, 1, 1]);
        ShapeError::unless(fits, NAME, || format!("{g} is neither {r} nor [{n}, {c}, 1, 1]"))?;
        Ok(vec![r.clone()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None, None]) };
        let gradients = graph.apply(GateGradient, &[dy, node.inputs[0], node.inputs[1]])?;
        Ok(gradients.into_iter().map(Some).collect())
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let elements = case.outputs[0].elements();
        let constants = vec![("ELEMENTS", elements as f64), ("AREA", area(case.inputs[0], case.inputs[1]) as f64)];
        let bindings = vec![Input(0), Input(1), Output(0)];
        vec![Variant::new("plain", vec![Dispatch::per_invocation(&FORWARD, elements, constants, bindings)])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (r, g) = (inputs[0], inputs[1]);
        let area = area(shapes[0], shapes[1]);
        vec![r.iter().enumerate().map(|(index, r)| (1.0 + sigmoid(g[index / area])) * r).collect()]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        self.reference(shapes, &[&absolute(inputs[0]), inputs[1]])
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        // Negation, exponential, two additions and a division for 1 + sigmoid(g); one multiplication.
        Cost::new(6.0 * outputs[0].elements() as f64, inputs, outputs)
    }
}

/// (dy, r, g) -> (dr, dg) of [`Gate`]: dr = (1 + s) dy; dg = dy r s (1 - s), summed over the pixels that share a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateGradient;

impl Operator for GateGradient {
    fn name(&self) -> &'static str {
        "gate_backward"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy, r, g] = take(self.name(), inputs)?;
        ShapeError::unless(dy == r, self.name(), || format!("gradient {dy} does not match output {r}"))?;
        Gate.output_shapes(&[r, g])?;
        Ok(vec![r.clone(), g.clone()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let (elements, area) = (case.inputs[1].elements(), area(case.inputs[1], case.inputs[2]));
        let bindings = vec![Input(0), Input(1), Input(2), Output(0), Output(1)];
        let dispatch = if area == 1 {
            Dispatch::per_invocation(&BACKWARD_PIXEL, elements, vec![("ELEMENTS", elements as f64)], bindings)
        } else {
            let channels = elements / area;
            let constants = vec![("CHANNELS", channels as f64), ("AREA", area as f64)];
            Dispatch::per_workgroup(&BACKWARD_CHANNEL, channels, constants, bindings)
        };
        vec![Variant::new("plain", vec![dispatch])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (dy, r, g) = (inputs[0], inputs[1], inputs[2]);
        let area = area(shapes[1], shapes[2]);
        let dr = dy.iter().enumerate().map(|(index, dy)| (1.0 + sigmoid(g[index / area])) * dy).collect();
        let mut dg = vec![0.0; g.len()];
        for (index, (dy, r)) in dy.iter().zip(r).enumerate() {
            let s = sigmoid(g[index / area]);
            dg[index / area] += dy * r * s * (1.0 - s);
        }
        vec![dr, dg]
    }

    fn magnitudes(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (dy, r, g) = (absolute(inputs[0]), absolute(inputs[1]), inputs[2]);
        let area = area(shapes[1], shapes[2]);
        let dr = dy.iter().enumerate().map(|(index, dy)| (1.0 + sigmoid(g[index / area])) * dy).collect();
        let mut dg = vec![0.0; g.len()];
        for (index, (dy, r)) in dy.iter().zip(&r).enumerate() {
            let (g, s) = (g[index / area], sigmoid(g[index / area]));
            // s + s^2 for s (1 - s), and what the rounding of g does to the exponential.
            dg[index / area] += dy * r * (s * (1.0 + s) + s * (1.0 - s) * g.abs());
        }
        vec![dr, dg]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(10.0 * outputs[0].elements() as f64, inputs, outputs)
    }
}

/// Pixels that share one gate.
fn area(r: &Shape, g: &Shape) -> usize {
    r.elements() / g.elements().max(1)
}

fn sigmoid(g: f64) -> f64 {
    1.0 / (1.0 + (-g).exp())
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    use super::Fill::Uniform;
    let (map, channel) = ([2, 3, 5, 7], [2, 3, 1, 1]);
    vec![
        OperatorCase::new(Gate, &[map, map]).fill(1, Uniform(-4.0, 4.0)).differentiate(&[0, 1]),
        OperatorCase::new(Gate, &[map, channel]).fill(1, Uniform(-4.0, 4.0)).differentiate(&[0, 1]),
        OperatorCase::new(Gate, &[[1, 2, 9, 16], [1, 2, 1, 1]]).differentiate(&[0, 1]),
        OperatorCase::new(Gate, &[[1, 1, 1, 1]; 2]).differentiate(&[0, 1]),
        // Where sigmoid is 0 or 1 in float32, and where exp(-g) is infinite.
        OperatorCase::new(Gate, &[[1, 1, 5, 13]; 2]).fill(1, Uniform(-120.0, 120.0)),
        OperatorCase::new(GateGradient, &[map, map, map]),
        OperatorCase::new(GateGradient, &[map, map, channel]),
        OperatorCase::new(GateGradient, &[[2, 30, 64, 64], [2, 30, 64, 64], [2, 30, 1, 1]]),
        OperatorCase::new(GateGradient, &[[1, 1, 5, 13]; 3]).fill(2, Uniform(-120.0, 120.0)),
    ]
}
