//! The kernels, and which of them suit which convolution.
//!
//! | kernel | convolutions | preferred |
//! |---|---|---|
//! | `forward`, `backward_input`, `backward_weight` | all | where nothing else applies |
//! | `forward_3x3` | y and dx of 3x3 kernels with stride 1 and one group, given subgroups of 8 lanes or more | 1st |
//! | `backward_weight_3x3` | dw of the same | 1st |
//! | `tiled` | y and dx of one group, given subgroups of 8 lanes or more | 2nd |
//! | `backward_weight_tiled` | dw of the same | 2nd |

use super::geometry::Geometry;
use crate::gpu::Argument::{Input, Output, Scratch, Table};
use crate::gpu::{Argument, Capabilities, Dispatch, Kernel, folded};
use crate::ir::{Shape, Variant};

macro_rules! kernel {
    ($constant:ident, $file:literal, $subgroups:literal, $summary:literal) => {
        #[doc = $summary]
        pub static $constant: Kernel = Kernel {
            name: concat!("conv2d/", $file),
            summary: $summary,
            source: include_str!(concat!("../../../shaders/conv2d/", $file, ".wgsl")),
            subgroups: $subgroups,
        };
    };
}

kernel!(FORWARD, "forward", false, "convolution, one output an invocation");
kernel!(
    FORWARD_3X3,
    "forward_3x3",
    true,
    "3x3 convolution or its input gradient, 48 pixels of 2 channels an invocation"
);
kernel!(BACKWARD_INPUT, "backward_input", false, "gradient for the input, one element an invocation");
kernel!(
    BACKWARD_WEIGHT,
    "backward_weight",
    false,
    "gradient for the weight in parts, one weight of one part an invocation"
);
kernel!(
    BACKWARD_WEIGHT_3X3,
    "backward_weight_3x3",
    true,
    "gradient for a 3x3 weight in parts, 8 outputs of one channel an invocation"
);
kernel!(TILED, "tiled", true, "convolution or its input gradient, 64 pixels of up to 4 channels an invocation");
kernel!(
    BACKWARD_WEIGHT_TILED,
    "backward_weight_tiled",
    true,
    "gradient for the weight in parts, 16 outputs of up to 4 elements an invocation"
);
kernel!(SUM_PARTS, "sum_parts", false, "adds the parts of a weight gradient");
kernel!(BACKWARD_BIAS, "backward_bias", false, "gradient for the bias, one channel a workgroup");

/// The kernels of this folder.
pub fn kernels() -> Vec<&'static Kernel> {
    vec![&FORWARD, &FORWARD_3X3, &BACKWARD_INPUT, &BACKWARD_WEIGHT, &BACKWARD_WEIGHT_3X3, &SUM_PARTS, &BACKWARD_BIAS]
}

/// A dispatch of one invocation an element in workgroups of 64.
fn one_each(kernel: &'static Kernel, g: &Geometry, elements: usize, bindings: Vec<Argument>) -> Dispatch {
    Dispatch { kernel, constants: g.constants(), bindings, workgroups: folded(elements.div_ceil(64)) }
}

/// Whether the kernels run that broadcast from lanes 0 to 7 of a subgroup.
fn broadcasts(capabilities: &Capabilities) -> bool {
    capabilities.subgroups && capabilities.subgroup_min_size >= 8
}

/// Invocations of a workgroup whose lanes stand for `channels` channels: a subgroup, or less where that suffices.
fn lanes(channels: usize, capabilities: &Capabilities) -> usize {
    channels.next_multiple_of(8).min(capabilities.subgroup_min_size as usize / 8 * 8)
}

/// Whether the kernels for 3x3 with stride 1 take it. They read the weight by fours.
fn is_3x3(g: &Geometry) -> bool {
    let padding = g.padding[0] <= 2 && g.padding[1] <= 2;
    g.kernel == [3, 3] && g.stride == [1, 1] && g.groups == 1 && padding && g.weight().elements().is_multiple_of(4)
}

