//! Convolutions of one group as products of matrices in tiles that a workgroup holds in its memory: what suits GPUs.
//!
//! The patches of x are not written out: a kernel finds each from where its pixel lies.

use super::direct::with_moments;
use super::gemm_tables::{PixelClasses, weight_table};
use super::geometry::Geometry;
use super::pass::{Pass, flag};
use super::registry::{
    GEMM, GEMM_COOPERATIVE, GEMM_COOPERATIVE_16, GEMM_WEIGHT, GEMM_WEIGHT_COOPERATIVE, GEMM_WEIGHT_COOPERATIVE_16,
    SUM_PRODUCTS,
};
use super::splits::{ADDITIONS, summed, target};
use super::tile::{Product, SLICE, Tile, tiles};
use crate::ir::Argument::{Input, Output, Scratch, Table};
use crate::ir::{Accuracy, Argument, Capabilities, Dispatch, Kernel, Variant, folded};

/// y from x, weight and perhaps bias and residual; or dx from dy and weight, where `g` is transposed.
pub(super) fn forward(g: &Geometry, pass: &Pass, capabilities: &Capabilities) -> Vec<Variant> {
    if g.groups > 1 {
        return Vec::new();
    }
    let classes = PixelClasses::of(g, pass);
    let depth = depth(g.channels);
    let product = Product {
        rows: g.out_channels,
        columns: classes.count() * classes.pixels(),
        slices: (g.channels.div_ceil(depth) * classes.taps() * depth).div_ceil(SLICE),
        least_splits: 1,
        most_splits: capabilities.max_tensor_bytes() as usize / (4 * g.output().elements()),
    };
    let tiles = tiles(&product, capabilities);
    let tiled = tiles.into_iter().map(|tile| forward_tiled(tile, &product, depth, g, pass, &classes));
    cooperative(g, pass, &classes, capabilities).into_iter().chain(tiled).collect()
}

/// Channels of a slice: 16 where these leave few places empty, else 8.
fn depth(channels: usize) -> usize {
    if 4 * channels.next_multiple_of(16) <= 5 * channels { 16 } else { 8 }
}

fn forward_tiled(
    tile: &Tile,
    product: &Product,
    depth: usize,
    g: &Geometry,
    pass: &Pass,
    classes: &PixelClasses,
) -> Variant {
    let splits = tile.splits(product);
    let statistics = pass.statistics && splits == 1;
    // What follows the sums is left to who adds up the splits.
    let own = if splits == 1 { *pass } else { Pass { bias: None, residual: None, relu: false, ..*pass } };
    let mut constants = own.constants();
    constants.extend(tile.constants());
    constants.extend([
        ("STATISTICS", flag(statistics)),
        ("ROWS_FIRST", flag(pass.input_gradient)),
        ("TAIL", flag(!g.channels.is_multiple_of(depth))),
        ("DEPTH", depth as f64),
    ]);
    let y = if splits == 1 { Output(0) } else { Scratch(1) };
    let bindings = vec![Input(0), Input(1), own.bias_argument(), own.residual_argument(), Table(0), y, Scratch(0)];
    let blocks = classes.count() * tile.blocks(g.out_channels, classes.pixels());
    let product = Dispatch { kernel: &GEMM, constants, bindings, workgroups: folded(splits * blocks) };
    let mut variant = Variant::new(tile.names[usize::from(statistics)], vec![product]);
    variant.tables = vec![classes.table(tile.columns, splits)];
    // The binding of the moments needs some buffer that is written by nobody else.
    variant.scratch = vec![4];
    if splits > 1 {
        variant.dispatches.push(sum_products(g, pass, splits));
        variant.scratch.push(splits * g.output().elements());
    }
    if statistics { with_moments(variant, g, classes.pixels().div_ceil(tile.columns)) } else { variant }
}

/// y from the sums of its splits, scratch tensor 1.
fn sum_products(g: &Geometry, pass: &Pass, splits: usize) -> Dispatch {
    let mut constants = pass.constants();
    constants.extend([
        ("SPLITS", splits as f64),
        ("ELEMENTS", g.output().elements() as f64),
        ("OUT_CHANNELS", g.out_channels as f64),
        ("OUT_PLANE", (g.out_size[0] * g.out_size[1]) as f64),
    ]);
    let bindings = vec![Scratch(1), pass.bias_argument(), pass.residual_argument(), Output(0)];
    Dispatch { kernel: &SUM_PRODUCTS, constants, bindings, workgroups: folded(g.output().elements().div_ceil(64)) }
}

