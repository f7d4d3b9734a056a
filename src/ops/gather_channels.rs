//! Gathering channels by index (the two joints of each bone) and adding them back onto their places.

use crate::ir::Argument::{Input, Output, Table};
use crate::ir::{Argument, Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, take};

use super::OperatorCase;
use super::shaders::kernels;

const NAME: &str = "gather_channels";

kernels! { "gather_channels":
    FORWARD, "forward", "y[:, k] = x[:, index[k]]";
    SCATTER_ADD, "scatter_add", "y[:, c] = base[:, c] + sum of x[:, k] over k with index[k] = c";
}

/// x `[N, C, H, W]` -> y `[N, K, H, W]`, `y[:, k] = x[:, index[k]]`, with K the length of `index`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatherChannels {
    /// The channel of x that each channel of y copies; any may occur many times or never.
    pub index: Vec<usize>,
}

impl Operator for GatherChannels {
    fn name(&self) -> &'static str {
        NAME
    }

    fn attributes(&self) -> String {
        format!("index={}", super::list(&self.index))
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(NAME, inputs)?;
        let [n, c, h, w] = x.nchw(NAME)?;
        check_index(&self.index, c)?;
        Ok(vec![[n, self.index.len(), h, w].into()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None]) };
        let [_, channels, _, _] = graph.shape(node.inputs[0]).nchw(NAME)?;
        Ok(vec![Some(graph.apply_one(ScatterAddChannels { index: self.index.clone(), channels }, &[dy])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let (x, elements) = (case.inputs[0].extents(), case.outputs[0].elements());
        let constants = constants(elements, x[2] * x[3], x[1], self.index.len());
        let dispatch = Dispatch::per_invocation(&FORWARD, elements, constants, vec![Input(0), Table(0), Output(0)]);
        let table = self.index.iter().map(|&channel| channel as u32).collect();
        vec![Variant::new("plain", vec![dispatch]).with_tables(vec![table])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let extents = shapes[0].extents();
        let area = extents[2] * extents[3];
        let mut y = Vec::with_capacity(extents[0] * self.index.len() * area);
        for sample in inputs[0].chunks(extents[1] * area) {
            for &channel in &self.index {
                y.extend_from_slice(&sample[channel * area..(channel + 1) * area]);
            }
        }
        vec![y]
    }

    fn cost(&self, _: &[&Shape], outputs: &[&Shape]) -> Cost {
        // Each element of y is read and written once; channels of x that nothing copies are not touched.
        Cost::new(0.0, outputs, outputs)
    }
}

/// x `[N, K, H, W]` -> y `[N, C, H, W]`, `y[:, c]` = the sum of `x[:, k]` over k with `index[k]` = c: the transpose of
/// [`GatherChannels`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScatterAddChannels {
    /// The channel of y onto which each channel of x is added; its length is K.
    pub index: Vec<usize>,
    /// C.
    pub channels: usize,
}

impl Operator for ScatterAddChannels {
    fn name(&self) -> &'static str {
        "gather_channels_backward"
    }

    fn attributes(&self) -> String {
        format!("index={} channels={}", super::list(&self.index), self.channels)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(self.name(), inputs)?;
        Ok(vec![scattered(x, &self.index, self.channels)?])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        _: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None]) };
        Ok(vec![Some(graph.apply_one(GatherChannels { index: self.index.clone() }, &[dy])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        vec![scatter_variant(&self.index, case.outputs[0], None, Input(0))]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let x = shapes[0].extents();
        let zero = vec![0.0; x[0] * self.channels * x[2] * x[3]];
        vec![scatter(&self.index, x[2] * x[3], zero, inputs[0])]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(inputs[0].elements() as f64, inputs, outputs)
    }
}

/// base `[N, C, H, W]`, x `[N, K, H, W]` -> y `[N, C, H, W]`, y[:, c] = base[:, c] + the sum of x[:, k] over k with
/// `index[k]` = c: the fusion at the end of DITN's transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScatterAdd {
    /// The channel of y onto which each channel of x is added; its length is K.
    pub index: Vec<usize>,
}

