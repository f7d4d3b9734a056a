//! The tables of the products of matrices: where the pixels of y lie in x, and which taps they meet.

use super::geometry::Geometry;
use super::pass::Pass;
use super::tables::{GemmTable, GemmWeightTable, PixelClass};
use crate::ops::table::{word, words};

/// The pixels of y, or for dx those of dx, by the taps that they meet.
pub(super) struct PixelClasses {
    /// All but `column_blocks` and `splits`.
    table: GemmTable,
    /// The classes that have pixels, the largest first.
    classes: Vec<PixelClass>,
}

impl PixelClasses {
    /// Those of a pass; for dx, `g` is transposed.
    pub fn of(g: &Geometry, pass: &Pass) -> Self {
        let output_stride = pass.output_stride(g);
        let residues = (0..output_stride[0]).flat_map(|row| (0..output_stride[1]).map(move |column| [row, column]));
        let inside = residues.filter(|first| first[0] < g.out_size[0] && first[1] < g.out_size[1]);
        let classes: Vec<PixelClass> = inside.map(|first| class(g, pass, first)).collect();
        let kernel_plane = g.kernel[0] * g.kernel[1];
        // dx: the weight is [channels of dy, channels of dx, KH, KW], and dy is x here.
        let (row_stride, channel_stride, direction, stride) = if pass.input_gradient {
            (kernel_plane, g.out_channels * kernel_plane, -1, [1, 1])
        } else {
            (g.taps(), kernel_plane, 1, g.stride)
        };
        let table = GemmTable {
            batch: word(g.batch),
            channels: word(g.channels),
            height: word(g.size[0]),
            width: word(g.size[1]),
            out_channels: word(g.out_channels),
            out_plane: word(g.out_size[0] * g.out_size[1]),
            out_width: word(g.out_size[1]),
            row_stride: word(row_stride),
            channel_stride: word(channel_stride),
            tap_row_stride: word(output_stride[0] * g.kernel[1]),
            tap_column_stride: word(output_stride[1]),
            direction,
            stride_y: word(stride[0]),
            stride_x: word(stride[1]),
            output_stride_y: word(output_stride[0]),
            output_stride_x: word(output_stride[1]),
            class_count: word(classes.len()),
            column_blocks: 0,
            splits: 1,
        };
        Self { table, classes }
    }

    /// How many classes.
    pub fn count(&self) -> usize {
        self.classes.len()
    }

    /// Pixels of the largest class in all samples.
    pub fn pixels(&self) -> usize {
        (self.table.batch * self.classes[0].rows * self.classes[0].columns) as usize
    }

    /// Most taps that a pixel meets.
    pub fn taps(&self) -> usize {
        let taps = self.classes.iter().map(|class| (class.tap_rows * class.tap_columns) as usize);
        taps.max().unwrap_or(0)
    }

    /// The table of `gemm.wgsl` where a workgroup computes so many columns, in so many splits.
    pub fn table(&self, columns: usize, splits: usize) -> Vec<u32> {
        let column_blocks = word(self.pixels().div_ceil(columns));
        let table = GemmTable { column_blocks, splits: word(splits), ..self.table };
        [words(&[table]), words(&self.classes)].concat()
    }
}

/// The class of the pixels from `first` on.
fn class(g: &Geometry, pass: &Pass, first: [usize; 2]) -> PixelClass {
    let output_stride = pass.output_stride(g);
    let padded = [0, 1].map(|axis| first[axis] + g.padding[axis]);
    let (origin, first_tap) = if pass.input_gradient {
        let origin = [0, 1].map(|axis| (padded[axis] / output_stride[axis]) as i32);
        (origin, [0, 1].map(|axis| padded[axis] % output_stride[axis]))
    } else {
        (g.padding.map(|padding| -(padding as i32)), [0, 0])
    };
    // A stride beyond the kernel leaves pixels without taps.
    let taps = [0, 1].map(|axis| g.kernel[axis].saturating_sub(first_tap[axis]).div_ceil(output_stride[axis]));
    let count = [0, 1].map(|axis| (g.out_size[axis] - first[axis]).div_ceil(output_stride[axis]));
    PixelClass {
        first_row: word(first[0]),
        first_column: word(first[1]),
        rows: word(count[0]),
        columns: word(count[1]),
        origin_row: origin[0],
        origin_column: origin[1],
        tap_rows: word(taps[0]),
        tap_columns: word(taps[1]),
        first_tap: word(first_tap[0] * g.kernel[1] + first_tap[1]),
    }
}

/// The table of `gemm_weight.wgsl` for so many splits of so many slices of pixels.
pub(super) fn weight_table(g: &Geometry, splits: usize, split_slices: usize) -> Vec<u32> {
    words(&[GemmWeightTable {
        batch: word(g.batch),
        channels: word(g.channels),
        height: word(g.size[0]),
        width: word(g.size[1]),
        out_channels: word(g.out_channels),
        out_height: word(g.out_size[0]),
        out_width: word(g.out_size[1]),
        kernel_height: word(g.kernel[0]),
        kernel_width: word(g.kernel[1]),
        stride_y: word(g.stride[0]),
        stride_x: word(g.stride[1]),
        padding_y: word(g.padding[0]),
        padding_x: word(g.padding[1]),
        splits: word(splits),
        split_slices: word(split_slices),
    }])
}
