//! Bilinear resizing to any size, up or down, and its transpose.

use crate::ir::Argument::{Input, Output, Scratch};
use crate::ir::{Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, take};

use super::OperatorCase;
use super::shaders::kernels;

const NAME: &str = "resize";

kernels! { "resize":
    FORWARD, "forward", "y = x between the four pixels around each place";
    FORWARD_STRIPS, "forward_strips", "y = x between the four pixels around each place, as vec4 in strips";
    BACKWARD_INPUT, "backward_input", "dx = the sums of dy over what each pixel was mixed into";
    BACKWARD_ROWS, "backward_rows", "the sums of dy over the rows that each row was mixed into, as vec4";
    BACKWARD_COLUMNS, "backward_columns", "dx = the sums of these over the columns that each column was mixed into";
}

/// Most that an extent may be: places, in the units of an [`Axis`], must fit 32 bits.
const LARGEST: usize = (1 << 15) - 1;

/// Rows of y that an invocation of [`FORWARD_STRIPS`] computes.
const STRIP: usize = 16;

/// Bilinear resizing: x `[N, C, h, w]` -> y `[N, C, H, W]`, torch.nn.functional.interpolate(mode="bilinear").
///
/// y\[i, j\] lies between the pixels of x around the place of (i, j). Along an axis of `from` elements resized to `to`, the
/// place of i is i (from - 1) / (to - 1) where corners are aligned (0 if `to` is 1), else (i + 1/2) from / to - 1/2, kept
/// between the first and the last element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resize {
    /// Height and width of y.
    pub size: [usize; 2],
    /// The centres of the corner pixels stay where they are; otherwise the corners of the picture do.
    pub align_corners: bool,
}

impl Operator for Resize {
    fn name(&self) -> &'static str {
        NAME
    }

    fn attributes(&self) -> String {
        attributes(self.size, self.align_corners)
    }

    fn label(&self, inputs: &[&Shape]) -> String {
        label(NAME, inputs[0], self.size)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x] = take(NAME, inputs)?;
        Ok(vec![resized(NAME, x, self.size)?])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None]) };
        let [_, _, height, width] = graph.shape(node.inputs[0]).nchw(NAME)?;
        let gradient = ResizeInputGradient { size: [height, width], align_corners: self.align_corners };
        Ok(vec![Some(graph.apply_one(gradient, &[dy])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let Axes { planes, from, to, rows, columns } = Axes::of(case.inputs[0], case.outputs[0], self.align_corners);
        let bindings = vec![Input(0), Output(0)];
        let elements = planes * to[0] * to[1];
        let mut own = vec![
            ("HEIGHT", to[0] as f64),
            ("WIDTH", to[1] as f64),
            ("FROM_HEIGHT", from[0] as f64),
            ("FROM_WIDTH", from[1] as f64),
        ];
        own.extend(rows.constants(ROW).into_iter().chain(columns.constants(COLUMN)));
        let constants = |count| [vec![(count, elements as f64)], own.clone()].concat();
        let dispatch = Dispatch::per_invocation(&FORWARD, elements, constants("ELEMENTS"), bindings.clone());
        let mut variants = vec![Variant::new("plain", vec![dispatch])];
        if to[1].is_multiple_of(4) {
            let invocations = planes * to[0].div_ceil(STRIP) * to[1] / 4;
            let mut constants = vec![("INVOCATIONS", invocations as f64), ("STRIP", STRIP as f64)];
            constants.extend_from_slice(&own);
            let dispatch = Dispatch::per_invocation(&FORWARD_STRIPS, invocations, constants, bindings);
            variants.insert(0, Variant::new("strips", vec![dispatch]));
        }
        if from == to && case.dtypes.input(0) == case.dtypes.output(0) {
            variants.insert(0, Variant::view());
        }
        variants
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (from, to) = (size(shapes[0]), self.size);
        let [rows, columns] = [0, 1].map(|axis| Axis::new(from[axis], to[axis], self.align_corners));
        let mut y = Vec::new();
        for plane in inputs[0].chunks_exact(from[0] * from[1]) {
            for i in 0..to[0] {
                for j in 0..to[1] {
                    let mut mixed = 0.0;
                    for (row, of_row) in rows.mixed(i) {
                        for (column, of_column) in columns.mixed(j) {
                            mixed += of_row * of_column * plane[row * from[1] + column];
                        }
                    }
                    y.push(mixed);
                }
            }
        }
        vec![y]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        // Two products and a sum, three times.
        Cost::new(9.0 * outputs[0].elements() as f64, inputs, outputs)
    }
}

/// dy `[N, C, H, W]` -> dx `[N, C, h, w]`: the transpose of [`Resize`] from `[h, w]` to `[H, W]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResizeInputGradient {
    /// Height and width of dx.
    pub size: [usize; 2],
    /// As in [`Resize`].
    pub align_corners: bool,
}

