//! Dynamic convolution (Equation 3 of DITN): each channel of each sample with a kernel of its own.

use crate::ir::Argument::{Input, Output};
use crate::ir::{Capabilities, Case, Cost, Dispatch, Graph, Node, Operator, Shape, ShapeError, ValueId, Variant, take};

use super::OperatorCase;
use super::map_tile::MapTile;
use super::shaders::kernels;

const NAME: &str = "dynamic_conv";

kernels! { "dynamic_conv":
    FORWARD, "forward", "y = x convolved with each channel's own kernel; with the kernel rotated, dx from dy";
    FORWARD_SHARED, "forward_shared", "the same for GPUs and kernels up to 9x9, a tile a workgroup";
    BACKWARD_THETA, "backward_theta", "dtheta = the correlation of dy and x";
    BACKWARD_THETA_SHARED, "backward_theta_shared", "the same for GPUs and kernels up to 9x9, a channel a workgroup";
}

/// x `[N, C, H, W]`, theta `[N, C, kh, kw]` -> y `[N, C, H, W]`,
/// y[n, c, i, j] = sum over u, v of theta[n, c, u, v] x[n, c, i + u - top, j + v - left] with x = 0 outside the map,
/// top = floor((kh - 1) / 2) and left = floor((kw - 1) / 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynamicConv;

impl Operator for DynamicConv {
    fn name(&self) -> &'static str {
        NAME
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [x, theta] = take(NAME, inputs)?;
        check_kernels(x, theta)?;
        Ok(vec![x.clone()])
    }

    fn gradient(
        &self,
        graph: &mut Graph,
        node: &Node,
        output_gradients: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, ShapeError> {
        let Some(dy) = output_gradients[0] else { return Ok(vec![None, None]) };
        let (x, theta) = (node.inputs[0], node.inputs[1]);
        let [_, _, kernel_height, kernel_width] = graph.shape(theta).nchw(NAME)?;
        let dx = graph.apply_one(DynamicConvInputGradient, &[dy, theta])?;
        let dtheta = graph.apply_one(DynamicConvThetaGradient { kernel_height, kernel_width }, &[dy, x])?;
        Ok(vec![Some(dx), Some(dtheta)])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        convolve(case, false)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (x, theta) = (inputs[0], inputs[1]);
        let mut y = vec![0.0; x.len()];
        for_each_product(shapes[0], shapes[1], |at_y, at_theta, at_x| y[at_y] += theta[at_theta] * x[at_x]);
        vec![y]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(flops(inputs[0], inputs[1]), inputs, outputs)
    }
}

/// (dy, theta) -> dx of [`DynamicConv`]: the same convolution with every kernel rotated by 180 degrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynamicConvInputGradient;

impl Operator for DynamicConvInputGradient {
    fn name(&self) -> &'static str {
        "dynamic_conv_backward_input"
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy, theta] = take(self.name(), inputs)?;
        check_kernels(dy, theta)?;
        Ok(vec![dy.clone()])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        convolve(case, true)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (dy, theta) = (inputs[0], inputs[1]);
        let mut dx = vec![0.0; dy.len()];
        for_each_product(shapes[0], shapes[1], |at_y, at_theta, at_x| dx[at_x] += theta[at_theta] * dy[at_y]);
        vec![dx]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(flops(inputs[0], inputs[1]), inputs, outputs)
    }
}

/// (dy, x) -> dtheta `[N, C, kh, kw]` of [`DynamicConv`],
/// dtheta[n, c, u, v] = sum over i, j of dy[n, c, i, j] x[n, c, i + u - top, j + v - left].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynamicConvThetaGradient {
    /// kh.
    pub kernel_height: usize,
    /// kw.
    pub kernel_width: usize,
}

