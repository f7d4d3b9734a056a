//! The kernels, and which of them suit which convolution.

use super::geometry::Geometry;
use crate::gpu::Argument::{Input, Output, Scratch};
use crate::gpu::{Argument, Capabilities, Dispatch, Kernel, folded};
use crate::ir::{Shape, Variant};

macro_rules! kernel {
    ($constant:ident, $file:literal, $summary:literal) => {
        #[doc = $summary]
        pub static $constant: Kernel = Kernel {
            name: concat!("conv2d/", $file),
            summary: $summary,
            source: include_str!(concat!("../../../shaders/conv2d/", $file, ".wgsl")),
            subgroups: false,
        };
    };
}

kernel!(FORWARD, "forward", "convolution, one output an invocation");
kernel!(BACKWARD_INPUT, "backward_input", "gradient for the input, one element an invocation");
kernel!(BACKWARD_WEIGHT, "backward_weight", "gradient for the weight in parts, one weight of one part an invocation");
kernel!(SUM_PARTS, "sum_parts", "adds the parts of a weight gradient");
kernel!(BACKWARD_BIAS, "backward_bias", "gradient for the bias, one channel a workgroup");

/// The kernels of this folder.
pub fn kernels() -> Vec<&'static Kernel> {
    vec![&FORWARD, &BACKWARD_INPUT, &BACKWARD_WEIGHT, &SUM_PARTS, &BACKWARD_BIAS]
}

/// A dispatch of one invocation an element in workgroups of 64.
fn one_each(kernel: &'static Kernel, g: &Geometry, elements: usize, bindings: Vec<Argument>) -> Dispatch {
    Dispatch { kernel, constants: g.constants(), bindings, workgroups: folded(elements.div_ceil(64)) }
}

pub(super) fn forward(g: &Geometry, bias: bool, _: &Capabilities) -> Vec<Variant> {
    let bias_argument = if bias { Input(2) } else { Input(1) };
    let bindings = vec![Input(0), Input(1), bias_argument, Output(0)];
    let mut plain = one_each(&FORWARD, g, g.output().elements(), bindings);
    plain.constants.push(("HAS_BIAS", f64::from(u8::from(bias))));
    vec![Variant::new("plain", vec![plain])]
}

pub(super) fn backward_input(g: &Geometry, _: &Capabilities) -> Vec<Variant> {
    let bindings = vec![Input(0), Input(1), Output(0)];
    vec![Variant::new("plain", vec![one_each(&BACKWARD_INPUT, g, g.input().elements(), bindings)])]
}

pub(super) fn backward_weight(g: &Geometry, _: &Capabilities) -> Vec<Variant> {
    /// Invocations that keep a GPU busy.
    const ENOUGH: usize = 65_536;
    let weights = g.weight().elements();
    let parts = ENOUGH.div_ceil(weights).clamp(1, g.batch);
    let target = if parts == 1 { Output(0) } else { Scratch(0) };
    let mut part = one_each(&BACKWARD_WEIGHT, g, parts * weights, vec![Input(0), Input(1), target]);
    part.constants.push(("PARTS", parts as f64));
    let mut variant = Variant::new("plain", vec![part]);
    if parts > 1 {
        variant.scratch.push(parts * weights);
        variant.dispatches.push(Dispatch {
            kernel: &SUM_PARTS,
            constants: vec![("PARTS", parts as f64), ("ELEMENTS", weights as f64)],
            bindings: vec![Scratch(0), Output(0)],
            workgroups: folded(weights.div_ceil(64)),
        });
    }
    vec![variant]
}

pub(super) fn backward_bias(dy: &Shape) -> Vec<Variant> {
    let extents = dy.extents();
    vec![Variant::new(
        "plain",
        vec![Dispatch {
            kernel: &BACKWARD_BIAS,
            constants: vec![
                ("BATCH", extents[0] as f64),
                ("OUT_CHANNELS", extents[1] as f64),
                ("PIXELS", (extents[2] * extents[3]) as f64),
            ],
            bindings: vec![Input(0), Output(0)],
            workgroups: folded(extents[1]),
        }],
    )]
}
