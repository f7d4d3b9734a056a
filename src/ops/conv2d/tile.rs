//! The tiles of the products of matrices, and which suits which product on a GPU.
//!
//! The choice is that of a model: the operations of the padded tiles over the rate that a large GPU reaches with this tile
//! and with so many invocations, and the launch and the traffic of the kernel that adds up splits.

use crate::ir::Capabilities;

/// Taps or pixels that a workgroup holds at a time: elements of the sums.
pub(super) const SLICE: usize = 16;

/// What one workgroup computes: 8 rows of some columns an invocation.
pub(super) struct Tile {
    /// Name of the variant, and of that with statistics.
    pub names: [&'static str; 2],
    pub rows: usize,
    pub columns: usize,
    pub columns_a_lane: usize,
    /// Share of the instructions of the main loop that are multiply-adds, on GPUs: docs/isa.md.
    efficiency: f64,
}

/// For few channels or small maps, for most, and for large products, where each load serves the most sums.
pub(super) const TILES: [Tile; 5] = [
    tile(["gemm 32x64", "gemm 32x64 with statistics"], [32, 64, 4], 0.65),
    tile(["gemm 32x128", "gemm 32x128 with statistics"], [32, 128, 8], 0.70),
    tile(["gemm 64x64", "gemm 64x64 with statistics"], [64, 64, 8], 0.71),
    tile(["gemm 64x128", "gemm 64x128 with statistics"], [64, 128, 8], 0.75),
    tile(["gemm 128x128", "gemm 128x128 with statistics"], [128, 128, 8], 0.78),
];

const fn tile(names: [&'static str; 2], [rows, columns, columns_a_lane]: [usize; 3], efficiency: f64) -> Tile {
    Tile { names, rows, columns, columns_a_lane, efficiency }
}

/// A product of matrices, as far as the choice depends on it.
pub(super) struct Product {
    pub rows: usize,
    pub columns: usize,
    /// Slices of the sums.
    pub slices: usize,
    /// Fewest splits of them: what the length of a sum in float32 asks for.
    pub least_splits: usize,
    /// Most splits of them: what the memory for their sums allows.
    pub most_splits: usize,
}

/// Invocations that keep a large GPU busy: four subgroups of 32 on each of the four schedulers of 64 processors.
const BUSY: f64 = 32_768.0;

/// Slices of a split at least: with fewer, the kernel mostly begins and ends.
const LEAST_SLICES: usize = 4;

impl Tile {
    pub fn invocations(&self) -> usize {
        self.rows / 8 * (self.columns / self.columns_a_lane)
    }

    /// Workgroups for a product of so many rows and columns.
    pub fn blocks(&self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.rows) * columns.div_ceil(self.columns)
    }

    fn fits(&self, capabilities: &Capabilities) -> bool {
        // A slice of both sides, and where the columns lie.
        let bytes = 4 * SLICE * (self.rows + self.columns + 4) + 12 * self.columns;
        self.invocations() <= capabilities.max_workgroup_invocations as usize
            && bytes <= capabilities.workgroup_memory as usize
    }

    pub fn constants(&self) -> [(&'static str, f64); 3] {
        [("ROWS", self.rows), ("COLUMNS", self.columns), ("COLUMNS_A_LANE", self.columns_a_lane)]
            .map(|(name, value)| (name, value as f64))
    }

    /// Seconds of a product in so many splits on a large GPU.
    fn seconds(&self, product: &Product, splits: usize) -> f64 {
        /// Operations and bytes a second, and seconds from one dispatch to the next.
        const FLOPS: f64 = 60e12;
        const BYTES: f64 = 2e12;
        const LAUNCH: f64 = 4e-6;
        let blocks = self.blocks(product.rows, product.columns);
        let operations = 2.0 * (blocks * self.rows * self.columns * product.slices * SLICE) as f64;
        let fill = (blocks * splits * self.invocations()) as f64 / BUSY;
        let products = operations / (FLOPS * self.efficiency * fill.min(1.0));
        if splits == 1 {
            return products;
        }
        let traffic = 8.0 * (product.rows * product.columns * splits) as f64;
        products + LAUNCH + traffic / BYTES
    }

    /// The number of splits that is fastest.
    pub fn splits(&self, product: &Product) -> usize {
        let most = (product.slices / LEAST_SLICES).min(product.most_splits).max(1);
        let least = product.least_splits.min(most);
        let halved = std::iter::successors(Some(most), |&splits| (splits / 2 >= least).then_some(splits / 2));
        let candidates = halved.filter(|&splits| splits > 0).chain([least.max(1)]);
        let seconds = |splits: &usize| self.seconds(product, *splits);
        // There is at least the last one.
        candidates.min_by(|a, b| seconds(a).total_cmp(&seconds(b))).unwrap_or(1)
    }
}

/// The tiles for a product, the one to prefer first.
pub(super) fn tiles(product: &Product, capabilities: &Capabilities) -> Vec<&'static Tile> {
    let mut tiles: Vec<&Tile> = TILES.iter().filter(|tile| tile.fits(capabilities)).collect();
    let seconds = |tile: &Tile| tile.seconds(product, tile.splits(product));
    let fastest = (0..tiles.len()).min_by(|&a, &b| seconds(tiles[a]).total_cmp(&seconds(tiles[b])));
    if let Some(fastest) = fastest {
        tiles[..=fastest].rotate_right(1);
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(rows: usize, columns: usize, slices: usize) -> Product {
        Product { rows, columns, slices, least_splits: 1, most_splits: usize::MAX }
    }

    /// Workgroups of the tile that suits a product best.
    fn workgroups(product: &Product) -> (usize, &'static Tile) {
        let seconds = |tile: &&Tile| tile.seconds(product, tile.splits(product));
        let best = TILES.iter().min_by(|a, b| seconds(a).total_cmp(&seconds(b))).expect("tiles");
        (best.splits(product) * best.blocks(product.rows, product.columns), best)
    }

    #[test]
    fn products_with_few_tiles_are_split_until_they_fill_a_gpu() {
        // 3x3 convolutions of one picture in HRNet-W32: 128 channels of 16x16, 256 of 8x8.
        for deep in [product(128, 256, 72), product(256, 64, 144)] {
            assert!(workgroups(&deep).0 >= 132, "{}", workgroups(&deep).0);
        }
    }

    #[test]
    fn large_products_take_large_tiles_and_no_splits() {
        let (count, tile) = workgroups(&product(128, 32 * 32 * 32, 72));
        assert_eq!((tile.rows, tile.columns, count), (128, 128, 256));
        // 32 rows leave none of theirs empty.
        assert_eq!(workgroups(&product(32, 32 * 64 * 64, 18)).1.rows, 32);
    }

    #[test]
    fn a_split_is_neither_longer_than_float32_bears_nor_more_than_memory_holds() {
        let bounded = Product { least_splits: 8, most_splits: 16, ..product(256, 2304, 8192) };
        for tile in &TILES {
            assert!((8..=16).contains(&tile.splits(&bounded)));
        }
    }
}