impl Operator for DynamicConvThetaGradient {
    fn name(&self) -> &'static str {
        "dynamic_conv_backward_theta"
    }

    fn attributes(&self) -> String {
        format!("kernel={}x{}", self.kernel_height, self.kernel_width)
    }

    fn output_shapes(&self, inputs: &[&Shape]) -> Result<Vec<Shape>, ShapeError> {
        let [dy, x] = take(self.name(), inputs)?;
        ShapeError::unless(dy == x, self.name(), || format!("gradient {dy} does not match input {x}"))?;
        let [n, c, _, _] = x.nchw(self.name())?;
        let theta = Shape::from([n, c, self.kernel_height, self.kernel_width]);
        check_kernels(x, &theta)?;
        Ok(vec![theta])
    }

    fn variants(&self, case: &Case) -> Vec<Variant> {
        let (x, theta) = (case.inputs[1], case.outputs[0]);
        let kernel = theta.extents();
        let channels = kernel[0] * kernel[1];
        let workgroups = channels * kernel[2] * kernel[3].div_ceil(8);
        let constants = constants(x, theta, before(kernel[2]), before(kernel[3]));
        let shared = fits_tile(x, theta).then(|| {
            let constants = [&constants[..], &tile_constants(x)].concat();
            let bindings = vec![Input(0), Input(0), Input(1), Input(1), Output(0)];
            Dispatch::per_workgroup(&BACKWARD_THETA_SHARED, channels, constants, bindings)
        });
        let bindings = vec![Input(0), Input(1), Output(0)];
        let strips = Dispatch::per_workgroup(&BACKWARD_THETA, workgroups, constants, bindings);
        in_order(strips, shared, case.capabilities)
    }

    fn reference(&self, shapes: &[&Shape], inputs: &[&[f64]]) -> Vec<Vec<f64>> {
        let (dy, x) = (inputs[0], inputs[1]);
        let extents = shapes[1].extents();
        let theta = Shape::from([extents[0], extents[1], self.kernel_height, self.kernel_width]);
        let mut dtheta = vec![0.0; theta.elements()];
        for_each_product(shapes[1], &theta, |at_y, at_theta, at_x| dtheta[at_theta] += dy[at_y] * x[at_x]);
        vec![dtheta]
    }

    fn cost(&self, inputs: &[&Shape], outputs: &[&Shape]) -> Cost {
        Cost::new(flops(inputs[1], outputs[0]), inputs, outputs)
    }
}

/// Rows or columns of zeros before the map for a kernel of this extent.
fn before(kernel: usize) -> usize {
    (kernel - 1) / 2
}

fn check_kernels(x: &Shape, theta: &Shape) -> Result<(), ShapeError> {
    let ([n, c, h, w], [kernels_n, kernels_c, kernel_height, kernel_width]) = (x.nchw(NAME)?, theta.nchw(NAME)?);
    ShapeError::unless([n, c] == [kernels_n, kernels_c], NAME, || {
        format!("{theta} is not one kernel for each channel of each sample of {x}")
    })?;
    let empty = [h, w, kernel_height, kernel_width].contains(&0);
    ShapeError::unless(!empty, NAME, || format!("neither {x} nor {theta} may be empty"))
}

fn flops(x: &Shape, theta: &Shape) -> f64 {
    let kernel = theta.extents();
    2.0 * (x.elements() * kernel[2] * kernel[3]) as f64
}

fn constants(x: &Shape, theta: &Shape, top: usize, left: usize) -> Vec<(&'static str, f64)> {
    let (extents, kernel) = (x.extents(), theta.extents());
    vec![
        ("CHANNELS", (extents[0] * extents[1]) as f64),
        ("HEIGHT", extents[2] as f64),
        ("WIDTH", extents[3] as f64),
        ("KERNEL_HEIGHT", kernel[2] as f64),
        ("KERNEL_WIDTH", kernel[3] as f64),
        ("TOP", top as f64),
        ("LEFT", left as f64),
    ]
}

/// Whether the kernels with tiles in workgroup memory take these shapes.
fn fits_tile(x: &Shape, theta: &Shape) -> bool {
    let kernel = theta.extents();
    kernel[2] <= 9 && kernel[3] <= 9 && x.elements() >= 4
}

