//! Tiles of feature maps that GPU kernels keep in workgroup memory.

/// A tile of 1024 elements: so many strips of four columns side by side, and as many rows as that leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapTile {
    strips: usize,
}

/// Elements of a tile.
const ELEMENTS: usize = 1024;

impl MapTile {
    /// The tile that covers maps of so many rows and columns with the fewest elements past their ends: 32x32 where that is
    /// as good as any, since it has the least around it.
    pub fn of(size: [usize; 2]) -> Self {
        let candidates = [8, 16, 4].map(|strips| Self { strips });
        let covered = |tile: &Self| tile.count(size);
        // There are candidates.
        candidates.into_iter().min_by_key(covered).unwrap_or(candidates[0])
    }

    /// Tiles that cover a map of so many rows and columns.
    pub fn count(self, size: [usize; 2]) -> usize {
        let columns = 4 * self.strips;
        size[0].div_ceil(ELEMENTS / columns) * size[1].div_ceil(columns)
    }

    /// The `override` constant of kernels that work on such tiles.
    pub fn constant(self) -> (&'static str, f64) {
        ("STRIPS", self.strips as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_have_the_shape_that_fits_the_map() {
        for (size, strips, count) in
            [([64, 64], 8, 4), ([64, 48], 4, 3), ([16, 64], 16, 1), ([64, 16], 4, 1), ([1, 1], 8, 1), ([33, 65], 4, 5)]
        {
            let tile = MapTile::of(size);
            assert_eq!((tile.strips, tile.count(size)), (strips, count), "{size:?}");
        }
    }
}
