//! An operator from outside the crate: a learnable scale per channel, `y[n, c, i, j] = scale[c] x[n, c, i, j]`.
//!
//! It has two kernels of its own in WGSL, a float64 reference and a gradient rule. The kernels are checked against the
//! reference and the gradient against numeric ones, by the functions that check the crate's own operators. Then the scale is
//! trained until it is that of the data.
//!
//! `cargo run --release --example custom_operator`

use std::error::Error;
use std::sync::Arc;

use ditn::gpu::{AdapterChoice, Gpu};
use ditn::ir::Argument::{Input, Output};
use ditn::ir::{Case, Dispatch, Graph, Kernel, Node, Operator, Shape, ShapeError, ValueId, Variant, take};
use ditn::nn::{Initial, Mode, Network, Trainer, Training};
use ditn::ops::adamw::AdamWSettings;
use ditn::ops::loss::{LossKind, MapLoss};
use ditn::ops::{Fill, OperatorCase};
use ditn::verify::operators::{GRADIENT_TOLERANCE, check_gradients, check_values};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

static FORWARD: Kernel = Kernel::new("channel_scale/forward", "y = scale x", include_str!("forward.wgsl"));
static BACKWARD_SCALE: Kernel =
    Kernel::new("channel_scale/backward_scale", "dscale = sum of dy x", include_str!("backward_scale.wgsl"));

/// (x `[N, C, H, W]`, scale `[C]`) -> y `[N, C, H, W]`, y[n, c, i, j] = scale[c] x[n, c, i, j].
#[derive(Debug)]
struct ChannelScale;