/// Rows and columns of the tile of four subgroups with 2 x 4 cooperative matrices each, where the adapter has them.
fn cooperative_tile(capabilities: &Capabilities) -> Option<[usize; 2]> {
    let size = capabilities.cooperative_matrix? as usize;
    Some([4 * size, 8 * size])
}

/// The same by cooperative matrices, which round x and the weight to f16: only where x is f16 anyway.
fn cooperative(g: &Geometry, pass: &Pass, classes: &PixelClasses, capabilities: &Capabilities) -> Option<Variant> {
    let [rows, columns] = cooperative_tile(capabilities).filter(|_| pass.f16)?;
    let mut constants = pass.constants();
    constants.push(("SUBGROUP", f64::from(capabilities.subgroup_min_size)));
    let (bias, residual) = (pass.bias_argument(), pass.residual_argument());
    let bindings = vec![Input(0), Input(1), bias, residual, Table(0), Output(0)];
    let blocks = g.out_channels.div_ceil(rows) * classes.pixels().div_ceil(columns);
    let kernel = if rows == 64 { &GEMM_COOPERATIVE_16 } else { &GEMM_COOPERATIVE };
    let dispatch = Dispatch { kernel, constants, bindings, workgroups: folded(classes.count() * blocks) };
    let variant = Variant::new(COOPERATIVE, vec![dispatch]).with_tables(vec![classes.table(columns, 1)]);
    Some(variant.with_accuracy(Accuracy::F16Products))
}

const COOPERATIVE: &str = "gemm cooperative";

/// dweight from dy and x, in splits of the pixels; `f16` says whether both are stored as F16.
pub(super) fn backward_weight(g: &Geometry, f16: bool, capabilities: &Capabilities) -> Vec<Variant> {
    if g.groups > 1 || !g.has_vec4() {
        return Vec::new();
    }
    let (rows, columns) = (g.out_channels, g.taps());
    let slices = (g.batch * g.out_size[0] * g.out_size[1]).div_ceil(SLICE);
    let product = Product {
        rows,
        columns,
        slices,
        least_splits: slices.div_ceil(ADDITIONS / SLICE),
        most_splits: capabilities.max_tensor_bytes() as usize / (4 * rows * columns),
    };
    let variant =
        |name, kernel: &'static Kernel, constants, mut bindings: Vec<Argument>, [blocks, splits]: [usize; 2]| {
            let split_slices = slices.div_ceil(splits);
            // No split without any.
            let splits = slices.div_ceil(split_slices);
            bindings.extend([Table(0), target(splits)]);
            let compute = Dispatch { kernel, constants, bindings, workgroups: folded(splits * blocks) };
            summed(name, g, splits, compute).with_tables(vec![weight_table(g, splits, split_slices)])
        };
    let cooperative = cooperative_tile(capabilities).filter(|_| f16).map(|[tile_rows, tile_columns]| {
        let kernel = if tile_rows == 64 { &GEMM_WEIGHT_COOPERATIVE_16 } else { &GEMM_WEIGHT_COOPERATIVE };
        let constants = vec![("SUBGROUP", f64::from(capabilities.subgroup_min_size))];
        let blocks = rows.div_ceil(tile_rows) * columns.div_ceil(tile_columns);
        let busy = if capabilities.is_cpu { 16_usize } else { 512 };
        let splits = busy.div_ceil(blocks).max(product.least_splits).clamp(1, product.most_splits.max(1));
        variant(COOPERATIVE, kernel, constants, vec![Input(0), Input(1)], [blocks, splits])
            .with_accuracy(Accuracy::F16Products)
    });
    let vec4 = (g.out_size[0] * g.out_size[1]).is_multiple_of(4);
    let loads = [
        ("STRIDE_X", g.stride[1] as f64),
        ("DY_VEC4", flag(vec4)),
        ("ROW_VEC4", flag(g.out_size[1].is_multiple_of(4))),
        ("X_VEC4", flag(vec4 && g.is_pointwise())),
    ];
    let tiled = |tile: &Tile| {
        let bindings = vec![Input(0), Input(0), Input(1), Input(1)];
        let constants = [&tile.constants()[..], &loads].concat();
        let blocks = tile.blocks(rows, columns);
        variant(tile.names[0], &GEMM_WEIGHT, constants, bindings, [blocks, tile.splits(&product)])
    };
    cooperative.into_iter().chain(tiles(&product, capabilities).into_iter().map(tiled)).collect()
}
