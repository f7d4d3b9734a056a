//! Concatenation along the channels, and its inverse.

use crate::ir::Argument::{self, Input, Output};
use crate::ir::{Case, Cost, Dispatch, Graph, Kernel, Node, Operator, Shape, ShapeError, ValueId, Variant, take};

use super::gather_channels::ScatterAddChannels;
use super::reshape::Reshape;
use super::shaders::kernels;
use super::{OperatorCase, list};

const NAME: &str = "concat";

kernels! { "concat":
    COPY, "copy", "y[:, channels] = x[:, other channels]";
    COPY_VEC4, "copy_vec4", "y[:, channels] = x[:, other channels], as vec4";
}

/// `[N, C1, ..]`, `[N, C2, ..]`, ... -> `[N, C1 + C2 + .., ..]`: the channels of all inputs one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concat {
    /// How many inputs, at least 1.
    pub inputs: usize,
}

impl Operator for Concat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn attributes(&self) -> String {
        format!("inputs={}", self.inputs)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        ShapeError::unless(self.inputs == inputs.len() && self.inputs > 0, NAME, || {
            format!("takes {} inputs, at least 1, not {}", self.inputs, inputs.len())
        })?;
        let mut y = inputs[0].extents().to_vec();
        for &x in inputs {
            let channels = channels_of(NAME, x)?;
            let fits = x.extents().len() == y.len() && x.extents()[0] == y[0] && x.extents()[2..] == y[2..];
            ShapeError::unless(fits, NAME, || format!("{x} and {} differ in more than their channels", inputs[0]))?;
            y[1] += channels;
        }
        y[1] -= inputs[0].extents()[1];
        Ok(vec![Shape::new(y)])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None; self.inputs]) };
        let channels = node.inputs.iter().map(|&x| graph.shape(x).extents()[1]).collect();
        Ok(graph.apply(Split { channels }, &[dy])?.into_iter().map(Some).collect())
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let channels: Vec<usize> = case.inputs.iter().map(|x| x.extents()[1]).collect();
        copies(case.outputs[0], &channels, Direction::Join)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let mut y = Vec::new();
        for sample in 0..shapes[0].extents()[0] {
            for (x, shape) in inputs.iter().zip(shapes) {
                let elements: usize = shape.extents()[1..].iter().product();
                y.extend_from_slice(&x[sample * elements..(sample + 1) * elements]);
            }
        }
        vec![y]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(0.0, inputs, outputs)
    }
}

/// `[N, C, ..]` -> `[N, C1, ..]`, `[N, C2, ..]`, ...: the inverse of [`Concat`]. All channels go somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// C1, C2, ..., each at least 1.
    pub channels: Vec<usize>,
}

