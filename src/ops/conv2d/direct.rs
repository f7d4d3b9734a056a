//! The kernels that compute y, or dx, from its definition.
//!
//! For dx, the geometry of those with stride 1 is rotated, that of the others transposed.

use super::geometry::Geometry;
use super::pass::{Pass, flag, lanes, pairs};
use super::registry::{BACKWARD_INPUT, DEPTHWISE_9X9, FORWARD, FORWARD_3X3, GROUPED, GROUPED_3X3, POINTWISE, TILED};
use super::tables::Extents;
use crate::ir::Argument::{Input, Output, Scratch, Table};
use crate::ir::{Argument, Capabilities, Dispatch, Kernel, Variant, folded};
use crate::ops::batch_norm::kernels::{Moments, MomentsExtents, statistics_of_splits};
use crate::ops::table::{word, words};

/// One output an invocation, any convolution.
pub(super) fn plain(g: &Geometry, pass: &Pass) -> Variant {
    let bindings = vec![Input(0), Input(1), pass.bias_argument(), pass.residual_argument(), Output(0)];
    let constants = [g.constants(), pass.constants()].concat();
    let workgroups = folded(g.output().elements().div_ceil(64));
    Variant::new("plain", vec![Dispatch { kernel: &FORWARD, constants, bindings, workgroups }])
}

/// The same for dx: one element an invocation. `g` is that of the convolution.
pub(super) fn plain_input_gradient(g: &Geometry, pass: &Pass) -> Variant {
    let bindings = vec![Input(0), Input(1), pass.residual_argument(), Output(0)];
    let mut constants = g.constants();
    constants.push(("RESIDUAL", flag(pass.residual.is_some())));
    let workgroups = folded(g.input().elements().div_ceil(64));
    Variant::new("plain", vec![Dispatch { kernel: &BACKWARD_INPUT, constants, bindings, workgroups }])
}

/// 3x3 of one group with stride 1. The weight is read as vec4.
pub(super) fn conv_3x3(g: &Geometry, pass: &Pass, capabilities: &Capabilities) -> Option<Variant> {
    if g.kernel != [3, 3] || g.groups > 1 || !g.weight().elements().is_multiple_of(4) {
        return None;
    }
    let outputs_a_lane = if g.out_channels > 8 { 2 } else { 1 };
    let workgroup = lanes(g.out_channels.div_ceil(outputs_a_lane), capabilities);
    let names = ["3x3", "3x3 with statistics"];
    Some(in_splits(names, &FORWARD_3X3, g, pass, [outputs_a_lane, workgroup], tiles(g, 3, 4).div_ceil(4)))
}

/// 1x1 of one group with stride 1 and channels and pixels that are multiples of 4. Then so is the weight, and each vec4 of
/// it is of one row.
pub(super) fn pointwise(g: &Geometry, pass: &Pass, capabilities: &Capabilities) -> Option<Variant> {
    let pixels = g.size[0] * g.size[1];
    let as_vec4 = pixels.is_multiple_of(4)
        && g.channels.is_multiple_of(4)
        && (!pass.input_gradient || g.out_channels.is_multiple_of(4));
    if !g.is_pointwise() || g.groups > 1 || !as_vec4 {
        return None;
    }
    let outputs_a_lane = outputs_a_lane(g);
    let workgroup = lanes(g.out_channels.div_ceil(outputs_a_lane), capabilities);
    let (names, splits) = (["pointwise", "pointwise with statistics"], (g.batch * pixels).div_ceil(32));
    Some(in_splits(names, &POINTWISE, g, pass, [outputs_a_lane, workgroup], splits))
}

/// 3x3 of several groups with stride 1.
pub(super) fn grouped_3x3(g: &Geometry, pass: &Pass, capabilities: &Capabilities) -> Option<Variant> {
    if g.kernel != [3, 3] || g.groups == 1 || !g.has_vec4() {
        return None;
    }
    let outputs = pairs(g.out_channels / g.groups);
    let workgroup = lanes(tiles(g, 4, 8), capabilities);
    let constants = [("OUTPUTS", outputs as f64), ("WORKGROUP", workgroup as f64), ("VEC4", flag(g.has_vec4_rows(1)))];
    let workgroups = g.out_channels / outputs * tiles(g, 4, 8).div_ceil(workgroup);
    let (bias, residual) = (pass.bias_argument(), pass.residual_argument());
    let bindings = vec![Input(0), Input(0), Input(1), bias, residual, Table(0), Output(0)];
    Some(variant("grouped 3x3", &GROUPED_3X3, g, pass, &constants, bindings, workgroups))
}

/// 9x9 of a group a channel with stride 1.
pub(super) fn depthwise_9x9(g: &Geometry, pass: &Pass, capabilities: &Capabilities) -> Option<Variant> {
    if !g.is_depthwise_9x9() || !g.has_vec4() {
        return None;
    }
    let workgroup = lanes(tiles(g, 8, 8), capabilities);
    let constants = [("WORKGROUP", workgroup as f64), ("VEC4", flag(g.has_vec4_rows(4)))];
    let workgroups = g.channels * tiles(g, 8, 8).div_ceil(workgroup);
    let (bias, residual) = (pass.bias_argument(), pass.residual_argument());
    let bindings = vec![Input(0), Input(0), Input(1), bias, residual, Table(0), Output(0)];
    Some(variant("depthwise 9x9", &DEPTHWISE_9X9, g, pass, &constants, bindings, workgroups))
}

