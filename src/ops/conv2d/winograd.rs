//! 3x3 convolutions by Winograd F(4x4, 3x3): tiles of 4x4 outputs, and transforms between which a product of matrices at
//! each of 36 frequencies does with 2 1/4 multiply-adds an output what takes 9 otherwise.
//!
//! The points are 0, +-sqrt(2), +-sqrt(1/2) and infinity: with 0, +-1 and +-2 the error is five times as large.

use super::geometry::Geometry;
use super::pass::{Pass, flag, lanes};
use super::registry::{
    WINOGRAD_GRADIENT, WINOGRAD_INPUT, WINOGRAD_OUTPUT, WINOGRAD_PRODUCT, WINOGRAD_PRODUCT_NARROW, WINOGRAD_WEIGHT,
    WINOGRAD_WEIGHT_GRADIENT,
};
use super::tables::{ProductExtents, TileExtents, WeightExtents};
use crate::ir::Argument::{Input, Output, Scratch, Table};
use crate::ir::{Accuracy, Argument, Capabilities, Dispatch, Kernel, Prepacking, Variant, folded};
use crate::ops::table::{word, words};

const NAME: &str = "winograd";
const FREQUENCIES: usize = 36;

/// Tiles of dw in a split: few enough additions in a row for the transforms, which amplify their error.
const TILES_A_SPLIT: usize = 512;

fn takes(g: &Geometry) -> bool {
    let [_, width] = g.size;
    g.kernel == [3, 3] && g.stride == [1, 1] && g.padding == [1, 1] && g.groups == 1 && width.is_multiple_of(4)
}

/// Whether to prefer it to the other kernels: where it is faster, as measured on lavapipe, and its error does no harm.
///
/// It is faster where products of 32 x 32 and more outweigh the transforms, and pixels that of the weight unless this is
/// done beforehand.
pub(super) fn pays(g: &Geometry, pass: &Pass, capabilities: &Capabilities) -> bool {
    let large = g.channels.min(g.out_channels) >= 32;
    capabilities.is_cpu && large && does_no_harm(pass) && (pass.prepacked || blocks(g) >= 8)
}

/// Its error is twice that of the direct kernels. Inference and gradients do not feel that, but in the forward pass of
/// training it lets twice as many ReLUs that stand within rounding of zero pass what they should stop, or stop what they
/// should pass.
fn does_no_harm(pass: &Pass) -> bool {
    pass.prepacked || pass.input_gradient
}

/// The same for dw, whose kernel for 3x3 gains more from its sliding rows.
pub(super) fn pays_for_weight(g: &Geometry, capabilities: &Capabilities) -> bool {
    capabilities.is_cpu && g.channels.min(g.out_channels) >= 64 && blocks(g) >= 8
}

/// y from x, weight and perhaps bias; or dx from dy and weight, where `g` is rotated. None where it does not take it.
pub(super) fn forward(g: &Geometry, pass: &Pass, capabilities: &Capabilities) -> Option<Variant> {
    if !takes(g) {
        return None;
    }
    let product =
        Product { splits: 1, depth: g.channels, depth_vec4: false, rows: g.out_channels, columns: 4 * blocks(g) };
    let input_gradient = ("INPUT_GRADIENT", flag(pass.input_gradient));
    let weight = one_each(
        &WINOGRAD_WEIGHT,
        vec![input_gradient],
        vec![Input(1), Table(1), Scratch(0)],
        g.channels * g.out_channels.div_ceil(4),
    );
    let output = one_each(
        &WINOGRAD_OUTPUT,
        [&pass.constants()[..], &[input_gradient]].concat(),
        vec![Scratch(2), pass.bias_argument(), pass.residual_argument(), Table(3), Output(0)],
        g.out_channels * blocks(g),
    );
    let tables = vec![tiles(g, g.channels), weight_extents(g, 1), product.table(), tiles(g, g.out_channels)];
    let dispatches = vec![weight, input_transform(g, 0), product.dispatch(Table(2), capabilities), output];
    let weight = Prepacking { dispatches: 1, inputs: vec![1], scratch: vec![0] };
    let variant = product.variant(dispatches, tables, capabilities)?.with_prepacking(weight);
    Some(variant.with_accuracy(if does_no_harm(pass) { Accuracy::Full } else { Accuracy::Reduced }))
}

/// dweight from dy and x, as a sum over splits of the tiles. None where it does not take it.
pub(super) fn backward_weight(g: &Geometry, capabilities: &Capabilities) -> Option<Variant> {
    if !takes(g) {
        return None;
    }
    let depth = 4 * blocks(g);
    let splits = depth.div_ceil(TILES_A_SPLIT);
    let product = Product { splits, depth, depth_vec4: true, rows: g.out_channels, columns: g.channels };
    let gradient =
        one_each(&WINOGRAD_GRADIENT, Vec::new(), vec![Input(0), Table(1), Scratch(0)], g.out_channels * blocks(g));
    let weight = one_each(
        &WINOGRAD_WEIGHT_GRADIENT,
        Vec::new(),
        vec![Scratch(2), Table(3), Output(0)],
        g.out_channels * g.channels.div_ceil(4),
    );
    let tables = vec![tiles(g, g.channels), tiles(g, g.out_channels), product.table(), weight_extents(g, splits)];
    let dispatches = vec![input_transform(g, 1), gradient, product.dispatch(Table(2), capabilities), weight];
    product.variant(dispatches, tables, capabilities)
}

