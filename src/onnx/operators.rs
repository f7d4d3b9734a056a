//! What each operator of the pose networks becomes in ONNX, set 17 of its operators.

use std::any::Any;

use super::builder::{int, ints, text};
use super::translate::{Result, Translator};
use crate::ir::{Node, Operator, Shape, ValueId};
use crate::ops::batch_norm::{BatchNormInference, FoldBatchNorm};
use crate::ops::conv2d::{Conv2d, Conv2dInputGradient};
use crate::ops::max_pool::MaxPool;

impl Translator<'_> {
    /// Computes the weights and biases that take batch normalisation into a convolution. They keep the names of the
    /// convolution's own.
    pub(super) fn fold(&mut self, node: &Node, fold: &FoldBatchNorm) -> Result<()> {
        let numbers = node.inputs.iter().map(|&input| self.numbers(input)).collect::<Result<Vec<_>>>()?;
        let numbers: Vec<&[f64]> = numbers.iter().map(Vec::as_slice).collect();
        let folded = fold.reference(&self.graph.shapes(&node.inputs), &numbers);
        for ((&output, numbers), name) in node.outputs.iter().zip(folded).zip(["weight", "bias"]) {
            self.compute(output, format!("{}.{name}", node.name), numbers);
        }
        Ok(())
    }

    /// `Conv`.
    pub(super) fn convolution(&mut self, node: &Node, operator: &Conv2d) -> Result<String> {
        let &Conv2d { stride, padding, groups, bias, epilogue } = operator;
        let inputs = 2 + usize::from(bias);
        let names = node.inputs[..inputs].iter().map(|&input| self.name(input)).collect::<Result<Vec<_>>>()?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let kernel = &self.graph.shape(node.inputs[1]).extents()[2..];
        let attributes = [
            ints("kernel_shape", kernel),
            ints("strides", &stride),
            ints("pads", &[padding, padding].concat()),
            int("group", groups),
        ];
        let y = self.builder.node("Conv", &node.name, &names, &attributes);
        self.epilogue(node, y, epilogue, node.inputs.get(inputs))
    }

    /// `ConvTranspose`, with the batch normalisation that follows it: its weights are `[C, O, KH, KW]`, of which the second
    /// extent is normalised.
    pub(super) fn transposed_convolution(&mut self, node: &Node, operator: &Conv2dInputGradient) -> Result<String> {
        let &Conv2dInputGradient { stride, padding, groups, size, .. } = operator;
        let (x, weight) = (node.inputs[0], node.inputs[1]);
        let (from, shape) = (self.graph.shape(x).extents(), self.graph.shape(weight).extents());
        let kernel = [shape[2], shape[3]];
        // What a stride leaves over at the end of each axis.
        let left_over: Vec<usize> = (0..2)
            .map(|axis| size[axis] + 2 * padding[axis] - (from[2 + axis] - 1) * stride[axis] - kernel[axis])
            .collect();
        let attributes = [
            ints("kernel_shape", &kernel),
            ints("strides", &stride),
            ints("pads", &[padding, padding].concat()),
            ints("output_padding", &left_over),
            int("group", groups),
        ];
        let norm = self.only_reader(node).filter(|_| groups == 1);
        let norm = norm.and_then(|norm| Some((norm, as_type::<BatchNormInference>(norm)?)));
        let Some((norm_node, norm)) = norm else {
            let (x, weight) = (self.name(x)?, self.name(weight)?);
            return Ok(self.builder.node("ConvTranspose", &node.name, &[&x, &weight], &attributes));
        };

        let [inputs, outputs, area] = [shape[0], shape[1], kernel[0] * kernel[1]];
        let weights = swapped(&self.numbers(weight)?, [inputs, outputs, area]);
        let folded = self.folded([outputs, inputs, kernel[0], kernel[1]], weights, norm_node, norm)?;
        let folded_weight = swapped(&folded[0], [outputs, inputs, area]);
        let weight = self.builder.floats(&format!("{}.weight", node.name), shape, &folded_weight);
        let bias = self.builder.floats(&format!("{}.bias", node.name), &[outputs], &folded[1]);
        let x = self.name(x)?;
        let y = self.builder.node("ConvTranspose", &node.name, &[&x, &weight, &bias], &attributes);
        let result = self.epilogue(node, y.clone(), norm.epilogue, norm_node.inputs.get(5))?;
        self.absorb(norm_node, result);
        Ok(y)
    }

    /// Weight and bias of a convolution of `shape` that a batch normalisation follows.
    fn folded(
        &self,
        shape: [usize; 4],
        weight: Vec<f64>,
        node: &Node,
        norm: &BatchNormInference,
    ) -> Result<Vec<Vec<f64>>> {
        let mut numbers = vec![weight];
        for &input in &node.inputs[1..5] {
            numbers.push(self.numbers(input)?);
        }
        let mut shapes = vec![Shape::from(shape)];
        shapes.extend(std::iter::repeat_n(Shape::from([shape[0]]), 4));
        let (shapes, numbers): (Vec<_>, Vec<_>) =
            (shapes.iter().collect(), numbers.iter().map(Vec::as_slice).collect());
        Ok(FoldBatchNorm { eps: norm.eps }.reference(&shapes, &numbers))
    }

    /// `Mul` and `Add` of a number a channel: a batch normalisation that follows no convolution.
    pub(super) fn normalisation(&mut self, node: &Node, operator: &BatchNormInference) -> Result<String> {
        let channels = self.graph.shape(node.inputs[0]).extents()[1];
        // As if it followed a convolution of one input and the weight 1 a channel.
        let folded = self.folded([channels, 1, 1, 1], vec![1.0; channels], node, operator)?;
        let [scale, shift] = [("scale", &folded[0]), ("shift", &folded[1])]
            .map(|(part, numbers)| self.builder.floats(&format!("{}.{part}", node.name), &[channels, 1, 1], numbers));
        let x = self.name(node.inputs[0])?;
        let y = self.builder.node("Mul", &format!("{}.scaled", node.name), &[&x, &scale], &[]);
        let y = self.builder.node("Add", &node.name, &[&y, &shift], &[]);
        self.epilogue(node, y, operator.epilogue, node.inputs.get(5))
    }

    /// `MaxPool`.
    pub(super) fn max_pool(&mut self, node: &Node, operator: &MaxPool) -> Result<String> {
        let &MaxPool { kernel, stride, padding } = operator;
        let attributes =
            [ints("kernel_shape", &[kernel; 2]), ints("strides", &[stride; 2]), ints("pads", &[padding; 4])];
        let x = self.name(node.inputs[0])?;
        Ok(self.builder.node("MaxPool", &node.name, &[&x], &attributes))
    }

    /// `Resize` that repeats each pixel.
    pub(super) fn upsample(&mut self, node: &Node, x: ValueId, factor: usize) -> Result<String> {
        let factor = factor as f64;
        let (x, factors) = (self.name(x)?, self.builder.floats("factors", &[4], &[1.0, 1.0, factor, factor]));
        let attributes = [
            text("mode", "nearest"),
            text("coordinate_transformation_mode", "asymmetric"),
            text("nearest_mode", "floor"),
        ];
        Ok(self.builder.node("Resize", &node.name, &[&x, "", &factors], &attributes))
    }

    /// `Resize` that mixes the pixels around each place. It is given all four extents, of which those of pictures and channels
    /// are taken from the input.
    pub(super) fn resize(&mut self, node: &Node, size: [usize; 2], align_corners: bool) -> Result<String> {
        let (x, own) = (self.name(node.inputs[0])?, self.builder.list(&size));
        let range = [int("start", 0), int("end", 2)];
        let kept = self.builder.node("Shape", &format!("{}.kept", node.name), &[&x], &range);
        let sizes = self.builder.node("Concat", &format!("{}.sizes", node.name), &[&kept, &own], &[int("axis", 0)]);
        let places = if align_corners { "align_corners" } else { "half_pixel" };
        let attributes = [text("mode", "linear"), text("coordinate_transformation_mode", places)];
        Ok(self.builder.node("Resize", &node.name, &[&x, "", "", &sizes], &attributes))
    }

    /// `Split` along the channels: the names of all parts.
    pub(super) fn split(&mut self, node: &Node, channels: &[usize]) -> Result<Vec<String>> {
        let (x, sizes) = (self.name(node.inputs[0])?, self.builder.list(channels));
        Ok(self.builder.nodes("Split", &node.name, &[&x, &sizes], &[int("axis", 1)], channels.len()))
    }

    /// `Gather` along the channels.
    pub(super) fn gather(&mut self, node: &Node, index: &[usize]) -> Result<String> {
        let (x, index) = (self.name(node.inputs[0])?, self.builder.list(index));
        Ok(self.builder.node("Gather", &node.name, &[&x, &index], &[int("axis", 1)]))
    }

    /// `Conv` with a matrix of ones and zeros, and `Add`.
    pub(super) fn scatter_add(&mut self, node: &Node, index: &[usize]) -> Result<String> {
        let (base, x) = (node.inputs[0], node.inputs[1]);
        let channels = self.graph.shape(base).extents()[1];
        let mut matrix = vec![0.0; channels * index.len()];
        for (member, &channel) in index.iter().enumerate() {
            matrix[channel * index.len() + member] = 1.0;
        }
        let (base, x) = (self.name(base)?, self.name(x)?);
        let matrix = self.builder.floats(&format!("{}.members", node.name), &[channels, index.len(), 1, 1], &matrix);
        let sums = self.builder.node("Conv", &format!("{}.sums", node.name), &[&x, &matrix], &[]);
        Ok(self.builder.node("Add", &node.name, &[&base, &sums], &[]))
    }

    /// The sum over the places of the kernel of the shifted map times the channel's number at that place. No convolution
    /// of ONNX has kernels that depend on the picture.
    pub(super) fn dynamic_convolution(&mut self, node: &Node) -> Result<String> {
        let (x, theta) = (node.inputs[0], node.inputs[1]);
        let (map, kernel) = (self.graph.shape(x).extents(), self.graph.shape(theta).extents());
        let ([height, width], [rows, columns]) = ([map[2], map[3]], [kernel[2], kernel[3]]);
        let (top, left) = ((rows - 1) / 2, (columns - 1) / 2);
        let named = |part: &str| format!("{}.{part}", node.name);

        let pads = self.builder.list(&[0, 0, top, left, 0, 0, rows - 1 - top, columns - 1 - left]);
        let x = self.name(x)?;
        let padded = self.builder.node("Pad", &named("padded"), &[&x, &pads], &[]);
        // Zeros stand for the extents that stay: pictures and channels.
        let shape = self.builder.list(&[0, 0, rows * columns, 1]);
        let theta = self.name(theta)?;
        let theta = self.builder.node("Reshape", &named("kernels"), &[&theta, &shape], &[]);
        let numbers = self.builder.nodes("Split", &named("kernel"), &[&theta], &[int("axis", 2)], rows * columns);

        let axes = self.builder.list(&[2, 3]);
        let mut sum: Option<String> = None;
        for (place, number) in numbers.iter().enumerate() {
            let (row, column) = (place / columns, place % columns);
            let start = self.builder.list(&[row, column]);
            let end = self.builder.list(&[row + height, column + width]);
            let shifted = self.builder.node("Slice", &named("shifted"), &[&padded, &start, &end, &axes], &[]);
            let product = self.builder.node("Mul", &named("product"), &[&shifted, number], &[]);
            sum = Some(match sum {
                None => product,
                Some(sum) => self.builder.node("Add", &named("sum"), &[&sum, &product], &[]),
            });
        }
        Ok(sum.unwrap_or(padded))
    }

    /// `Softmax` over the pixels, and `MatMul` with the places of these.
    pub(super) fn expectation(&mut self, node: &Node) -> Result<String> {
        let maps = self.graph.shape(node.inputs[0]).extents();
        let (height, width) = (maps[2], maps[3]);
        let named = |part: &str| format!("{}.{part}", node.name);
        let place = |at: usize, extent: usize| at as f64 / extent as f64 - 0.5;
        let places: Vec<f64> =
            (0..height * width).flat_map(|pixel| [place(pixel % width, width), place(pixel / width, height)]).collect();
        let (maps, list) = (self.name(node.inputs[0])?, self.builder.list(&[0, 0, height * width]));
        let flat = self.builder.node("Reshape", &named("flat"), &[&maps, &list], &[]);
        let shares = self.builder.node("Softmax", &named("shares"), &[&flat], &[int("axis", 2)]);
        let places = self.builder.floats(&named("places"), &[height * width, 2], &places);
        Ok(self.builder.node("MatMul", &named("coordinates"), &[&shares, &places], &[]))
    }

    /// (1 + sigmoid(g)) r.
    pub(super) fn gate(&mut self, node: &Node) -> Result<String> {
        let (r, g) = (self.name(node.inputs[0])?, self.name(node.inputs[1])?);
        let gate = self.builder.node("Sigmoid", &format!("{}.sigmoid", node.name), &[&g], &[]);
        let one = self.builder.float(1.0);
        let factor = self.builder.node("Add", &format!("{}.factor", node.name), &[&gate, &one], &[]);
        Ok(self.builder.node("Mul", &node.name, &[&r, &factor], &[]))
    }
}

fn as_type<T: Operator>(node: &Node) -> Option<&T> {
    let operator: &dyn Any = node.operator.as_ref();
    operator.downcast_ref()
}

/// The numbers of a tensor `[A, B, AREA]` as those of `[B, A, AREA]`.
fn swapped(numbers: &[f64], [a, b, area]: [usize; 3]) -> Vec<f64> {
    let rows = (0..b).flat_map(|j| (0..a).map(move |i| (i * b + j) * area));
    rows.flat_map(|start| &numbers[start..start + area]).copied().collect()
}
