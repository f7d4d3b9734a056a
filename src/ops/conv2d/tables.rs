//! What kernels read of a convolution from buffers and not as `override` constants, so that one pipeline serves all shapes.

use super::geometry::Geometry;
use crate::ops::TableLayout;
use crate::ops::table::{table, word};

table! {
    /// The extents of a convolution, forward or backward: of the direct kernels.
    pub(super) struct Extents {
        batch: u32,
        channels: u32,
        height: u32,
        width: u32,
        out_channels: u32,
        out_height: u32,
        out_width: u32,
        padding_y: u32,
        padding_x: u32,
        kernel_height: u32,
        kernel_width: u32,
        stride_y: u32,
        stride_x: u32,
        groups: u32,
        splits: u32,
    }
}

impl Extents {
    pub fn of(g: &Geometry) -> Self {
        Self {
            batch: word(g.batch),
            channels: word(g.channels),
            height: word(g.size[0]),
            width: word(g.size[1]),
            out_channels: word(g.out_channels),
            out_height: word(g.out_size[0]),
            out_width: word(g.out_size[1]),
            padding_y: word(g.padding[0]),
            padding_x: word(g.padding[1]),
            kernel_height: word(g.kernel[0]),
            kernel_width: word(g.kernel[1]),
            stride_y: word(g.stride[0]),
            stride_x: word(g.stride[1]),
            groups: word(g.groups),
            splits: 1,
        }
    }
}

table! {
    /// Of `gemm.wgsl` and `gemm_cooperative.wgsl`; the fields are described there.
    pub(super) struct GemmTable {
        batch: u32,
        channels: u32,
        height: u32,
        width: u32,
        out_channels: u32,
        out_plane: u32,
        out_width: u32,
        row_stride: u32,
        channel_stride: u32,
        tap_row_stride: u32,
        tap_column_stride: u32,
        direction: i32,
        stride_y: u32,
        stride_x: u32,
        output_stride_y: u32,
        output_stride_x: u32,
        class_count: u32,
        column_blocks: u32,
        splits: u32,
    }
    rows classes: PixelClass;
}

table! {
    /// Pixels of y that meet the same taps: every output_stride-th row and column from the first on.
    pub(super) struct PixelClass {
        first_row: u32,
        first_column: u32,
        rows: u32,
        columns: u32,
        /// Row of x where the first pixel lies.
        origin_row: i32,
        origin_column: i32,
        /// Rows and columns of the taps that they meet.
        tap_rows: u32,
        tap_columns: u32,
        /// Place of the first tap in a plane of the weight.
        first_tap: u32,
    }
}

table! {
    /// Of `gemm_weight.wgsl` and `gemm_weight_cooperative.wgsl`; the fields are described there.
    pub(super) struct GemmWeightTable {
        batch: u32,
        channels: u32,
        height: u32,
        width: u32,
        out_channels: u32,
        out_height: u32,
        out_width: u32,
        kernel_height: u32,
        kernel_width: u32,
        stride_y: u32,
        stride_x: u32,
        padding_y: u32,
        padding_x: u32,
        splits: u32,
        split_slices: u32,
    }
}

table! {
    /// The extents of a tensor and its blocks of four Winograd tiles.
    pub(super) struct TileExtents {
        batch: u32,
        channels: u32,
        height: u32,
        width: u32,
        blocks_y: u32,
        blocks_x: u32,
    }
}

table! {
    /// The extents of the products of matrices between Winograd transforms.
    pub(super) struct ProductExtents {
        splits: u32,
        frequencies: u32,
        depth: u32,
        rows: u32,
        columns: u32,
    }
}

table! {
    /// The extents of a weight that Winograd's transforms read or write.
    pub(super) struct WeightExtents {
        channels: u32,
        out_channels: u32,
        splits: u32,
    }
}

/// The layouts of this file.
pub(in crate::ops) const TABLES: &[TableLayout] = &[
    Extents::LAYOUT,
    GemmTable::LAYOUT,
    PixelClass::LAYOUT,
    GemmWeightTable::LAYOUT,
    TileExtents::LAYOUT,
    ProductExtents::LAYOUT,
    WeightExtents::LAYOUT,
];