/// The frequencies of input number `input`, into scratch 1.
fn input_transform(g: &Geometry, input: usize) -> Dispatch {
    let bindings = vec![Input(input), Input(input), Table(0), Scratch(1)];
    one_each(&WINOGRAD_INPUT, Vec::new(), bindings, g.channels * blocks(g))
}

/// The products at all frequencies: left, `depth` x `rows` and transposed, times right, `depth` x `columns`.
struct Product {
    splits: usize,
    depth: usize,
    /// Whether the matrices lie as vec4 along `depth`, and not along `rows` and `columns`.
    depth_vec4: bool,
    rows: usize,
    columns: usize,
}

impl Product {
    /// Whether tiles of 64 columns would be less than half full.
    fn is_narrow(&self) -> bool {
        !self.depth_vec4 && self.columns <= 32
    }

    /// From scratch 0 and 1 to scratch 2.
    fn dispatch(&self, table: Argument, capabilities: &Capabilities) -> Dispatch {
        let bindings = vec![Scratch(0), Scratch(1), table, Scratch(2)];
        if self.is_narrow() {
            let workgroup = lanes(self.rows.div_ceil(16), capabilities);
            let blocks = self.columns.div_ceil(16) * self.rows.div_ceil(16 * workgroup);
            let constants = vec![("WORKGROUP", workgroup as f64)];
            let (kernel, workgroups) = (&WINOGRAD_PRODUCT_NARROW, folded(FREQUENCIES * blocks));
            return Dispatch { kernel, constants, bindings, workgroups };
        }
        let workgroup = lanes(self.rows.div_ceil(4), capabilities);
        let blocks = self.columns.div_ceil(64) * self.rows.div_ceil(4 * workgroup);
        Dispatch {
            kernel: &WINOGRAD_PRODUCT,
            constants: vec![("DEPTH_VEC4", flag(self.depth_vec4)), ("WORKGROUP", workgroup as f64)],
            bindings,
            workgroups: folded(self.splits * FREQUENCIES * blocks),
        }
    }

    fn table(&self) -> Vec<u32> {
        words(&[ProductExtents {
            splits: word(self.splits),
            frequencies: word(FREQUENCIES),
            depth: word(self.depth),
            rows: word(self.rows),
            columns: word(self.columns),
        }])
    }

    /// Elements of left, right and the product.
    fn scratch(&self) -> Vec<usize> {
        let fours = |rows: usize| rows.next_multiple_of(4);
        vec![
            FREQUENCIES * self.depth * fours(self.rows),
            FREQUENCIES * self.depth * fours(self.columns),
            FREQUENCIES * self.splits * self.rows * fours(self.columns),
        ]
    }

    /// The variant, where the matrices fit bindings.
    fn variant(
        &self,
        dispatches: Vec<Dispatch>,
        tables: Vec<Vec<u32>>,
        capabilities: &Capabilities,
    ) -> Option<Variant> {
        let limit = capabilities.max_binding_bytes.min(capabilities.max_buffer_bytes);
        let fits = self.scratch().into_iter().all(|elements| 4 * elements as u64 <= limit);
        let variant = Variant::new(NAME, dispatches).with_scratch(self.scratch()).with_tables(tables);
        fits.then(|| variant.with_normwise_rounding())
    }
}

/// Blocks of 8x8 outputs, four tiles each.
fn blocks(g: &Geometry) -> usize {
    g.batch * g.size[0].div_ceil(8) * g.size[1].div_ceil(8)
}

/// The extents of a tensor of so many channels and its tiles.
fn tiles(g: &Geometry, channels: usize) -> Vec<u32> {
    let [height, width] = g.size;
    words(&[TileExtents {
        batch: word(g.batch),
        channels: word(channels),
        height: word(height),
        width: word(width),
        blocks_y: word(height.div_ceil(8)),
        blocks_x: word(width.div_ceil(8)),
    }])
}

/// The extents of the weight, whose gradient comes in so many splits.
fn weight_extents(g: &Geometry, splits: usize) -> Vec<u32> {
    words(&[WeightExtents { channels: word(g.channels), out_channels: word(g.out_channels), splits: word(splits) }])
}

/// A dispatch of one invocation an item in workgroups of 64.
fn one_each(
    kernel: &'static Kernel,
    constants: Vec<(&'static str, f64)>,
    bindings: Vec<Argument>,
    items: usize,
) -> Dispatch {
    Dispatch { kernel, constants, bindings, workgroups: folded(items.div_ceil(64)) }
}