/// Any kernel and stride of one group.
pub(super) fn tiled(g: &Geometry, pass: &Pass, capabilities: &Capabilities) -> Option<Variant> {
    if g.groups > 1 {
        return None;
    }
    let outputs_a_lane = outputs_a_lane(g);
    let workgroup = lanes(g.out_channels.div_ceil(outputs_a_lane), capabilities);
    let [rows, columns] = largest_class(g, pass);
    let splits = classes(g, pass) * (g.batch * rows * columns).div_ceil(64);
    Some(in_splits(["tiled", "tiled with statistics"], &TILED, g, pass, [outputs_a_lane, workgroup], splits))
}

/// Any kernel and stride of several groups.
pub(super) fn grouped(g: &Geometry, pass: &Pass, capabilities: &Capabilities) -> Option<Variant> {
    if g.groups == 1 {
        return None;
    }
    let outputs = pairs(g.out_channels / g.groups);
    let workgroup: usize = if capabilities.is_cpu { 8 } else { 64 };
    let [rows, columns] = largest_class(g, pass);
    let blocks = g.out_channels / outputs;
    let constants = [("OUTPUTS", outputs as f64), ("WORKGROUP", workgroup as f64)];
    let (bias, residual) = (pass.bias_argument(), pass.residual_argument());
    let bindings = vec![Input(0), Input(1), bias, residual, Table(0), Output(0)];
    let vectors = g.batch * rows * columns.div_ceil(4);
    let workgroups = classes(g, pass) * vectors.div_ceil(workgroup) * blocks;
    Some(variant("grouped", &GROUPED, g, pass, &constants, bindings, workgroups))
}

/// A kernel that reads the extents as table 0.
pub(super) fn variant(
    name: &'static str,
    kernel: &'static Kernel,
    g: &Geometry,
    pass: &Pass,
    constants: &[(&'static str, f64)],
    bindings: Vec<Argument>,
    workgroups: usize,
) -> Variant {
    let mut all = pass.constants();
    all.push(("INPUT_GRADIENT", flag(pass.input_gradient)));
    all.extend_from_slice(constants);
    let dispatch = Dispatch { kernel, constants: all, bindings, workgroups: folded(workgroups) };
    Variant::new(name, vec![dispatch]).with_tables(vec![words(&[Extents::of(g)])])
}

/// A kernel that computes all pixels in so many splits and can write the moments of each; the second name is that of the
/// variant with statistics.
fn in_splits(
    names: [&'static str; 2],
    kernel: &'static Kernel,
    g: &Geometry,
    pass: &Pass,
    [outputs_a_lane, workgroup]: [usize; 2],
    splits: usize,
) -> Variant {
    let constants = [
        ("STATISTICS", flag(pass.statistics)),
        ("OUTPUTS_A_LANE", outputs_a_lane as f64),
        ("WORKGROUP", workgroup as f64),
    ];
    let (bias, residual) = (pass.bias_argument(), pass.residual_argument());
    let bindings = vec![Input(0), Input(1), bias, residual, Table(0), Output(0), Scratch(0)];
    let workgroups = splits * g.out_channels.div_ceil(workgroup * outputs_a_lane);
    let name = names[usize::from(pass.statistics)];
    // The binding of the moments needs some buffer that is written by nobody else.
    let variant = variant(name, kernel, g, pass, &constants, bindings, workgroups).with_scratch(vec![4]);
    if pass.statistics { with_moments(variant, g, splits) } else { variant }
}

/// `variant`, which has one table and writes the moments of so many splits of each channel as scratch tensor 0, with mean and
/// variance behind it.
pub(super) fn with_moments(mut variant: Variant, g: &Geometry, splits: usize) -> Variant {
    let extents = MomentsExtents { channels: word(g.out_channels), splits: word(splits) };
    variant.dispatches.push(statistics_of_splits(g.out_channels, splits, Scratch(0), Table(1)));
    variant.tables.push(words(&[extents]));
    variant.scratch[0] = size_of::<Moments>() / 4 * splits * g.out_channels;
    variant
}

/// Tiles of so many rows and columns that cover y.
fn tiles(g: &Geometry, rows: usize, columns: usize) -> usize {
    g.batch * g.out_size[0].div_ceil(rows) * g.out_size[1].div_ceil(columns)
}

/// Classes of pixels that meet the same taps.
fn classes(g: &Geometry, pass: &Pass) -> usize {
    pass.output_stride(g).iter().product()
}

/// Rows and columns of the largest class.
fn largest_class(g: &Geometry, pass: &Pass) -> [usize; 2] {
    let output_stride = pass.output_stride(g);
    [0, 1].map(|axis| g.out_size[axis].div_ceil(output_stride[axis]))
}

/// Channels that a lane of `tiled` and `pointwise` computes: the more, the more each load serves.
fn outputs_a_lane(g: &Geometry) -> usize {
    match g.out_channels {
        ..=8 => 1,
        9..=16 => 2,
        _ => 4,
    }
}
