//! The kernels for GPUs that compute y, dx and dw of few channels a group from its definition, with tiles of the maps in
//! workgroup memory.

use super::direct::variant;
use super::geometry::Geometry;
use super::pass::{Pass, flag, pairs};
use super::registry::{
    BACKWARD_WEIGHT_DEPTHWISE_9X9_SHARED, BACKWARD_WEIGHT_GROUPED_3X3_SHARED, DEPTHWISE_9X9_SHARED, GROUPED_3X3_SHARED,
};
use super::splits::{ADDITIONS, busy, summed, target};
use super::tables::Extents;
use crate::ir::Argument::{Input, Output, Table};
use crate::ir::{Capabilities, Dispatch, Variant, folded};
use crate::ops::map_tile::MapTile;
use crate::ops::table::{word, words};

const DEPTHWISE: &str = "depthwise 9x9 shared";
const GROUPED: &str = "grouped 3x3 shared";

/// Most products of a tile that a lane adds to one weight.
const A_LANE: usize = 16;

/// y or dx of a 9x9 convolution of a group a channel or a 3x3 convolution of several groups, with stride 1.
pub(super) fn forward(g: &Geometry, pass: &Pass) -> Option<Variant> {
    let tile = MapTile::of(g.out_size);
    let tiles = g.batch * tile.count(g.out_size);
    let (bias, residual) = (pass.bias_argument(), pass.residual_argument());
    let bindings = vec![Input(0), Input(0), Input(1), bias, residual, Table(0), Output(0)];
    if is_depthwise(g) {
        let constants = [("VEC4", flag(g.has_vec4_rows(4))), tile.constant()];
        let workgroups = g.channels * tiles;
        Some(variant(DEPTHWISE, &DEPTHWISE_9X9_SHARED, g, pass, &constants, bindings, workgroups))
    } else if is_grouped(g) {
        let (outputs, channels) = (pairs(g.out_channels / g.groups), pairs(g.group_channels()));
        let constants = [
            ("OUTPUTS", outputs as f64),
            ("CHANNELS", channels as f64),
            ("VEC4", flag(g.has_vec4_rows(1))),
            tile.constant(),
        ];
        let workgroups = g.out_channels / outputs * tiles;
        Some(variant(GROUPED, &GROUPED_3X3_SHARED, g, pass, &constants, bindings, workgroups))
    } else {
        None
    }
}

/// dw of the same.
pub(super) fn backward_weight(g: &Geometry, capabilities: &Capabilities) -> Option<Variant> {
    let tile = MapTile::of(g.out_size);
    let (name, kernel, constants, blocks) = if is_depthwise(g) {
        let constants = vec![("VEC4", flag(g.has_vec4_rows(4))), tile.constant()];
        (DEPTHWISE, &BACKWARD_WEIGHT_DEPTHWISE_9X9_SHARED, constants, g.channels)
    } else if is_grouped(g) {
        let (outputs, channels) = (pairs(g.out_channels / g.groups), pairs(g.group_channels()));
        let constants = vec![
            ("OUTPUTS", outputs as f64),
            ("CHANNELS", channels as f64),
            ("VEC4", flag(g.has_vec4_rows(1))),
            tile.constant(),
        ];
        let blocks = g.out_channels / outputs * (g.group_channels() / channels);
        (GROUPED, &BACKWARD_WEIGHT_GROUPED_3X3_SHARED, constants, blocks)
    } else {
        return None;
    };
    let splits = splits(g.batch * tile.count(g.out_size), blocks, capabilities);
    let table = Extents { splits: word(splits), ..Extents::of(g) };
    let bindings = vec![Input(0), Input(0), Input(1), Input(1), Table(0), target(splits)];
    let compute = Dispatch { kernel, constants, bindings, workgroups: folded(splits * blocks) };
    Some(summed(name, g, splits, compute).with_tables(vec![words(&[table])]))
}

fn is_depthwise(g: &Geometry) -> bool {
    g.is_depthwise_9x9() && g.stride == [1, 1] && g.has_vec4()
}

fn is_grouped(g: &Geometry) -> bool {
    g.kernel == [3, 3] && g.groups > 1 && g.stride == [1, 1] && g.has_vec4()
}

/// Splits that dw is computed in, of whole tiles of which a lane adds up [`A_LANE`] products each, where a split is
/// `blocks` workgroups.
fn splits(tiles: usize, blocks: usize, capabilities: &Capabilities) -> usize {
    let splits = busy(capabilities).div_ceil(blocks).max((tiles * A_LANE).div_ceil(ADDITIONS)).min(tiles);
    // As many tiles in each split, and no split without any.
    tiles.div_ceil(tiles.div_ceil(splits))
}
