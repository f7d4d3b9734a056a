//! Convolutions of one group as products of matrices in tiles that a workgroup holds in its memory: what suits GPUs.
//!
//! The patches of x are not written out; a table made here says for each tap where its element of x lies from a pixel.

use std::sync::LazyLock;

use super::geometry::Geometry;
use super::kernels::{
    GEMM, GEMM_COOPERATIVE, GEMM_WEIGHT, GEMM_WEIGHT_COOPERATIVE, Pass, has_quads, summed, target, words,
};
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

/// Elements of the sums that a workgroup holds at a time.
const SLICE: usize = 16;

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

/// y from x, weight and perhaps bias and residual; or dx from dy and weight, where `g` is swapped.
pub(super) fn forward(g: &Geometry, pass: &Pass, capabilities: &Capabilities) -> Vec<Variant> {
    if g.groups > 1 || !has_quads(g) {
        return Vec::new();
    }
    let classes = classes(g, pass.input_gradient);
    // The first class is the largest.
    let pixels = pixels_of(g, &classes[0]);
    let variant = |tile: &Tile| {
        let mut constants = pass.constants();
        constants.extend(tile.constants());
        let (bias, residual) = (pass.bias_argument(), pass.residual_argument());
        // Where it is not read by fours, the weight may be too small for that, and anything will do.
        let weight_quads = if weight_by_fours(g, pass.input_gradient) { Input(1) } else { Table(0) };
        let bindings = vec![Input(0), Input(0), Input(1), weight_quads, bias, residual, Table(0), Output(0)];
        let workgroups = folded(classes.len() * tile.blocks(g.out_channels, pixels));
        let table = forward_table(g, pass.input_gradient, &classes, pixels.div_ceil(tile.columns));
        Variant::new(tile.name, vec![Dispatch { kernel: &GEMM, constants, bindings, workgroups }])
            .with_tables(vec![table])
    };
    let tiles = tiles(g.out_channels, classes.len() * pixels, capabilities);
    cooperative(g, pass, &classes, capabilities).into_iter().chain(tiles.into_iter().map(variant)).collect()
}

static GEMM_COOPERATIVE_16: LazyLock<Kernel> =
    LazyLock::new(|| GEMM_COOPERATIVE.with_matrices_of_16("conv2d/gemm_cooperative_16"));
static GEMM_WEIGHT_COOPERATIVE_16: LazyLock<Kernel> =
    LazyLock::new(|| GEMM_WEIGHT_COOPERATIVE.with_matrices_of_16("conv2d/gemm_weight_cooperative_16"));

/// The tile of four subgroups with 2 x 4 cooperative matrices each, where the adapter has them.
fn cooperative_tile(capabilities: &Capabilities) -> Option<Tile> {
    let size = capabilities.cooperative_matrix? as usize;
    Some(Tile { name: "gemm cooperative", rows: 4 * size, columns: 8 * size, columns_a_lane: 8 })
}

/// The same by cooperative matrices, which round x and the weight to f16: only where x is stored so anyway.
fn cooperative(g: &Geometry, pass: &Pass, classes: &[Class], capabilities: &Capabilities) -> Option<Variant> {
    let tile = cooperative_tile(capabilities).filter(|_| pass.half)?;
    let pixels = pixels_of(g, &classes[0]);
    let mut constants = pass.constants();
    constants.push(("SUBGROUP", f64::from(capabilities.subgroup_min_size)));
    let bindings = vec![Input(0), Input(1), pass.bias_argument(), pass.residual_argument(), Table(0), Output(0)];
    let workgroups = folded(classes.len() * tile.blocks(g.out_channels, pixels));
    let kernel = if tile.rows == 64 { &GEMM_COOPERATIVE_16 } else { &GEMM_COOPERATIVE };
    let table = forward_table(g, pass.input_gradient, classes, pixels.div_ceil(tile.columns));
    let dispatch = Dispatch { kernel, constants, bindings, workgroups };
    Some(Variant::new(tile.name, vec![dispatch]).with_tables(vec![table]).with_accuracy(Accuracy::F16Products))
}

