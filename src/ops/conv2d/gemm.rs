//! Convolutions of one group as products of matrices in tiles that a workgroup holds in its memory: what suits GPUs.
//!
//! The patches of x are not written out; a table made here says for each tap where its element of x lies from a pixel.

use super::geometry::Geometry;
use super::pass::Pass;
use super::registry::{
    GEMM, GEMM_COOPERATIVE, GEMM_COOPERATIVE_16, GEMM_WEIGHT, GEMM_WEIGHT_COOPERATIVE, GEMM_WEIGHT_COOPERATIVE_16,
};
use super::splits::{ADDITIONS, summed, target};
use super::taps::{SLICE, Taps, is_weight_vec4, weight_table};
use crate::ir::Argument::{Input, Output, Table};
use crate::ir::{Accuracy, Argument, Capabilities, Dispatch, Kernel, Variant, folded};

/// What one workgroup computes: 8 rows of some columns an invocation.
struct Tile {
    name: &'static str,
    rows: usize,
    columns: usize,
    columns_a_lane: usize,
}

/// For few channels or small maps, for most, and for large products, where each load serves the most sums.
const TILES: [Tile; 3] = [
    Tile { name: "gemm 32x64", rows: 32, columns: 64, columns_a_lane: 4 },
    Tile { name: "gemm 64x64", rows: 64, columns: 64, columns_a_lane: 8 },
    Tile { name: "gemm 128x128", rows: 128, columns: 128, columns_a_lane: 8 },
];

/// Workgroups that keep a GPU busy.
const BUSY: usize = 512;

impl Tile {
    /// Workgroups for a product of so many rows and columns.
    fn blocks(&self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.rows) * columns.div_ceil(self.columns)
    }

    fn fits(&self, capabilities: &Capabilities) -> bool {
        let invocations = self.rows / 8 * (self.columns / self.columns_a_lane);
        let bytes = 4 * SLICE * (self.rows + self.columns);
        invocations <= capabilities.max_workgroup_invocations as usize
            && bytes <= capabilities.workgroup_memory as usize
    }

    fn constants(&self) -> [(&'static str, f64); 3] {
        [("ROWS", self.rows), ("COLUMNS", self.columns), ("COLUMNS_A_LANE", self.columns_a_lane)]
            .map(|(name, value)| (name, value as f64))
    }
}

/// The tiles for a product of so many rows and columns, the one to prefer first: the largest that the rows fill and that
/// leaves no part of a GPU idle.
fn tiles(rows: usize, columns: usize, capabilities: &Capabilities) -> Vec<&'static Tile> {
    let mut tiles: Vec<&Tile> = TILES.iter().filter(|tile| tile.fits(capabilities)).collect();
    let suits = |tile: &&Tile| rows.is_multiple_of(tile.rows) && tile.blocks(rows, columns) >= BUSY;
    if let Some(first) = tiles.iter().rposition(suits) {
        tiles[..=first].rotate_right(1);
    }
    tiles
}

/// y from x, weight and perhaps bias and residual; or dx from dy and weight, where `g` is transposed.
pub(super) fn forward(g: &Geometry, pass: &Pass, capabilities: &Capabilities) -> Vec<Variant> {
    if g.groups > 1 || !g.has_vec4() {
        return Vec::new();
    }
    let taps = Taps::of(g, pass);
    let variant = |tile: &Tile| {
        let mut constants = pass.constants();
        constants.extend(tile.constants());
        let (bias, residual) = (pass.bias_argument(), pass.residual_argument());
        // Where it is not read as vec4, the weight may be too small for that, and anything will do.
        let weight_vec4 = if is_weight_vec4(g, pass) { Input(1) } else { Table(0) };
        let bindings = vec![Input(0), Input(0), Input(1), weight_vec4, bias, residual, Table(0), Table(1), Output(0)];
        let workgroups = folded(taps.classes() * tile.blocks(g.out_channels, taps.pixels()));
        let dispatch = Dispatch { kernel: &GEMM, constants, bindings, workgroups };
        Variant::new(tile.name, vec![dispatch]).with_tables(taps.tables(tile.columns))
    };
    let tiles = tiles(g.out_channels, taps.classes() * taps.pixels(), capabilities);
    cooperative(g, pass, &taps, capabilities).into_iter().chain(tiles.into_iter().map(variant)).collect()
}

