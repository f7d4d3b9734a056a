//! The kernels, and which of them suit which convolution.
//!
//! The first kernel that takes a convolution computes it: on GPUs `gemm`, then as the table says. All but that and the plain
//! ones are made for CPU adapters, where each lane of each load costs as much as eight multiply-adds of the whole subgroup;
//! all but `grouped` need subgroups of 8 lanes or more.
//!
//! | pass | kernels, the one to prefer first |
//! |---|---|
//! | y of an inference, dx | `winograd_*`: 3x3, stride 1, padding 1, one group, width by fours, where it pays |
//! | y, dx | `forward_3x3`: 3x3, stride 1, one group |
//! | | `grouped_3x3`: 3x3, stride 1, several groups |
//! | | `pointwise`: 1x1, stride 1, no padding, one group, channels and pixels by fours |
//! | | `depthwise_9x9`: 9x9, stride 1, a group a channel |
//! | | `tiled`: one group |
//! | | `gemm` in several tiles: one group; `gemm_cooperative`: as well x stored as F16, where the adapter has such matrices |
//! | | `grouped`: several groups |
//! | | `forward`, `backward_input`: any |
//! | dw | `winograd_*`, `backward_weight_3x3`, `backward_weight_grouped_3x3`, `backward_weight_depthwise_9x9`, `backward_weight_tiled`: as above |
//! | | `gemm_weight` in several tiles: one group; `gemm_weight_cooperative`: as well dy and x stored as F16 |
//! | | `backward_weight`: any |
//! | db | `backward_bias`: any |
//!
//! `forward_3x3`, `pointwise` and `tiled` can also compute mean and variance of y's channels, from the moments of the pixels
//! that an invocation holds.

use super::geometry::Geometry;
use super::{gemm, winograd};
use crate::ir::Argument::{Input, Output, Scratch, Table};
use crate::ir::{Argument, Capabilities, Dispatch, Kernel, Shape, Variant, folded};
use crate::ops::Epilogue;
use crate::ops::batch_norm::kernels::statistics_of_parts;
use crate::ops::shaders::kernels;

kernels! { "conv2d":
    FORWARD, "forward", "convolution, one output an invocation";
    FORWARD_3X3, "forward_3x3", "3x3 convolution or its input gradient, 48 pixels of 2 channels an invocation";
    GROUPED_3X3, "grouped_3x3", "3x3 convolution in groups or its input gradient, 32 pixels of 2 channels an invocation";
    DEPTHWISE_9X9, "depthwise_9x9", "depthwise 9x9 convolution or its input gradient, 64 pixels an invocation";
    POINTWISE, "pointwise", "1x1 convolution or its input gradient, 32 pixels of up to 4 channels an invocation";
    GROUPED, "grouped", "convolution in groups or its input gradient, 4 pixels of 2 channels an invocation";
    TILED, "tiled", "convolution or its input gradient, 64 pixels of up to 4 channels an invocation";
    BACKWARD_INPUT, "backward_input", "gradient for the input, one element an invocation";
    BACKWARD_WEIGHT, "backward_weight", "gradient for the weight in parts, one weight of one part an invocation";
    BACKWARD_WEIGHT_3X3, "backward_weight_3x3", "gradient for a 3x3 weight in parts, 8 outputs of one channel an invocation";
    BACKWARD_WEIGHT_GROUPED_3X3, "backward_weight_grouped_3x3", "gradient for a 3x3 weight in groups and parts, 9 taps an invocation";
    BACKWARD_WEIGHT_DEPTHWISE_9X9, "backward_weight_depthwise_9x9", "gradient for a depthwise 9x9 weight in parts, one channel an invocation";
    BACKWARD_WEIGHT_TILED, "backward_weight_tiled", "gradient for the weight in parts, 16 outputs of up to 4 elements an invocation";
    WINOGRAD_INPUT, "winograd_input", "6x6 frequencies of tiles of a 3x3 convolution's input";
    WINOGRAD_WEIGHT, "winograd_weight", "6x6 frequencies of a 3x3 weight";
    WINOGRAD_PRODUCT, "winograd_product", "products of matrices by frequency, 64 columns of 4 rows an invocation";
    WINOGRAD_PRODUCT_NARROW, "winograd_product_narrow", "the same, 16 columns of 16 rows an invocation";
    WINOGRAD_OUTPUT, "winograd_output", "outputs of a 3x3 convolution from their frequencies";
    WINOGRAD_GRADIENT, "winograd_gradient", "6x6 frequencies of tiles of an output's gradient";
    WINOGRAD_WEIGHT_GRADIENT, "winograd_weight_gradient", "gradient for a 3x3 weight from its frequencies";
    GEMM, "gemm", "convolution or its input gradient as a product of matrices, 8 channels of 4 or 8 pixels an invocation";
    GEMM_COOPERATIVE, "gemm_cooperative", "convolution or its input gradient as a product of cooperative matrices in f16, 2 x 4 of them a subgroup";
    GEMM_WEIGHT_COOPERATIVE, "gemm_weight_cooperative", "gradient for the weight in parts as a product of cooperative matrices in f16, 2 x 4 of them a subgroup";
    GEMM_WEIGHT, "gemm_weight", "gradient for the weight in parts as a product of matrices, 8 outputs of 4 or 8 elements an invocation";
    SUM_PARTS, "sum_parts", "adds the parts of a weight gradient";
    BACKWARD_BIAS, "backward_bias", "gradient for the bias, one channel a workgroup";
}

