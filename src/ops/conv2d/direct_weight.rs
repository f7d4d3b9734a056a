//! The kernels that compute dw and db from their definition.

use super::geometry::Geometry;
use super::pass::{flag, lanes};
use super::registry::{
    BACKWARD_BIAS, BACKWARD_WEIGHT, BACKWARD_WEIGHT_3X3, BACKWARD_WEIGHT_DEPTHWISE_9X9, BACKWARD_WEIGHT_GROUPED_3X3,
    BACKWARD_WEIGHT_TILED,
};
use super::splits::{ADDITIONS, busy, summed, target};
use super::tables::Extents;
use crate::ir::Argument::{Input, Output, Table};
use crate::ir::{Capabilities, Dispatch, Kernel, Shape, Variant, folded};
use crate::ops::table::{word, words};

/// One weight of one split an invocation, any convolution.
pub(super) fn plain(g: &Geometry, capabilities: &Capabilities) -> Variant {
    let weights = g.weight().elements();
    let splits = splits(g, weights.div_ceil(64), capabilities);
    let mut constants = g.constants();
    constants.push(("SPLITS", splits as f64));
    let bindings = vec![Input(0), Input(1), target(splits)];
    let workgroups = folded((splits * weights).div_ceil(64));
    summed("plain", g, splits, Dispatch { kernel: &BACKWARD_WEIGHT, constants, bindings, workgroups })
}

/// 3x3 of one group with stride 1.
pub(super) fn conv_3x3(g: &Geometry, capabilities: &Capabilities) -> Option<Variant> {
    if g.kernel != [3, 3] || g.groups > 1 || !g.has_vec4() {
        return None;
    }
    let workgroup = lanes(g.channels, capabilities);
    let blocks = g.out_channels.div_ceil(8) * g.channels.div_ceil(workgroup);
    let constants = vec![("WORKGROUP", workgroup as f64), ("VEC4", flag(g.has_vec4_rows(1)))];
    Some(in_splits("3x3", &BACKWARD_WEIGHT_3X3, g, constants, capabilities, 1, blocks))
}

/// 3x3 of several groups with stride 1.
pub(super) fn grouped_3x3(g: &Geometry, capabilities: &Capabilities) -> Option<Variant> {
    if g.kernel != [3, 3] || g.groups == 1 || !g.has_vec4() {
        return None;
    }
    let rows = g.out_channels * g.group_channels();
    let constants = vec![("VEC4", flag(g.has_vec4_rows(1)))];
    Some(in_splits("grouped 3x3", &BACKWARD_WEIGHT_GROUPED_3X3, g, constants, capabilities, 8, rows))
}

/// 9x9 of a group a channel with stride 1.
pub(super) fn depthwise_9x9(g: &Geometry, capabilities: &Capabilities) -> Option<Variant> {
    if !g.is_depthwise_9x9() || !g.has_vec4() {
        return None;
    }
    let workgroup = lanes(g.channels, capabilities);
    let constants = vec![("WORKGROUP", workgroup as f64), ("VEC4", flag(g.has_vec4_rows(4)))];
    let (kernel, blocks) = (&BACKWARD_WEIGHT_DEPTHWISE_9X9, g.channels.div_ceil(workgroup));
    Some(in_splits("depthwise 9x9", kernel, g, constants, capabilities, 1, blocks))
}

/// Any kernel and stride of one group.
pub(super) fn tiled(g: &Geometry, capabilities: &Capabilities) -> Option<Variant> {
    if g.groups > 1 || !g.has_vec4() {
        return None;
    }
    let elements = g.taps();
    let outputs: usize = if g.out_channels > 8 { 16 } else { 8 };
    let taps_a_lane = match elements {
        ..=8 => 1,
        9..=16 => 2,
        _ => 4,
    };
    let workgroup = lanes(elements.div_ceil(taps_a_lane), capabilities);
    let blocks = g.out_channels.div_ceil(outputs) * elements.div_ceil(workgroup * taps_a_lane);
    let pointwise = g.is_pointwise();
    // The pixels of a 1x1 convolution are as good as in one row, where rows are not multiples of 4.
    let g = if pointwise && !g.out_size[1].is_multiple_of(4) { g.in_one_row() } else { *g };
    let dy_vec4 = g.out_size[1].is_multiple_of(4);
    let constants = vec![
        ("OUTPUTS", outputs as f64),
        ("TAPS_A_LANE", taps_a_lane as f64),
        ("WORKGROUP", workgroup as f64),
        ("DY_VEC4", flag(dy_vec4)),
        ("X_VEC4", flag(dy_vec4 && pointwise)),
    ];
    Some(in_splits("tiled", &BACKWARD_WEIGHT_TILED, &g, constants, capabilities, 1, blocks))
}

/// db, one channel a workgroup, of dy of this shape.
pub(super) fn bias(dy: &Shape) -> Variant {
    let extents = dy.extents();
    let constants = vec![
        ("BATCH", extents[0] as f64),
        ("OUT_CHANNELS", extents[1] as f64),
        ("PIXELS", (extents[2] * extents[3]) as f64),
    ];
    let (bindings, workgroups) = (vec![Input(0), Output(0)], folded(extents[1]));
    Variant::new("plain", vec![Dispatch { kernel: &BACKWARD_BIAS, constants, bindings, workgroups }])
}

/// dw by a kernel that reads dy and x both as scalars and as vec4, and of which one split has `items` items, so many a
/// workgroup.
fn in_splits(
    name: &'static str,
    kernel: &'static Kernel,
    g: &Geometry,
    constants: Vec<(&'static str, f64)>,
    capabilities: &Capabilities,
    items_a_workgroup: usize,
    items: usize,
) -> Variant {
    let splits = splits(g, items.div_ceil(items_a_workgroup), capabilities);
    let table = Extents { splits: word(splits), ..Extents::of(g) };
    let bindings = vec![Input(0), Input(0), Input(1), Input(1), Table(0), target(splits)];
    let workgroups = folded((splits * items).div_ceil(items_a_workgroup));
    let compute = Dispatch { kernel, constants, bindings, workgroups };
    summed(name, g, splits, compute).with_tables(vec![words(&[table])])
}

/// Splits, of whole samples, that dw is computed in where a split is `workgroups` workgroups: enough to keep the adapter
/// busy, and few enough additions in a row for float32.
fn splits(g: &Geometry, workgroups: usize, capabilities: &Capabilities) -> usize {
    let splits =
        busy(capabilities).div_ceil(workgroups).max((g.batch * g.out_size[0] * g.out_size[1]).div_ceil(ADDITIONS));
    // As many samples in each split, and no split without any.
    g.batch.div_ceil(g.batch.div_ceil(splits))
}
