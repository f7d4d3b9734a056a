//! Sizes of inputs and of their heat maps.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Input pixels that a heat-map pixel spans in each direction, in every network here.
pub const STRIDE: u32 = 4;

/// A size in pixels. Wherever it is written as a list or a text (TOML, JSON, the command line, a tensor's extents), the
/// height comes first: `[256, 192]`, `256x192`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "[u32; 2]", into = "[u32; 2]")]
pub struct Size {
    /// Rows.
    pub height: u32,
    /// Pixels in a row.
    pub width: u32,
}

impl Size {
    /// A size of `height` rows.
    pub const fn new(height: u32, width: u32) -> Self {
        Self { height, width }
    }

    /// The size of the heat maps of an input of this size.
    pub fn heat_map(self) -> Self {
        Self::new(self.height / STRIDE, self.width / STRIDE)
    }

    /// The extents of a tensor's map of this size, `[H, W]`.
    pub fn extents(self) -> [usize; 2] {
        [self.height as usize, self.width as usize]
    }

    /// Whether height and width are multiples of `step`, and not 0.
    pub fn is_multiple_of(self, step: u32) -> bool {
        [self.height, self.width].iter().all(|&side| side > 0 && side.is_multiple_of(step))
    }

    /// The shorter side.
    pub fn shorter(self) -> u32 {
        self.height.min(self.width)
    }
}

impl From<[u32; 2]> for Size {
    /// Height and width.
    fn from([height, width]: [u32; 2]) -> Self {
        Self { height, width }
    }
}

impl From<Size> for [u32; 2] {
    /// Height and width.
    fn from(size: Size) -> Self {
        [size.height, size.width]
    }
}

impl fmt::Display for Size {
    /// `HEIGHTxWIDTH`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_height_comes_first_wherever_a_size_is_written() {
        let size = Size { height: 256, width: 192 };
        assert_eq!(size, Size::new(256, 192));
        assert_eq!(serde_json::to_string(&size).unwrap(), "[256,192]");
        assert_eq!(serde_json::from_str::<Size>("[256, 192]").unwrap(), size);
        assert_eq!((size.to_string().as_str(), size.extents()), ("256x192", [256, 192]));
        assert_eq!(size.heat_map(), Size::new(64, 48));
    }

    #[test]
    fn both_sides_are_multiples() {
        assert!(Size::new(256, 192).is_multiple_of(32));
        assert!(!Size::new(256, 200).is_multiple_of(32) && !Size::new(0, 32).is_multiple_of(32));
    }
}