impl Operator for ResizeInputGradient {
    fn name(&self) -> &'static str {
        "resize_backward"
    }

    fn attributes(&self) -> String {
        attributes(self.size, self.align_corners)
    }

    fn label(&self, inputs: &[&Shape]) -> String {
        label(self.name(), inputs[0], self.size)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy] = take(self.name(), inputs)?;
        Ok(vec![resized(self.name(), dy, self.size)?])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(gradient) = output_gradients[0] else { return Ok(vec![None]) };
        let [_, _, height, width] = graph.shape(node.inputs[0]).nchw(self.name())?;
        let resize = Resize { size: [height, width], align_corners: self.align_corners };
        Ok(vec![Some(graph.apply_one(resize, &[gradient])?)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        // From dx to dy, as the forward pass goes.
        let Axes { planes, from, to, rows, columns } = Axes::of(case.outputs[0], case.inputs[0], self.align_corners);
        let elements = planes * from[0] * from[1];
        let (height, width) = (("HEIGHT", to[0] as f64), ("WIDTH", to[1] as f64));
        let (from_height, from_width) = (("FROM_HEIGHT", from[0] as f64), ("FROM_WIDTH", from[1] as f64));
        let count = ("ELEMENTS", elements as f64);

        let mut constants = vec![count, height, width, from_height, from_width];
        constants.extend(rows.constants(ROW).into_iter().chain(columns.constants(COLUMN)));
        let plain = Dispatch::per_invocation(&BACKWARD_INPUT, elements, constants, vec![Input(0), Output(0)]);
        let mut variants = vec![Variant::new("plain", vec![plain])];
        if to[1].is_multiple_of(4) {
            let sums = planes * from[0] * to[1];
            let mut constants = vec![("INVOCATIONS", (sums / 4) as f64), height, width, from_height];
            constants.extend(rows.constants(ROW));
            let first = Dispatch::per_invocation(&BACKWARD_ROWS, sums / 4, constants, vec![Input(0), Scratch(0)]);
            let mut constants = vec![count, width, from_width];
            constants.extend(columns.constants(COLUMN));
            let second = Dispatch::per_invocation(&BACKWARD_COLUMNS, elements, constants, vec![Scratch(0), Output(0)]);
            variants.insert(0, Variant::new("separable", vec![first, second]).with_scratch(vec![sums]));
        }
        if from == to && case.dtypes.input(0) == case.dtypes.output(0) {
            variants.insert(0, Variant::view());
        }
        variants
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        // Each element of dy is spread over those that were mixed.
        let (from, to) = (self.size, size(shapes[0]));
        let [rows, columns] = [0, 1].map(|axis| Axis::new(from[axis], to[axis], self.align_corners));
        let mut dx = Vec::new();
        for plane in inputs[0].chunks_exact(to[0] * to[1]) {
            let mut spread = vec![0.0; from[0] * from[1]];
            for i in 0..to[0] {
                for j in 0..to[1] {
                    for (row, of_row) in rows.mixed(i) {
                        for (column, of_column) in columns.mixed(j) {
                            spread[row * from[1] + column] += of_row * of_column * plane[i * to[1] + j];
                        }
                    }
                }
            }
            dx.append(&mut spread);
        }
        vec![dx]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        // As much as forwards.
        Cost::new(9.0 * inputs[0].elements() as f64, inputs, outputs)
    }
}

/// How one axis is resized: element i of the new one lies at (`scale` i + `shift`) / `divisor` of the old one, kept between
/// its first and last element.
///
/// Whole numbers say exactly which two elements are mixed, and by which shares, here and in the kernels.
#[derive(Debug, Clone, Copy)]
struct Axis {
    from: usize,
    scale: usize,
    shift: i64,
    divisor: usize,
}