impl Operator for Split {
    fn name(&self) -> &'static str {
        "concat_split"
    }

    fn attributes(&self) -> String {
        format!("channels={}", list(&self.channels))
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(self.name(), inputs)?;
        let channels = channels_of(self.name(), x)?;
        let fits = self.channels.iter().all(|&part| part > 0) && self.channels.iter().sum::<usize>() == channels;
        ShapeError::unless(fits, self.name(), || {
            format!(
                "the {channels} channels of {x} cannot be split into {:?}; give each part at least 1",
                self.channels
            )
        })?;
        let part = |&part: &usize| {
            let mut extents = x.extents().to_vec();
            extents[1] = part;
            Shape::new(extents)
        };
        Ok(self.channels.iter().map(part).collect())
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let given: Vec<ValueId> = output_gradients.iter().copied().flatten().collect();
        let dx = match given[..] {
            [] => return Ok(vec![None]),
            [one] => one,
            _ => graph.apply_one(Concat { inputs: given.len() }, &given)?,
        };
        if given.len() == self.channels.len() {
            return Ok(vec![Some(dx)]);
        }
        // The others are zeros: sums without a term. Their operator takes maps.
        let extents = graph.shape(node.inputs[0]).extents().to_vec();
        let (samples, area) = (extents[0], extents[2..].iter().product());
        let mut index = Vec::new();
        let mut channels = 0;
        for (part, gradient) in self.channels.iter().zip(output_gradients) {
            if gradient.is_some() {
                index.extend(channels..channels + part);
            }
            channels += part;
        }
        if extents.len() == 4 {
            return Ok(vec![Some(graph.apply_one(ScatterAddChannels { index, channels }, &[dx])?)]);
        }
        let maps = graph.apply_one(Reshape { extents: vec![samples, index.len(), 1, area] }, &[dx])?;
        let dx = graph.apply_one(ScatterAddChannels { index, channels }, &[maps])?;
        Ok(vec![Some(graph.apply_one(Reshape { extents }, &[dx])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        copies(case.inputs[0], &self.channels, Direction::Part)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let area: usize = shapes[0].extents()[2..].iter().product();
        let mut parts = vec![Vec::new(); self.channels.len()];
        let mut rest = inputs[0];
        for _ in 0..shapes[0].extents()[0] {
            for (part, channels) in parts.iter_mut().zip(&self.channels) {
                let (own, others) = rest.split_at(channels * area);
                part.extend_from_slice(own);
                rest = others;
            }
        }
        parts
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(0.0, inputs, outputs)
    }
}

/// Which way elements are copied.
#[derive(Clone, Copy)]
enum Direction {
    /// From several inputs to an output.
    Join,
    /// From an input to several outputs.
    Part,
}

/// The variants of copies between `whole` and parts of it that have so many channels, a dispatch each.
fn copies(whole: &Shape, channels: &[usize], direction: Direction) -> Vec<Variant> {
    let extents = whole.extents();
    let (samples, area) = (extents[0], extents[2..].iter().product::<usize>());
    let of_whole = extents[1] * area;
    let variant = |name, kernel: &'static Kernel, at_a_time: usize| {
        let mut start = 0;
        let dispatches = channels.iter().enumerate().map(|(number, channels)| {
            let run = channels * area;
            let (whole, part) = ([of_whole, start], [run, 0]);
            start += run;
            let (bindings, from, to): (Vec<Argument>, _, _) = match direction {
                Direction::Join => (vec![Input(number), Output(0)], part, whole),
                Direction::Part => (vec![Input(0), Output(number)], whole, part),
            };
            let elements = samples * run;
            let constants = vec![
                ("ELEMENTS", elements as f64),
                ("RUN", run as f64),
                ("FROM_SAMPLE", from[0] as f64),
                ("FROM_START", from[1] as f64),
                ("TO_SAMPLE", to[0] as f64),
                ("TO_START", to[1] as f64),
            ];
            Dispatch::per_invocation(kernel, elements / at_a_time, constants, bindings)
        });
        Variant::new(name, dispatches.collect())
    };
    let mut variants = vec![variant("plain", &COPY, 1)];
    if channels.iter().all(|channels| (channels * area).is_multiple_of(4)) {
        variants.insert(0, variant("vec4", &COPY_VEC4, 4));
    }
    variants
}

/// The channels of `[N, C, ..]`.
fn channels_of(name: &'static str, x: &Shape) -> Result<usize, ShapeError> {
    match x.extents() {
        [_, channels, ..] => Ok(*channels),
        _ => Err(ShapeError::new(name, format!("{x} has no channels: it is not [N, C, ..]"))),
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    let concat = |inputs: &[Shape]| {
        let all: Vec<usize> = (0..inputs.len()).collect();
        OperatorCase::new(Concat { inputs: inputs.len() }, inputs).differentiate(&all)
    };
    let split = |x: Shape, channels: &[usize]| {
        OperatorCase::new(Split { channels: channels.to_vec() }, &[x]).differentiate(&[0])
    };
    let maps = |channels, area: [usize; 2]| Shape::from([2, channels, area[0], area[1]]);
    vec![
        concat(&[[1, 1, 1, 1].into()]),
        concat(&[maps(3, [3, 5]), maps(1, [3, 5]), maps(2, [3, 5])]),
        concat(&[maps(3, [4, 6]), maps(5, [4, 6])]),
        // More inputs than a kernel binds.
        concat(&vec![maps(1, [2, 2]); 9]),
        concat(&[[3, 4].into(), [3, 8].into()]),
        split([1, 1, 1, 1].into(), &[1]),
        split(maps(6, [3, 5]), &[3, 1, 2]),
        split(maps(8, [4, 6]), &[3, 5]),
        split(maps(9, [2, 2]), &[1; 9]),
        split([3, 12].into(), &[4, 8]),
        // Without gradients of the last parts.
        split(maps(6, [3, 5]), &[3, 1, 2]).differentiate_outputs(2),
        split(maps(8, [4, 6]), &[3, 5]).differentiate_outputs(1),
        split([3, 12].into(), &[4, 8]).differentiate_outputs(1),
    ]
}