/// Adds the products of matrices: before all others on a GPU, after them on a CPU.
fn with_gemm(variants: &mut Vec<Variant>, gemm: Vec<Variant>, capabilities: &Capabilities) {
    let place = if capabilities.is_cpu { variants.len() } else { 0 };
    variants.splice(place..place, gemm);
}

/// A dispatch of one invocation an element in workgroups of 64.
fn one_each(kernel: &'static Kernel, g: &Geometry, elements: usize, bindings: Vec<Argument>) -> Dispatch {
    Dispatch { kernel, constants: g.constants(), bindings, workgroups: folded(elements.div_ceil(64)) }
}

pub(super) fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

pub(super) fn words(values: &[usize]) -> Vec<u32> {
    // Operators refuse tensors that do not fit a binding, and bindings stay below 2^32 bytes.
    values.iter().map(|&value| value as u32).collect()
}

/// Whether the kernels run that broadcast from lanes 0 to 7 of a subgroup.
fn broadcasts(capabilities: &Capabilities) -> bool {
    capabilities.subgroups && capabilities.subgroup_min_size >= 8
}

/// Invocations of a workgroup whose lanes stand for `items` items: a subgroup, or less where that suffices.
pub(super) fn lanes(items: usize, capabilities: &Capabilities) -> usize {
    items.next_multiple_of(8).min(capabilities.subgroup_min_size as usize / 8 * 8)
}

/// Whether x and dy can be bound by fours too.
pub(super) fn has_quads(g: &Geometry) -> bool {
    g.input().elements() >= 4 && g.output().elements() >= 4
}

pub(super) fn forward(g: &Geometry, pass: &Pass, capabilities: &Capabilities) -> Vec<Variant> {
    let mut variants = Vec::new();
    if broadcasts(capabilities) {
        if g.stride == [1, 1] {
            variants.extend(pass.with_stride_1(g, capabilities));
        }
        if g.groups == 1 {
            variants.push(pass.tiled(g, capabilities));
        }
    }
    if g.groups > 1 {
        variants.push(pass.grouped(g, capabilities));
    }
    with_gemm(&mut variants, gemm::forward(g, pass, capabilities), capabilities);
    let bindings = vec![Input(0), Input(1), pass.bias_argument(), pass.residual_argument(), Output(0)];
    let mut plain = one_each(&FORWARD, g, g.output().elements(), bindings);
    plain.constants.extend(pass.constants());
    variants.push(Variant::new("plain", vec![plain]));
    variants
}

