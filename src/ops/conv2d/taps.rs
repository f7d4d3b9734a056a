//! The tables of the products of matrices: for each pixel of y, which elements of x and of the weight it multiplies.

use super::geometry::Geometry;
use super::pass::Pass;
use super::tables::{GemmTable, GemmWeightTable, PixelClass, Tap};
use crate::ops::table::{word, words};

/// Taps that a workgroup holds at a time: elements of the sums.
pub(super) const SLICE: usize = 16;

/// What the pixels of y, or for dx those of dx, meet.
pub(super) struct Taps {
    /// All but `column_blocks`.
    table: GemmTable,
    /// The classes that have pixels, the largest first.
    classes: Vec<PixelClass>,
    /// Of all classes in a row, those of each filled up to whole slices.
    taps: Vec<Tap>,
}

impl Taps {
    /// Those of a pass; for dx, `g` is transposed.
    pub fn of(g: &Geometry, pass: &Pass) -> Self {
        let (stride, row_stride) =
            if pass.input_gradient { ([1, 1], g.kernel[0] * g.kernel[1]) } else { (g.stride, g.taps()) };
        let output_stride = pass.output_stride(g);
        let (mut classes, mut taps) = (Vec::new(), Vec::new());
        let residues = (0..output_stride[0]).flat_map(|row| (0..output_stride[1]).map(move |column| [row, column]));
        for first in residues.filter(|first| first[0] < g.out_size[0] && first[1] < g.out_size[1]) {
            let (class, taps_of_class) = class(g, pass, first, taps.len());
            classes.push(class);
            taps.extend(taps_of_class);
        }
        if taps.is_empty() {
            // A binding is not empty.
            taps.push(outside(0));
        }
        let table = GemmTable {
            batch: word(g.batch),
            height: word(g.size[0]),
            width: word(g.size[1]),
            x_sample: word(g.channels * g.size[0] * g.size[1]),
            out_channels: word(g.out_channels),
            out_plane: word(g.out_size[0] * g.out_size[1]),
            out_width: word(g.out_size[1]),
            row_stride: word(row_stride),
            stride_y: word(stride[0]),
            stride_x: word(stride[1]),
            output_stride_y: word(output_stride[0]),
            output_stride_x: word(output_stride[1]),
            class_count: word(classes.len()),
            column_blocks: 0,
            weight_is_vec4: u32::from(is_weight_vec4(g, pass)),
            x_is_vec4: u32::from(is_x_vec4(g)),
        };
        Self { table, classes, taps }
    }

    /// Classes of pixels.
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// Pixels of the largest class in all samples.
    pub fn pixels(&self) -> usize {
        (self.table.batch * self.classes[0].rows * self.classes[0].columns) as usize
    }

    /// The tables of `gemm.wgsl` where a workgroup computes so many columns.
    pub fn tables(&self, columns: usize) -> Vec<Vec<u32>> {
        let table = GemmTable { column_blocks: word(self.pixels().div_ceil(columns)), ..self.table };
        vec![[words(&[table]), words(&self.classes)].concat(), words(&self.taps)]
    }
}

/// The class of the pixels from `first` on, whose taps are those from `first_tap` on, and these.
fn class(g: &Geometry, pass: &Pass, first: [usize; 2], first_tap: usize) -> (PixelClass, Vec<Tap>) {
    let output_stride = pass.output_stride(g);
    let padded = [0, 1].map(|axis| first[axis] + g.padding[axis]);
    let (origin, mut taps) = if pass.input_gradient {
        let first_tap = [0, 1].map(|axis| padded[axis] % output_stride[axis]);
        let channel_stride = g.out_channels * g.kernel[0] * g.kernel[1];
        let origin = [0, 1].map(|axis| (padded[axis] / output_stride[axis]) as i32);
        (origin, all_taps(g, first_tap, output_stride, -1, channel_stride))
    } else {
        let channel_stride = g.kernel[0] * g.kernel[1];
        (g.padding.map(|padding| -(padding as i32)), all_taps(g, [0, 0], output_stride, 1, channel_stride))
    };
    let slices = taps.len().div_ceil(SLICE);
    // A weight of the class, so that what is not a number in others does not reach it.
    let weight = taps.last().map_or(0, |tap| tap.weight);
    taps.resize(slices * SLICE, outside(weight));
    let count = [0, 1].map(|axis| (g.out_size[axis] - first[axis]).div_ceil(output_stride[axis]));
    let class = PixelClass {
        first_row: word(first[0]),
        first_column: word(first[1]),
        rows: word(count[0]),
        columns: word(count[1]),
        origin_row: origin[0],
        origin_column: origin[1],
        first_tap: word(first_tap),
        slices: word(slices),
    };
    (class, taps)
}

/// A tap that lies outside of x from every pixel.
fn outside(weight: u32) -> Tap {
    /// Rows away from x that no pixel's own row makes up for.
    const OUTSIDE: i32 = -0x4000_0000;
    Tap { shift: [0, OUTSIDE, 0], weight }
}

/// All channels of every `stride`-th row and column of the kernel from the first on; the next looks one row or column further
/// in `direction`.
fn all_taps(g: &Geometry, first: [usize; 2], stride: [usize; 2], direction: i32, channel_stride: usize) -> Vec<Tap> {
    let mut taps = Vec::new();
    for channel in 0..g.channels {
        for (row, u) in (first[0]..g.kernel[0]).step_by(stride[0]).enumerate() {
            for (column, v) in (first[1]..g.kernel[1]).step_by(stride[1]).enumerate() {
                let elements = (channel * g.size[0] * g.size[1]) as i32;
                let (row, column) = (direction * row as i32, direction * column as i32);
                let weight = word(channel * channel_stride + u * g.kernel[1] + v);
                taps.push(Tap { shift: [elements + row * g.size[1] as i32 + column, row, column], weight });
            }
        }
    }
    taps
}

/// The table of `gemm_weight.wgsl` for so many splits of so many slices of pixels.
pub(super) fn weight_table(g: &Geometry, splits: usize, split_slices: usize) -> Vec<u32> {
    let table = GemmWeightTable {
        batch: word(g.batch),
        height: word(g.size[0]),
        width: word(g.size[1]),
        x_sample: word(g.channels * g.size[0] * g.size[1]),
        out_channels: word(g.out_channels),
        out_height: word(g.out_size[0]),
        out_width: word(g.out_size[1]),
        stride_y: word(g.stride[0]),
        stride_x: word(g.stride[1]),
        padding_y: word(g.padding[0]),
        padding_x: word(g.padding[1]),
        columns: word(g.taps()),
        splits: word(splits),
        split_slices: word(split_slices),
        dy_is_vec4: u32::from(is_dy_vec4(g)),
        x_is_vec4: u32::from(is_x_vec4(g)),
    };
    [words(&[table]), words(&all_taps(g, [0, 0], [1, 1], 1, g.kernel[0] * g.kernel[1]))].concat()
}

/// Whether the taps of a row of the weight lie side by side, a multiple of four.
pub(super) fn is_weight_vec4(g: &Geometry, pass: &Pass) -> bool {
    !pass.input_gradient && g.taps().is_multiple_of(4)
}

/// Whether the elements of x for a pixel lie at the pixel's own place, and its planes hold multiples of four.
fn is_x_vec4(g: &Geometry) -> bool {
    g.is_pointwise() && is_dy_vec4(g)
}

/// Whether a plane of y or dy holds a multiple of four.
fn is_dy_vec4(g: &Geometry) -> bool {
    (g.out_size[0] * g.out_size[1]).is_multiple_of(4)
}