impl Axis {
    /// From `from` elements to `to`.
    fn new(from: usize, to: usize, align_corners: bool) -> Self {
        if align_corners {
            return Self { from, scale: from - 1, shift: 0, divisor: (to - 1).max(1) };
        }
        Self { from, scale: 2 * from, shift: from as i64 - to as i64, divisor: 2 * to }
    }

    /// The two elements of the old axis that element `i` of the new one is mixed from, with their shares.
    fn mixed(self, i: usize) -> [(usize, f64); 2] {
        let last = self.from - 1;
        let place = (self.scale as i64 * i as i64 + self.shift).clamp(0, (last * self.divisor) as i64) as usize;
        let (first, share) = (place / self.divisor, (place % self.divisor) as f64 / self.divisor as f64);
        [(first, 1.0 - share), ((first + 1).min(last), share)]
    }

    fn constants(self, [scale, shift, divisor]: [&'static str; 3]) -> [(&'static str, f64); 3] {
        [(scale, self.scale as f64), (shift, self.shift as f64), (divisor, self.divisor as f64)]
    }
}

const ROW: [&str; 3] = ["ROW_SCALE", "ROW_SHIFT", "ROW_DIVISOR"];
const COLUMN: [&str; 3] = ["COLUMN_SCALE", "COLUMN_SHIFT", "COLUMN_DIVISOR"];

/// Both axes of the maps of a tensor.
struct Axes {
    /// Maps of all samples and channels.
    planes: usize,
    from: [usize; 2],
    to: [usize; 2],
    rows: Axis,
    columns: Axis,
}

impl Axes {
    fn of(x: &Shape, y: &Shape, align_corners: bool) -> Self {
        let (from, to) = (size(x), size(y));
        let [rows, columns] = [0, 1].map(|axis| Axis::new(from[axis], to[axis], align_corners));
        Self { planes: x.extents()[..2].iter().product(), from, to, rows, columns }
    }
}

/// Height and width of `[N, C, H, W]`.
fn size(shape: &Shape) -> [usize; 2] {
    [shape.extents()[2], shape.extents()[3]]
}

fn attributes([height, width]: [usize; 2], align_corners: bool) -> String {
    format!("size={height}x{width}{}", if align_corners { " align_corners" } else { "" })
}

/// Name, extents of the input, and the size that it gets.
fn label(name: &str, x: &Shape, [height, width]: [usize; 2]) -> String {
    let extents: Vec<String> = x.extents().iter().map(ToString::to_string).collect();
    format!("{name}_{}_to_{height}x{width}", extents.join("x"))
}

/// The shape of `x` with another size.
fn resized(name: &'static str, x: &Shape, [height, width]: [usize; 2]) -> Result<Shape, ShapeError> {
    let [n, c, h, w] = x.nchw(name)?;
    let fits = [h, w, height, width].iter().all(|extent| (1..=LARGEST).contains(extent));
    ShapeError::unless(fits, name, || {
        format!("{h}x{w} cannot become {height}x{width}: heights and widths must be between 1 and {LARGEST}")
    })?;
    Ok([n, c, height, width].into())
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    let sizes = [
        ([1, 1, 1, 1], [1, 1]),
        ([1, 2, 1, 3], [5, 1]),
        ([1, 1, 5, 4], [1, 4]),
        ([2, 3, 4, 5], [4, 5]),
        ([1, 2, 2, 3], [5, 7]),
        ([2, 2, 3, 2], [7, 8]),
        ([1, 2, 7, 9], [3, 4]),
        ([1, 1, 20, 13], [4, 3]),
        // CPN's, in smaller numbers: to the size of the largest map.
        ([2, 3, 8, 6], [32, 24]),
        // More than one strip, the last one not full.
        ([1, 2, 3, 4], [35, 12]),
    ];
    let cases = |(x, size): ([usize; 4], [usize; 2])| {
        [true, false].into_iter().flat_map(move |align_corners| {
            let dy = [x[0], x[1], size[0], size[1]];
            let gradient = ResizeInputGradient { size: [x[2], x[3]], align_corners };
            [
                OperatorCase::new(Resize { size, align_corners }, &[x]).differentiate(&[0]),
                OperatorCase::new(gradient, &[dy]).differentiate(&[0]),
            ]
        })
    };
    sizes.into_iter().flat_map(cases).collect()
}