pub(super) fn backward_input(g: &Geometry, half: bool, capabilities: &Capabilities) -> Vec<Variant> {
    let mut variants = Vec::new();
    let (bias, residual) = (None, None);
    let pass = Pass { input_gradient: true, bias, residual, relu: false, prepared: false, statistics: false, half };
    if broadcasts(capabilities) {
        if g.stride == [1, 1] && g.padding[0] < g.kernel[0] && g.padding[1] < g.kernel[1] {
            variants.extend(pass.with_stride_1(&g.turned(), capabilities));
        }
        if g.groups == 1 {
            variants.push(pass.tiled(&g.swapped(), capabilities));
        }
    }
    if g.groups > 1 {
        variants.push(pass.grouped(&g.swapped(), capabilities));
    }
    with_gemm(&mut variants, gemm::forward(&g.swapped(), &pass, capabilities), capabilities);
    let bindings = vec![Input(0), Input(1), Output(0)];
    variants.push(Variant::new("plain", vec![one_each(&BACKWARD_INPUT, g, g.input().elements(), bindings)]));
    variants
}

/// What a kernel for both y and dx computes. Its geometry is then the one that the kernel sees: for dx, x is dy.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    pub input_gradient: bool,
    pub bias: Option<Argument>,
    pub residual: Option<Argument>,
    pub relu: bool,
    /// Whether the weight stays the same from run to run.
    pub prepared: bool,
    /// Whether the kernels that can also compute mean and biased variance of y's channels, outputs 1 and 2, do so. Their
    /// variants then have another name.
    pub statistics: bool,
    /// Whether x is stored as F16, so that it loses nothing where it is rounded to that.
    pub half: bool,
}

impl Pass {
    /// What is bound as bias; anything will do where there is none.
    pub(super) fn bias_argument(&self) -> Argument {
        self.bias.unwrap_or(Input(1))
    }

    /// The same for the residual.
    pub(super) fn residual_argument(&self) -> Argument {
        self.residual.unwrap_or(Input(0))
    }

    /// What follows the sums.
    pub(super) fn constants(&self) -> Vec<(&'static str, f64)> {
        let epilogue = Epilogue { residual: self.residual.is_some(), relu: self.relu };
        [&[("HAS_BIAS", flag(self.bias.is_some()))], &epilogue.constants()[..]].concat()
    }