impl Operator for ScatterAdd {
    fn name(&self) -> &'static str {
        "gather_channels_scatter_add"
    }

    fn attributes(&self) -> String {
        format!("index={}", super::list(&self.index))
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [base, x] = take(self.name(), inputs)?;
        let [_, channels, _, _] = base.nchw(self.name())?;
        let y = scattered(x, &self.index, channels)?;
        ShapeError::unless(*base == y, self.name(), || format!("{base} cannot take the channels of {x}"))?;
        Ok(vec![y])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        _: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None, None]) };
        let dx = graph.apply_one(GatherChannels { index: self.index.clone() }, &[dy])?;
        Ok(vec![Some(dy), Some(dx)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        vec![scatter_variant(&self.index, case.outputs[0], Some(Input(0)), Input(1))]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let x = shapes[1].extents();
        vec![scatter(&self.index, x[2] * x[3], inputs[0].to_vec(), inputs[1])]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(inputs[1].elements() as f64, inputs, outputs)
    }
}

/// Shape after the channels of `x` are added onto `channels` others.
fn scattered(x: &Shape, index: &[usize], channels: usize) -> Result<Shape, ShapeError> {
    let [n, k, h, w] = x.nchw(NAME)?;
    check_index(index, channels)?;
    ShapeError::unless(k == index.len(), NAME, || {
        format!("{x} does not have the {} channels of the index", index.len())
    })?;
    Ok([n, channels, h, w].into())
}

/// Where the members of each channel of y start, then the members: the channels of x that are added onto it.
fn members(index: &[usize], channels: usize) -> Vec<u32> {
    let of = |channel| (0..index.len()).filter(move |&k| index[k] == channel).map(|k| k as u32);
    let mut table = vec![0];
    for channel in 0..channels {
        table.push(table[channel] + of(channel).count() as u32);
    }
    table.extend((0..channels).flat_map(of));
    table
}

fn scatter_variant(index: &[usize], y: &Shape, base: Option<Argument>, x: Argument) -> Variant {
    let (elements, extents) = (y.elements(), y.extents());
    let mut constants = constants(elements, extents[2] * extents[3], extents[1], index.len());
    constants.push(("HAS_BASE", f64::from(u8::from(base.is_some()))));
    let bindings = vec![base.unwrap_or(x), x, Table(0), Output(0)];
    let dispatch = Dispatch::per_invocation(&SCATTER_ADD, elements, constants, bindings);
    Variant::new("plain", vec![dispatch]).with_tables(vec![members(index, extents[1])])
}

/// Float64 reference of [`SCATTER_ADD`]: adds the channels of `x` onto those of `y`.
fn scatter(index: &[usize], area: usize, mut y: Vec<f64>, x: &[f64]) -> Vec<f64> {
    let samples = x.len() / (index.len() * area);
    let channels = y.len() / (samples * area);
    for n in 0..samples {
        for (k, &channel) in index.iter().enumerate() {
            for pixel in 0..area {
                y[(n * channels + channel) * area + pixel] += x[(n * index.len() + k) * area + pixel];
            }
        }
    }
    y
}

fn check_index(index: &[usize], channels: usize) -> Result<(), ShapeError> {
    ShapeError::unless(!index.is_empty(), NAME, || "the index is empty".to_string())?;
    let outside = index.iter().find(|&&channel| channel >= channels);
    match outside {
        None => Ok(()),
        Some(channel) => {
            Err(ShapeError::new(NAME, format!("the index holds {channel}, but there are {channels} channels")))
        }
    }
}

fn constants(elements: usize, area: usize, channels: usize, gathered: usize) -> Vec<(&'static str, f64)> {
    vec![
        ("ELEMENTS", elements as f64),
        ("AREA", area as f64),
        ("CHANNELS", channels as f64),
        ("GATHERED", gathered as f64),
    ]
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    // Six channels gathered from five: one of them three times, two never.
    let (index, channels) = (vec![3, 0, 3, 1, 3, 0], 5);
    let (few, many) = ([2, 5, 3, 7], [2, 6, 3, 7]);
    let gather = GatherChannels { index: index.clone() };
    let scatter = ScatterAddChannels { index: index.clone(), channels };
    let onto = ScatterAdd { index };
    vec![
        OperatorCase::new(gather.clone(), &[few]).differentiate(&[0]),
        OperatorCase::new(gather, &[[1, 5, 4, 4]]),
        OperatorCase::new(GatherChannels { index: vec![0] }, &[[1, 1, 1, 1]]).differentiate(&[0]),
        OperatorCase::new(scatter, &[many]).differentiate(&[0]),
        OperatorCase::new(onto, &[few, many]).differentiate(&[0, 1]),
        OperatorCase::new(ScatterAdd { index: vec![0] }, &[[1, 1, 1, 1]; 2]).differentiate(&[0, 1]),
    ]
}