/// The tile of four subgroups with 2 x 4 cooperative matrices each, where the adapter has them.
fn cooperative_tile(capabilities: &Capabilities) -> Option<Tile> {
    let size = capabilities.cooperative_matrix? as usize;
    Some(Tile { name: "gemm cooperative", rows: 4 * size, columns: 8 * size, columns_a_lane: 8 })
}

/// The same by cooperative matrices, which round x and the weight to f16: only where x is f16 anyway.
fn cooperative(g: &Geometry, pass: &Pass, taps: &Taps, capabilities: &Capabilities) -> Option<Variant> {
    let tile = cooperative_tile(capabilities).filter(|_| pass.f16)?;
    let mut constants = pass.constants();
    constants.push(("SUBGROUP", f64::from(capabilities.subgroup_min_size)));
    let (bias, residual) = (pass.bias_argument(), pass.residual_argument());
    let bindings = vec![Input(0), Input(1), bias, residual, Table(0), Table(1), Output(0)];
    let workgroups = folded(taps.classes() * tile.blocks(g.out_channels, taps.pixels()));
    let kernel = if tile.rows == 64 { &GEMM_COOPERATIVE_16 } else { &GEMM_COOPERATIVE };
    let dispatch = Dispatch { kernel, constants, bindings, workgroups };
    let variant = Variant::new(tile.name, vec![dispatch]).with_tables(taps.tables(tile.columns));
    Some(variant.with_accuracy(Accuracy::F16Products))
}

/// dweight from dy and x, in splits of the pixels; `f16` says whether both are stored as F16.
pub(super) fn backward_weight(g: &Geometry, f16: bool, capabilities: &Capabilities) -> Vec<Variant> {
    if g.groups > 1 || !g.has_vec4() {
        return Vec::new();
    }
    let slices = (g.batch * g.out_size[0] * g.out_size[1]).div_ceil(SLICE);
    let busy = if capabilities.is_cpu { 16 } else { BUSY };
    let (rows, columns) = (g.out_channels, g.taps());
    let largest = capabilities.max_tensor_bytes() as usize / (4 * rows * columns);
    let variant = |tile: &Tile, kernel: &'static Kernel, constants: Vec<_>, mut bindings: Vec<Argument>| {
        let blocks = tile.blocks(rows, columns);
        let splits = busy.div_ceil(blocks).max(slices.div_ceil(ADDITIONS / SLICE)).clamp(1, largest.max(1));
        let split_slices = slices.div_ceil(splits);
        // No split without any.
        let splits = slices.div_ceil(split_slices);
        bindings.extend([Table(0), target(splits)]);
        let compute = Dispatch { kernel, constants, bindings, workgroups: folded(splits * blocks) };
        summed(tile.name, g, splits, compute).with_tables(vec![weight_table(g, splits, split_slices)])
    };
    let cooperative = cooperative_tile(capabilities).filter(|_| f16).map(|tile| {
        let kernel = if tile.rows == 64 { &GEMM_WEIGHT_COOPERATIVE_16 } else { &GEMM_WEIGHT_COOPERATIVE };
        let constants = vec![("SUBGROUP", f64::from(capabilities.subgroup_min_size))];
        variant(&tile, kernel, constants, vec![Input(0), Input(1)]).with_accuracy(Accuracy::F16Products)
    });
    let tiled = |tile: &Tile| {
        let bindings = vec![Input(0), Input(0), Input(1), Input(1)];
        variant(tile, &GEMM_WEIGHT, tile.constants().to_vec(), bindings)
    };
    cooperative.into_iter().chain(tiles(rows, columns, capabilities).into_iter().map(tiled)).collect()
}