    fn variant(
        &self,
        name: &'static str,
        kernel: &'static Kernel,
        g: &Geometry,
        constants: &[(&'static str, f64)],
        bindings: Vec<Argument>,
        workgroups: usize,
    ) -> Variant {
        let mut all = self.constants();
        all.push(("INPUT_GRADIENT", flag(self.input_gradient)));
        all.extend_from_slice(constants);
        let dispatch = Dispatch { kernel, constants: all, bindings, workgroups: folded(workgroups) };
        Variant::new(name, vec![dispatch]).with_tables(vec![g.table()])
    }

    /// The kernels for stride 1. For dx, `g` is turned.
    fn with_stride_1(&self, g: &Geometry, capabilities: &Capabilities) -> Vec<Variant> {
        let direct = self.for_kernel_size(g, capabilities);
        let winograd = winograd::forward(g, self, capabilities);
        in_order(winograd::pays(g, self, capabilities), winograd, direct)
    }

    /// The kernel for the one kernel size, if there is one. For dx, `g` is turned.
    fn for_kernel_size(&self, g: &Geometry, capabilities: &Capabilities) -> Option<Variant> {
        let (bias, residual) = (self.bias_argument(), self.residual_argument());
        let tiles =
            |height: usize, width: usize| g.batch * g.out_size[0].div_ceil(height) * g.out_size[1].div_ceil(width);
        let quads = |padding: usize| flag(g.size[1].is_multiple_of(4) && g.padding[1] == padding);
        // The weight is read by fours.
        if g.kernel == [3, 3] && g.groups == 1 && g.weight().elements().is_multiple_of(4) {
            let outputs_a_lane = if g.out_channels > 8 { 2 } else { 1 };
            let workgroup = lanes(g.out_channels.div_ceil(outputs_a_lane), capabilities);
            let names = ["3x3", "3x3 with statistics"];
            return Some(self.by_parts(names, &FORWARD_3X3, g, [outputs_a_lane, workgroup], tiles(3, 4).div_ceil(4)));
        }
        // With channels by fours, so is the weight; each of its quads is then of one row.
        let by_fours = g.channels.is_multiple_of(4) && (!self.input_gradient || g.out_channels.is_multiple_of(4));
        let pixels = g.size[0] * g.size[1];
        if g.is_pointwise() && g.groups == 1 && by_fours && pixels.is_multiple_of(4) {
            let outputs_a_lane = outputs_a_lane(g);
            let workgroup = lanes(g.out_channels.div_ceil(outputs_a_lane), capabilities);
            let (names, parts) = (["pointwise", "pointwise with statistics"], (g.batch * pixels).div_ceil(32));
            return Some(self.by_parts(names, &POINTWISE, g, [outputs_a_lane, workgroup], parts));
        }
        if g.kernel == [3, 3] && g.groups > 1 && has_quads(g) {
            let outputs = pairs(g);
            let workgroup = lanes(tiles(4, 8), capabilities);
            let constants = [("OUTPUTS", outputs as f64), ("WORKGROUP", workgroup as f64), ("QUADS", quads(1))];
            let workgroups = g.out_channels / outputs * tiles(4, 8).div_ceil(workgroup);
            let bindings = vec![Input(0), Input(0), Input(1), bias, residual, Table(0), Output(0)];
            return Some(self.variant("grouped 3x3", &GROUPED_3X3, g, &constants, bindings, workgroups));
        }
        if is_depthwise_9x9(g) && has_quads(g) {
            let workgroup = lanes(tiles(8, 8), capabilities);
            let constants = [("WORKGROUP", workgroup as f64), ("QUADS", quads(4))];
            let workgroups = g.channels * tiles(8, 8).div_ceil(workgroup);
            let bindings = vec![Input(0), Input(0), Input(1), bias, residual, Table(0), Output(0)];
            return Some(self.variant("depthwise 9x9", &DEPTHWISE_9X9, g, &constants, bindings, workgroups));
        }
        None
    }

    /// The kernel for any kernel and stride of one group. For dx, `g` is swapped.
    fn tiled(&self, g: &Geometry, capabilities: &Capabilities) -> Variant {
        let outputs_a_lane = outputs_a_lane(g);
        let workgroup = lanes(g.out_channels.div_ceil(outputs_a_lane), capabilities);
        let class = self.largest_class(g);
        let parts = self.classes(g) * (g.batch * class[0] * class[1]).div_ceil(64);
        self.by_parts(["tiled", "tiled with statistics"], &TILED, g, [outputs_a_lane, workgroup], parts)
    }

    /// A kernel that computes all pixels in so many parts and can write the moments of each; the second name is that of the
    /// variant with statistics.
    fn by_parts(
        &self,
        names: [&'static str; 2],
        kernel: &'static Kernel,
        g: &Geometry,
        [outputs_a_lane, workgroup]: [usize; 2],
        parts: usize,
    ) -> Variant {
        let constants = [
            ("STATISTICS", flag(self.statistics)),
            ("OUTPUTS_A_LANE", outputs_a_lane as f64),
            ("WORKGROUP", workgroup as f64),
        ];
        let (bias, residual) = (self.bias_argument(), self.residual_argument());
        let bindings = vec![Input(0), Input(1), bias, residual, Table(0), Output(0), Scratch(0)];
        let workgroups = parts * g.out_channels.div_ceil(workgroup * outputs_a_lane);
        let mut variant =
            self.variant(names[usize::from(self.statistics)], kernel, g, &constants, bindings, workgroups);
        if self.statistics {
            variant.dispatches.push(statistics_of_parts(g.out_channels, parts, Scratch(0), Table(1)));
            variant.tables.push(vec![g.out_channels as u32, parts as u32]);
            variant.with_scratch(vec![3 * parts * g.out_channels])
        } else {
            // The binding needs some buffer that is written by nobody else.
            variant.with_scratch(vec![4])
        }
    }

    /// The kernel for any kernel, stride and groups. For dx, `g` is swapped.
    fn grouped(&self, g: &Geometry, capabilities: &Capabilities) -> Variant {
        let outputs = pairs(g);
        let workgroup: usize = if capabilities.is_cpu { 8 } else { 64 };
        let class = self.largest_class(g);
        let blocks = g.out_channels / outputs;
        let constants = [("OUTPUTS", outputs as f64), ("WORKGROUP", workgroup as f64)];
        let (bias, residual) = (self.bias_argument(), self.residual_argument());
        let bindings = vec![Input(0), Input(1), bias, residual, Table(0), Output(0)];
        let quads = g.batch * class[0] * class[1].div_ceil(4);
        let workgroups = self.classes(g) * quads.div_ceil(workgroup) * blocks;
        self.variant("grouped", &GROUPED, g, &constants, bindings, workgroups)
    }

    /// Rows and columns from a pixel to the next that meets the same taps: for dx, the stride.
    fn step(&self, g: &Geometry) -> [usize; 2] {
        if self.input_gradient { g.stride } else { [1, 1] }
    }

    /// Classes of pixels that meet the same taps.
    fn classes(&self, g: &Geometry) -> usize {
        self.step(g).iter().product()
    }

    /// Rows and columns of the largest class.
    fn largest_class(&self, g: &Geometry) -> [usize; 2] {
        let step = self.step(g);
        [0, 1].map(|axis| g.out_size[axis].div_ceil(step[axis]))
    }
}

/// `a` before `b` if `a_first`, else after.
fn in_order(a_first: bool, a: Option<Variant>, b: Option<Variant>) -> Vec<Variant> {
    let (first, second) = if a_first { (a, b) } else { (b, a) };
    first.into_iter().chain(second).collect()
}

/// 2 where the outputs of a group fall into pairs, 1 otherwise.
fn pairs(g: &Geometry) -> usize {
    if (g.out_channels / g.groups).is_multiple_of(2) { 2 } else { 1 }
}

/// Channels that a lane of `tiled` and `pointwise` computes: the more, the more each load serves.
fn outputs_a_lane(g: &Geometry) -> usize {
    match g.out_channels {
        ..=8 => 1,
        9..=16 => 2,
        _ => 4,
    }
}

fn is_depthwise_9x9(g: &Geometry) -> bool {
    g.kernel == [9, 9] && g.groups == g.channels && g.out_channels == g.channels
}

pub(super) fn backward_weight(g: &Geometry, halves: bool, capabilities: &Capabilities) -> Vec<Variant> {
    let mut variants = Vec::new();
    if broadcasts(capabilities) && has_quads(g) {
        let quads = |padding: usize| flag(g.size[1].is_multiple_of(4) && g.padding[1] == padding);
        if g.stride == [1, 1] && g.kernel == [3, 3] && g.groups == 1 {
            let workgroup = lanes(g.channels, capabilities);
            let blocks = g.out_channels.div_ceil(8) * g.channels.div_ceil(workgroup);
            let constants = vec![("WORKGROUP", workgroup as f64), ("QUADS", quads(1))];
            let direct = in_parts("3x3", &BACKWARD_WEIGHT_3X3, g, constants, capabilities, 1, blocks);
            let winograd = winograd::backward_weight(g, capabilities);
            variants.extend(in_order(winograd::pays_for_weight(g, capabilities), winograd, Some(direct)));
        } else if g.stride == [1, 1] && g.kernel == [3, 3] {
            let rows = g.out_channels * g.group_channels();
            let constants = vec![("QUADS", quads(1))];
            let kernel = &BACKWARD_WEIGHT_GROUPED_3X3;
            variants.push(in_parts("grouped 3x3", kernel, g, constants, capabilities, 8, rows));
        } else if g.stride == [1, 1] && is_depthwise_9x9(g) {
            let workgroup = lanes(g.channels, capabilities);
            let constants = vec![("WORKGROUP", workgroup as f64), ("QUADS", quads(4))];
            let (kernel, blocks) = (&BACKWARD_WEIGHT_DEPTHWISE_9X9, g.channels.div_ceil(workgroup));
            variants.push(in_parts("depthwise 9x9", kernel, g, constants, capabilities, 1, blocks));
        }
        if g.groups == 1 {
            variants.push(backward_weight_tiled(g, capabilities));
        }
    }
    with_gemm(&mut variants, gemm::backward_weight(g, halves, capabilities), capabilities);
    let weights = g.weight().elements();
    let parts = parts(g, weights.div_ceil(64), capabilities);
    let mut plain = one_each(&BACKWARD_WEIGHT, g, parts * weights, vec![Input(0), Input(1), target(parts)]);
    plain.constants.push(("PARTS", parts as f64));
    variants.push(summed("plain", g, parts, plain));
    variants
}

fn backward_weight_tiled(g: &Geometry, capabilities: &Capabilities) -> Variant {
    let elements = g.channels * g.kernel[0] * g.kernel[1];
    let outputs: usize = if g.out_channels > 8 { 16 } else { 8 };
    let taps_a_lane = match elements {
        ..=8 => 1,
        9..=16 => 2,
        _ => 4,
    };
    let workgroup = lanes(elements.div_ceil(taps_a_lane), capabilities);
    let blocks = g.out_channels.div_ceil(outputs) * elements.div_ceil(workgroup * taps_a_lane);
    let pointwise = g.is_pointwise();
    // The pixels of a 1x1 convolution are as good as in one row, where rows are not of quads.
    let g = if pointwise && !g.out_size[1].is_multiple_of(4) { g.in_one_row() } else { *g };
    let quads = g.out_size[1].is_multiple_of(4);
    let constants = vec![
        ("OUTPUTS", outputs as f64),
        ("TAPS_A_LANE", taps_a_lane as f64),
        ("WORKGROUP", workgroup as f64),
        ("DY_QUADS", flag(quads)),
        ("X_QUADS", flag(quads && pointwise)),
    ];
    in_parts("tiled", &BACKWARD_WEIGHT_TILED, &g, constants, capabilities, 1, blocks)
}

/// dw by a kernel that reads dy and x both by ones and by fours, and of which one part has `items` items, so many a
/// workgroup.
fn in_parts(
    name: &'static str,
    kernel: &'static Kernel,
    g: &Geometry,
    constants: Vec<(&'static str, f64)>,
    capabilities: &Capabilities,
    items_a_workgroup: usize,
    items: usize,
) -> Variant {
    let parts = parts(g, items.div_ceil(items_a_workgroup), capabilities);
    let mut table = g.table();
    table.push(parts as u32);
    let bindings = vec![Input(0), Input(0), Input(1), Input(1), Table(0), target(parts)];
    let workgroups = folded((parts * items).div_ceil(items_a_workgroup));
    summed(name, g, parts, Dispatch { kernel, constants, bindings, workgroups }).with_tables(vec![table])
}

/// Parts, of whole samples, that dw is computed in where a part is `workgroups` workgroups: enough to keep the adapter
/// busy, and few enough additions in a row for float32.
fn parts(g: &Geometry, workgroups: usize, capabilities: &Capabilities) -> usize {
    const ADDITIONS: usize = 4096;
    let busy: usize = if capabilities.is_cpu { 16 } else { 1024 };
    let parts = busy.div_ceil(workgroups).max((g.batch * g.out_size[0] * g.out_size[1]).div_ceil(ADDITIONS));
    // As many samples in each part, and no part without any.
    g.batch.div_ceil(g.batch.div_ceil(parts))
}

/// Where the parts of dw go: a single one is dw itself.
pub(super) fn target(parts: usize) -> Argument {
    if parts == 1 { Output(0) } else { Scratch(0) }
}

/// `compute`, and the sum of its parts where there are several.
pub(super) fn summed(name: &'static str, g: &Geometry, parts: usize, compute: Dispatch) -> Variant {
    if parts == 1 {
        return Variant::new(name, vec![compute]);
    }
    let weights = g.weight().elements();
    let sum = Dispatch {
        kernel: &SUM_PARTS,
        constants: vec![("PARTS", parts as f64), ("ELEMENTS", weights as f64)],
        bindings: vec![Scratch(0), Output(0)],
        workgroups: folded(weights.div_ceil(64)),
    };
    Variant::new(name, vec![compute, sum]).with_scratch(vec![parts * weights])
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