pub(super) fn forward(g: &Geometry, bias: bool, capabilities: &Capabilities) -> Vec<Variant> {
    let bias_argument = if bias { Input(2) } else { Input(1) };
    let bindings = vec![Input(0), Input(1), bias_argument, Output(0)];
    let mut variants = Vec::new();
    if broadcasts(capabilities) && is_3x3(g) {
        variants.push(Variant::new("3x3", vec![tiles_3x3(g, false, bias, bindings.clone(), capabilities)]));
    }
    if broadcasts(capabilities) && g.groups == 1 {
        variants.push(tiled(g, false, bias_argument, bias, capabilities));
    }
    let mut plain = one_each(&FORWARD, g, g.output().elements(), bindings);
    plain.constants.push(("HAS_BIAS", flag(bias)));
    variants.push(Variant::new("plain", vec![plain]));
    variants
}

pub(super) fn backward_input(g: &Geometry, capabilities: &Capabilities) -> Vec<Variant> {
    let mut variants = Vec::new();
    if broadcasts(capabilities) && is_3x3(g) {
        let bindings = vec![Input(0), Input(1), Input(1), Output(0)];
        variants.push(Variant::new("3x3", vec![tiles_3x3(&g.turned(), true, false, bindings, capabilities)]));
    }
    if broadcasts(capabilities) && g.groups == 1 {
        variants.push(tiled(&g.swapped(), true, Input(1), false, capabilities));
    }
    let bindings = vec![Input(0), Input(1), Output(0)];
    variants.push(Variant::new("plain", vec![one_each(&BACKWARD_INPUT, g, g.input().elements(), bindings)]));
    variants
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn tiles_3x3(
    g: &Geometry,
    input_gradient: bool,
    bias: bool,
    bindings: Vec<Argument>,
    capabilities: &Capabilities,
) -> Dispatch {
    let outputs_a_lane = if g.out_channels > 8 { 2 } else { 1 };
    let workgroup = lanes(g.out_channels.div_ceil(outputs_a_lane), capabilities);
    let tiles = g.batch * g.out_size[0].div_ceil(3) * g.out_size[1].div_ceil(4);
    let mut constants = g.extents();
    constants.extend([
        ("HAS_BIAS", flag(bias)),
        ("INPUT_GRADIENT", flag(input_gradient)),
        ("OUTPUTS_A_LANE", outputs_a_lane as f64),
        ("WORKGROUP", workgroup as f64),
    ]);
    let workgroups = tiles.div_ceil(4) * g.out_channels.div_ceil(workgroup * outputs_a_lane);
    Dispatch { kernel: &FORWARD_3X3, constants, bindings, workgroups: folded(workgroups) }
}

/// y of `g`; with `input_gradient`, where `g` is swapped, dx.
fn tiled(
    g: &Geometry,
    input_gradient: bool,
    bias_argument: Argument,
    bias: bool,
    capabilities: &Capabilities,
) -> Variant {
    let outputs_a_lane = match g.out_channels {
        ..=8 => 1,
        ..=16 => 2,
        _ => 4,
    };
    let workgroup = lanes(g.out_channels.div_ceil(outputs_a_lane), capabilities);
    let step = if input_gradient { g.stride } else { [1, 1] };
    let pixels = g.batch * g.out_size[0].div_ceil(step[0]) * g.out_size[1].div_ceil(step[1]);
    let blocks = g.out_channels.div_ceil(workgroup * outputs_a_lane);
    let dispatch = Dispatch {
        kernel: &TILED,
        constants: vec![
            ("HAS_BIAS", flag(bias)),
            ("INPUT_GRADIENT", flag(input_gradient)),
            ("OUTPUTS_A_LANE", outputs_a_lane as f64),
            ("WORKGROUP", workgroup as f64),
        ],
        bindings: vec![Input(0), Input(1), bias_argument, Table(0), Output(0)],
        workgroups: folded(step[0] * step[1] * pixels.div_ceil(64) * blocks),
    };
    Variant::new("tiled", vec![dispatch]).with_tables(vec![g.table()])
}

pub(super) fn backward_weight(g: &Geometry, capabilities: &Capabilities) -> Vec<Variant> {
    let mut variants = Vec::new();
    // x and dy are bound as single elements and by fours.
    let fours = g.input().elements() >= 4 && g.output().elements() >= 4;
    if broadcasts(capabilities) && is_3x3(g) && fours {
        let workgroup = lanes(g.channels, capabilities);
        let blocks = g.out_channels.div_ceil(8) * g.channels.div_ceil(workgroup);
        variants.push(in_parts("3x3", g, blocks, capabilities, |parts, target| {
            let mut constants = g.extents();
            let quads = g.size[1].is_multiple_of(4) && g.padding[1] == 1;
            constants.extend([("PARTS", parts as f64), ("QUADS", flag(quads)), ("WORKGROUP", workgroup as f64)]);
            Dispatch {
                kernel: &BACKWARD_WEIGHT_3X3,
                constants,
                bindings: vec![Input(0), Input(0), Input(1), Input(1), target],
                workgroups: folded(parts * blocks),
            }
        }));
    }
    if broadcasts(capabilities) && g.groups == 1 && fours {
        variants.push(backward_weight_tiled(g, capabilities));
    }
    let weights = g.weight().elements();
    variants.push(in_parts("plain", g, weights.div_ceil(64), capabilities, |parts, target| {
        let mut plain = one_each(&BACKWARD_WEIGHT, g, parts * weights, vec![Input(0), Input(1), target]);
        plain.constants.push(("PARTS", parts as f64));
        plain
    }));
    variants
}

fn backward_weight_tiled(g: &Geometry, capabilities: &Capabilities) -> Variant {
    let elements = g.channels * g.kernel[0] * g.kernel[1];
    let outputs: usize = if g.out_channels > 8 { 16 } else { 8 };
    let taps_a_lane = match elements {
        ..=8 => 1,
        ..=16 => 2,
        _ => 4,
    };
    let workgroup = lanes(elements.div_ceil(taps_a_lane), capabilities);
    let blocks = g.out_channels.div_ceil(outputs) * elements.div_ceil(workgroup * taps_a_lane);
    let pointwise = g.kernel == [1, 1] && g.stride == [1, 1] && g.padding == [0, 0];
    // The pixels of a 1x1 convolution are as good as in one row.
    let g = if pointwise { g.in_one_row() } else { *g };
    let quads = g.out_size[1].is_multiple_of(4);
    let mut table = g.table();
    let variant = in_parts("tiled", &g, blocks, capabilities, |parts, target| {
        table.push(parts as u32);
        Dispatch {
            kernel: &BACKWARD_WEIGHT_TILED,
            constants: vec![
                ("OUTPUTS", outputs as f64),
                ("TAPS_A_LANE", taps_a_lane as f64),
                ("WORKGROUP", workgroup as f64),
                ("DY_QUADS", flag(quads)),
                ("X_QUADS", flag(quads && pointwise)),
            ],
            bindings: vec![Input(0), Input(0), Input(1), Input(1), Table(0), target],
            workgroups: folded(parts * blocks),
        }
    });
    variant.with_tables(vec![table])
}

/// dw by `compute` in parts of whole samples, where one part is `blocks` workgroups, and the sum of the parts.
fn in_parts(
    name: &'static str,
    g: &Geometry,
    blocks: usize,
    capabilities: &Capabilities,
    compute: impl FnOnce(usize, Argument) -> Dispatch,
) -> Variant {
    /// Additions in a row that float32 bears.
    const ADDITIONS: usize = 16_384;
    let busy: usize = if capabilities.is_cpu { 16 } else { 1024 };
    let parts = busy.div_ceil(blocks).max((g.batch * g.out_size[0] * g.out_size[1]).div_ceil(ADDITIONS));
    // As many samples in each part, and no part without any.
    let parts = g.batch.div_ceil(g.batch.div_ceil(parts));
    if parts == 1 {
        return Variant::new(name, vec![compute(1, Output(0))]);
    }
    let weights = g.weight().elements();
    let sum = Dispatch {
        kernel: &SUM_PARTS,
        constants: vec![("PARTS", parts as f64), ("ELEMENTS", weights as f64)],
        bindings: vec![Scratch(0), Output(0)],
        workgroups: folded(weights.div_ceil(64)),
    };
    Variant::new(name, vec![compute(parts, Scratch(0)), sum]).with_scratch(vec![parts * weights])
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