/// dweight from dy and x, in parts of the pixels; `halves` says whether both are stored as F16.
pub(super) fn backward_weight(g: &Geometry, halves: bool, capabilities: &Capabilities) -> Vec<Variant> {
    /// Pixels of a part: few enough additions in a row for float32.
    const LONGEST: usize = 4096;
    if g.groups > 1 || !has_quads(g) {
        return Vec::new();
    }
    let slices = (g.batch * g.out_size[0] * g.out_size[1]).div_ceil(SLICE);
    let busy = if capabilities.is_cpu { 16 } else { BUSY };
    let (rows, columns) = (g.out_channels, taps(g));
    let largest = capabilities.max_binding_bytes.min(capabilities.max_buffer_bytes) as usize / (4 * rows * columns);
    let variant = |tile: &Tile, kernel: &'static Kernel, constants: Vec<_>, mut bindings: Vec<Argument>| {
        let blocks = tile.blocks(rows, columns);
        let parts = busy.div_ceil(blocks).max(slices.div_ceil(LONGEST / SLICE)).clamp(1, largest.max(1));
        let part_slices = slices.div_ceil(parts);
        // No part without any.
        let parts = slices.div_ceil(part_slices);
        bindings.extend([Table(0), target(parts)]);
        let compute = Dispatch { kernel, constants, bindings, workgroups: folded(parts * blocks) };
        summed(tile.name, g, parts, compute).with_tables(vec![weight_table(g, parts, part_slices)])
    };
    let cooperative = cooperative_tile(capabilities).filter(|_| halves).map(|tile| {
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

/// Taps of an output channel: the elements of its weight.
fn taps(g: &Geometry) -> usize {
    g.channels * g.kernel[0] * g.kernel[1]
}

/// Whether the taps of a row of the weight lie side by side, a multiple of four.
fn weight_by_fours(g: &Geometry, input_gradient: bool) -> bool {
    !input_gradient && taps(g).is_multiple_of(4)
}

/// Whether the elements of x for a pixel lie at the pixel's own place, and pixels by fours.
fn x_by_fours(g: &Geometry) -> bool {
    g.is_pointwise() && dy_by_fours(g)
}

/// Whether a plane of y or dy has pixels by fours.
fn dy_by_fours(g: &Geometry) -> bool {
    (g.out_size[0] * g.out_size[1]).is_multiple_of(4)
}

/// Pixels of y that meet the same taps: every so many rows and columns from the first on.
struct Class {
    first: [usize; 2],
    count: [usize; 2],
    /// Row and column of x where the first pixel lies.
    origin: [i32; 2],
    /// For each tap: elements, rows and columns of x from where a pixel lies; place in a row of the weight.
    taps: Vec<[i32; 4]>,
}

/// Pixels of a class in all samples.
fn pixels_of(g: &Geometry, class: &Class) -> usize {
    g.batch * class.count[0] * class.count[1]
}

/// The classes that have pixels, the largest first. For dx, `g` is swapped.
fn classes(g: &Geometry, input_gradient: bool) -> Vec<Class> {
    let step = steps(g, input_gradient);
    let residues = (0..step[0]).flat_map(|row| (0..step[1]).map(move |column| [row, column]));
    let exists = |first: &[usize; 2]| first[0] < g.out_size[0] && first[1] < g.out_size[1];
    let class = |first: [usize; 2]| {
        let count = [0, 1].map(|axis| (g.out_size[axis] - first[axis]).div_ceil(step[axis]));
        let padded = [0, 1].map(|axis| first[axis] + g.padding[axis]);
        if input_gradient {
            let origin = [0, 1].map(|axis| (padded[axis] / step[axis]) as i32);
            let first_tap = [0, 1].map(|axis| padded[axis] % step[axis]);
            let channel_step = g.out_channels * g.kernel[0] * g.kernel[1];
            Class { first, count, origin, taps: all_taps(g, first_tap, step, -1, channel_step) }
        } else {
            let origin = g.padding.map(|padding| -(padding as i32));
            Class { first, count, origin, taps: all_taps(g, [0, 0], step, 1, g.kernel[0] * g.kernel[1]) }
        }
    };
    residues.filter(exists).map(class).collect()
}

/// Rows and columns from a pixel to the next that meets the same taps.
fn steps(g: &Geometry, input_gradient: bool) -> [usize; 2] {
    if input_gradient { g.stride } else { [1, 1] }
}

/// All channels of every `step`-th row and column of the kernel from the first on; the next looks one row or column further
/// in `direction`.
fn all_taps(g: &Geometry, first: [usize; 2], step: [usize; 2], direction: i32, channel_step: usize) -> Vec<[i32; 4]> {
    let mut taps = Vec::new();
    for channel in 0..g.channels {
        for (row, u) in (first[0]..g.kernel[0]).step_by(step[0]).enumerate() {
            for (column, v) in (first[1]..g.kernel[1]).step_by(step[1]).enumerate() {
                let elements = (channel * g.size[0] * g.size[1]) as i32;
                let (row, column) = (direction * row as i32, direction * column as i32);
                let weight = (channel * channel_step + u * g.kernel[1] + v) as i32;
                taps.push([elements + row * g.size[1] as i32 + column, row, column, weight]);
            }
        }
    }
    taps
}

/// The table of `gemm.wgsl`.
fn forward_table(g: &Geometry, input_gradient: bool, classes: &[Class], column_blocks: usize) -> Vec<u32> {
    /// Rows away from x that no pixel's own row makes up for.
    const OUTSIDE: i32 = -0x4000_0000;
    let pace = if input_gradient { [1, 1] } else { g.stride };
    let step = steps(g, input_gradient);
    let row_step = if input_gradient { g.kernel[0] * g.kernel[1] } else { taps(g) };
    let mut table = words(&[
        g.batch,
        g.size[0],
        g.size[1],
        g.channels * g.size[0] * g.size[1],
        g.out_channels,
        g.out_size[0] * g.out_size[1],
        g.out_size[1],
        row_step,
        pace[0],
        pace[1],
        step[0],
        step[1],
        classes.len(),
        column_blocks,
        usize::from(weight_by_fours(g, input_gradient)),
        usize::from(x_by_fours(g)),
    ]);
    let mut first_tap = 2 * classes.len();
    for class in classes {
        let slices = class.taps.len().div_ceil(SLICE);
        table.extend(words(&[class.first[0], class.first[1], class.count[0], class.count[1]]));
        table.extend(class.origin.map(|origin| origin as u32));
        table.extend(words(&[first_tap, slices]));
        first_tap += slices * SLICE;
    }
    for class in classes {
        // A weight of the class, so that what is not a number in others does not reach it.
        let filling = class.taps.last().map(|tap| [0, OUTSIDE, 0, tap[3]]).unwrap_or_default();
        let count = class.taps.len().next_multiple_of(SLICE);
        let filled = class.taps.iter().copied().chain(std::iter::repeat(filling)).take(count);
        table.extend(filled.flatten().map(|word| word as u32));
    }
    table
}

/// The table of `gemm_weight.wgsl`.
fn weight_table(g: &Geometry, parts: usize, part_slices: usize) -> Vec<u32> {
    let mut table = words(&[
        g.batch,
        g.size[0],
        g.size[1],
        g.channels * g.size[0] * g.size[1],
        g.out_channels,
        g.out_size[0],
        g.out_size[1],
        g.stride[0],
        g.stride[1],
        g.padding[0],
        g.padding[1],
        taps(g),
        parts,
        part_slices,
        usize::from(dy_by_fours(g)),
        usize::from(x_by_fours(g)),
    ]);
    let taps = all_taps(g, [0, 0], [1, 1], 1, g.kernel[0] * g.kernel[1]);
    table.extend(taps.into_iter().flatten().map(|word| word as u32));
    table
}