impl Operator for ChannelScale {
    fn name(&self) -> &'static str {
        "channel_scale"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x, scale] = take(self.name(), inputs)?;
        let [_, channels, _, _] = x.nchw(self.name())?;
        ShapeError::unless(scale.extents() == [channels], self.name(), || {
            format!("{scale} is not [{channels}], the channels of {x}")
        })?;
        Ok(vec![x.clone()])
    }

    /// dx = scale dy is the operator itself; dscale is another one.
    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None; 2]) };
        let (x, scale) = (node.inputs[0], node.inputs[1]);
        let dx = graph.apply_one(Self, &[dy, scale])?;
        let dscale = graph.apply_one(ChannelScaleGradient, &[dy, x])?;
        Ok(vec![Some(dx), Some(dscale)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let [_, channels, area] = planes(case.inputs[0]);
        let elements = case.outputs[0].elements();
        let constants = vec![("ELEMENTS", elements as f64), ("CHANNELS", channels as f64), ("AREA", area as f64)];
        let bindings = vec![Input(0), Input(1), Output(0)];
        vec![Variant::new("plain", vec![Dispatch::per_invocation(&FORWARD, elements, constants, bindings)])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let [_, channels, area] = planes(shapes[0]);
        let y = inputs[0].iter().enumerate().map(|(index, x)| inputs[1][index / area % channels] * x);
        vec![y.collect()]
    }
}

/// (dy, x `[N, C, H, W]`) -> dscale `[C]` of [`ChannelScale`]. It cannot be differentiated itself: it has no `gradient`.
#[derive(Debug)]
struct ChannelScaleGradient;

impl Operator for ChannelScaleGradient {
    fn name(&self) -> &'static str {
        "channel_scale_backward"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy, x] = take(self.name(), inputs)?;
        ShapeError::unless(dy == x, self.name(), || format!("gradient {dy} does not match {x}"))?;
        let [_, channels, _, _] = x.nchw(self.name())?;
        Ok(vec![[channels].into()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let [batch, channels, area] = planes(case.inputs[0]);
        let constants = vec![("BATCH", batch as f64), ("CHANNELS", channels as f64), ("AREA", area as f64)];
        let bindings = vec![Input(0), Input(1), Output(0)];
        vec![Variant::new("plain", vec![Dispatch::per_workgroup(&BACKWARD_SCALE, channels, constants, bindings)])]
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let [_, channels, area] = planes(shapes[0]);
        let mut dscale = vec![0.0; channels];
        for (index, (dy, x)) in inputs[0].iter().zip(inputs[1]).enumerate() {
            dscale[index / area % channels] += dy * x;
        }
        vec![dscale]
    }
}

/// N, C and H W.
fn planes(shape: &Shape) -> [usize; 3] {
    let extents = shape.extents();
    [extents[0], extents[1], extents[2] * extents[3]]
}

/// Checks kernels and gradients at a few shapes.
///
/// # Errors
/// What the device reports, and an error that is too large.
pub fn check(gpu: &Arc<Gpu>) -> Result<(), Box<dyn Error>> {
    for [n, c, h, w] in [[2, 3, 5, 7], [1, 1, 1, 1], [3, 67, 2, 3]] {
        let forward = OperatorCase::new(ChannelScale, &[Shape::from([n, c, h, w]), [c].into()]).differentiate(&[0, 1]);
        let backward = OperatorCase::new(ChannelScaleGradient, &[[n, c, h, w]; 2]);
        for case in [&forward, &backward] {
            for found in check_values(gpu, case, 0)? {
                let what = format!("{}: kernel {} against the reference", case.describe(), found.variant);
                // Both in units of 2^-24 of an element's magnitude.
                within(&what, found.error, found.accuracy.tolerance(case.tolerance))?;
            }
        }
        let what = format!("{}: gradients against numeric ones", forward.describe());
        within(&what, check_gradients(gpu, &forward, 0)?, GRADIENT_TOLERANCE)?;
    }
    Ok(())
}

/// Prints an error and refuses one that is too large or not a number.
fn within(what: &str, error: f64, tolerance: f64) -> Result<(), Box<dyn Error>> {
    println!("{what}: error {error:.2e}, allowed {tolerance:.2e}");
    if error <= tolerance { Ok(()) } else { Err(format!("{what}: the error is too large").into()) }
}

/// Trains a scale that begins at 1 on pictures that are scaled by `wanted`; what it has become.
pub fn train(gpu: &Arc<Gpu>, wanted: &[f32], steps: u64) -> Result<Vec<f32>, Box<dyn Error>> {
    let (channels, size) = (wanted.len(), [8, 8]);
    let maps = [4, channels, size[0], size[1]];
    let mut net = Network::new(Mode::Training);
    let (x, target) = (net.input("x", maps), net.input("target", maps));
    let weight = net.input("weight", [maps[0], channels, 1, 1]);
    let scale = net.scope("scale", |net| Ok(net.parameter("weight", [channels], Initial::Constant(1.0))))?;
    let y = net.graph.apply_one(ChannelScale, &[x, scale])?;
    let loss = net.graph.apply_one(MapLoss { kind: LossKind::Mse }, &[y, target, weight])?;
    let optimizer = AdamWSettings { weight_decay: 0.0, ..AdamWSettings::default() };
    let mut trainer = Trainer::new(gpu, net, Training::minimize(loss).optimizer(optimizer))?;

    let pictures = Fill::Uniform(-1.0, 1.0).draw(maps.iter().product(), &mut ChaCha8Rng::seed_from_u64(1));
    let area = size[0] * size[1];
    let scaled: Vec<f32> = pictures.iter().enumerate().map(|(index, x)| wanted[index / area % channels] * x).collect();
    trainer.write(x, &pictures)?;
    trainer.write(target, &scaled)?;
    trainer.write(weight, &vec![1.0_f32; maps[0] * channels])?;
    for step in 1..=steps {
        let loss = trainer.step(0.05)?;
        if step == 1 || step % 50 == 0 {
            println!("step {step:>3}: loss {loss:.2e}, scale {:?}", trainer.read(scale)?);
        }
    }
    Ok(trainer.read(scale)?)
}

/// What the trained scale should become.
pub const WANTED: [f32; 3] = [0.5, -1.5, 3.0];

/// Checks and trains.
///
/// # Errors
/// What the device reports, and a check that fails.
pub fn run() -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::open(&AdapterChoice::default())?;
    check(&gpu)?;
    let found = train(&gpu, &WANTED, 300)?;
    if found.iter().zip(&WANTED).any(|(found, wanted)| (found - wanted).abs() > 1e-2) {
        return Err(format!("the scale is {found:?} and not {WANTED:?}").into());
    }
    println!("all checks hold");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run()
}