/// The further constants of those.
fn tile_constants(x: &Shape) -> [(&'static str, f64); 2] {
    let [height, width] = [x.extents()[2], x.extents()[3]];
    [("VEC4", f64::from(u8::from(width.is_multiple_of(4)))), MapTile::of([height, width]).constant()]
}

/// The kernel with tiles in workgroup memory comes first on a GPU.
fn in_order(strips: Dispatch, shared: Option<Dispatch>, capabilities: &Capabilities) -> Vec<Variant> {
    let mut variants = vec![Variant::new("strips", vec![strips])];
    let place = usize::from(capabilities.is_cpu);
    variants.splice(place..place, shared.map(|dispatch| Variant::new("shared", vec![dispatch])));
    variants
}

/// The first input convolved with the kernels of the second, or with them rotated.
fn convolve(case: &Case, rotated: bool) -> Vec<Variant> {
    let (x, theta) = (case.inputs[0], case.inputs[1]);
    let (extents, kernel) = (x.extents(), theta.extents());
    // Rotated by 180 degrees, what was before the map is after it.
    let padding = |kernel: usize| if rotated { kernel - 1 - before(kernel) } else { before(kernel) };
    let mut constants = constants(x, theta, padding(kernel[2]), padding(kernel[3]));
    constants.push(("ROTATED", f64::from(u8::from(rotated))));
    let shared = fits_tile(x, theta).then(|| {
        let workgroups =
            extents[0] * extents[1] * MapTile::of([extents[2], extents[3]]).count([extents[2], extents[3]]);
        let constants = [&constants[..], &tile_constants(x)].concat();
        let bindings = vec![Input(0), Input(0), Input(1), Output(0)];
        Dispatch::per_workgroup(&FORWARD_SHARED, workgroups, constants, bindings)
    });
    let strips = extents[0] * extents[1] * extents[2] * extents[3].div_ceil(8);
    let strips = Dispatch::per_invocation(&FORWARD, strips, constants, vec![Input(0), Input(1), Output(0)]);
    in_order(strips, shared, case.capabilities)
}

/// Calls `product` with the places in y, theta and x of every product that y sums up.
fn for_each_product(x: &Shape, theta: &Shape, mut product: impl FnMut(usize, usize, usize)) {
    let (extents, kernel) = (x.extents(), theta.extents());
    let (height, width) = (extents[2], extents[3]);
    let (top, left) = (before(kernel[2]), before(kernel[3]));
    for channel in 0..extents[0] * extents[1] {
        for i in 0..height {
            for j in 0..width {
                for u in top.saturating_sub(i)..kernel[2].min(height + top - i) {
                    for v in left.saturating_sub(j)..kernel[3].min(width + left - j) {
                        product(
                            (channel * height + i) * width + j,
                            (channel * kernel[2] + u) * kernel[3] + v,
                            (channel * height + i + u - top) * width + j + v - left,
                        );
                    }
                }
            }
        }
    }
}

/// The cases of this file's operators.
pub fn cases() -> Vec<OperatorCase> {
    let case = |n, c, [h, w]: [usize; 2], [kh, kw]: [usize; 2]| {
        OperatorCase::new(DynamicConv, &[[n, c, h, w], [n, c, kh, kw]])
    };
    let mut cases: Vec<OperatorCase> = [
        ([1, 1], [1, 1]),
        ([5, 7], [3, 3]),
        ([8, 8], [2, 2]),
        ([6, 11], [7, 5]),
        ([7, 9], [4, 7]),
        ([4, 17], [1, 6]),
        // Kernels larger than the map, and wider than the 8 taps that a workgroup takes.
        ([2, 3], [7, 7]),
        ([3, 12], [2, 9]),
        ([3, 9], [3, 18]),
    ]
    .into_iter()
    .map(|(map, kernel)| case(2, 3, map, kernel).differentiate(&[0, 1]))
    .collect();
    // The transfer of an MPII skeleton at 256x256 and of a COCO skeleton at 256x192.
    cases.push(case(1, 30, [64, 64], [7, 7]));
    cases.push(case(1, 38, [64, 48], [7, 5]));
    let (map, theta) = ([1, 30, 64, 64], [1, 30, 7, 7]);
    cases.push(OperatorCase::new(DynamicConvInputGradient, &[map, theta]));
    cases.push(OperatorCase::new(DynamicConvThetaGradient { kernel_height: 7, kernel_width: 7 }, &[map, map]));
    cases
}
