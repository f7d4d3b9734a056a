use ditn::ir::{Operator, Shape};
use ditn::ops::conv2d::{
    self, Conv2d, Conv2dBiasGradient, Conv2dInputGradient, Conv2dStatistics, Conv2dWeightGradient,
};
use ditn::ops::{Epilogue, Fill, OperatorCase};
use proptest::prelude::*;

use crate::common::skipped;
use crate::harness::{adjoint_holds, f16_values_agree, folded_values_agree, gpus, table_agrees, values_agree};

/// Extents of a convolution.
#[derive(Debug, Clone, Copy)]
struct Extents {
    /// N, C, H, W.
    x: [usize; 4],
    outputs: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    groups: usize,
}

impl Extents {
    /// With stride 1 and equal sides of kernel and padding.
    fn square(x: [usize; 4], outputs: usize, kernel: usize, padding: usize, groups: usize) -> Self {
        Self { x, outputs, kernel: [kernel; 2], stride: [1, 1], padding: [padding; 2], groups }
    }

    fn with_stride(self, stride: usize) -> Self {
        Self { stride: [stride; 2], ..self }
    }

    fn weight(&self) -> [usize; 4] {
        [self.outputs, self.x[1] / self.groups, self.kernel[0], self.kernel[1]]
    }

    fn y(&self) -> [usize; 4] {
        let size =
            [0, 1].map(|axis| (self.x[axis + 2] + 2 * self.padding[axis] - self.kernel[axis]) / self.stride[axis] + 1);
        [self.x[0], self.outputs, size[0], size[1]]
    }

    fn convolution(&self, bias: bool) -> (Conv2d, Vec<Shape>) {
        let &Self { stride, padding, groups, .. } = self;
        let mut shapes: Vec<Shape> = vec![self.x.into(), self.weight().into()];
        if bias {
            shapes.push([self.outputs].into());
        }
        (Conv2d { stride, padding, groups, bias, epilogue: Epilogue::NONE }, shapes)
    }

    fn forward(&self, bias: bool) -> OperatorCase {
        let (convolution, shapes) = self.convolution(bias);
        OperatorCase::new(convolution, &shapes)
    }

    /// With positive inputs, so that the mean is not itself rounding.
    fn statistics(&self, bias: bool) -> OperatorCase {
        let (convolution, shapes) = self.convolution(bias);
        OperatorCase::new(Conv2dStatistics { convolution }, &shapes).fill(0, Fill::Uniform(0.0, 1.0))
    }

    fn input_gradient(&self) -> OperatorCase {
        let &Self { stride, padding, groups, .. } = self;
        let size = [self.x[2], self.x[3]];
        let operator = Conv2dInputGradient { stride, padding, groups, size, residual: false };
        OperatorCase::new(operator, &[self.y(), self.weight()])
    }

    fn input_gradient_with_residual(&self) -> OperatorCase {
        let &Self { stride, padding, groups, .. } = self;
        let size = [self.x[2], self.x[3]];
        let operator = Conv2dInputGradient { stride, padding, groups, size, residual: true };
        OperatorCase::new(operator, &[self.y(), self.weight(), self.x])
    }

    fn weight_gradient(&self) -> OperatorCase {
        let &Self { stride, padding, groups, kernel, .. } = self;
        OperatorCase::new(Conv2dWeightGradient { stride, padding, groups, kernel }, &[self.y(), self.x])
    }

    /// Every variant of every pass against the reference.
    fn agree(&self, bias: bool, seed: u64) {
        values_agree(&self.forward(bias), seed);
        values_agree(&self.input_gradient(), seed);
        values_agree(&self.input_gradient_with_residual(), seed);
        values_agree(&self.weight_gradient(), seed);
        values_agree(&OperatorCase::new(Conv2dBiasGradient, &[self.y()]), seed);
    }
}

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&conv2d::cases(), &[]);
}

#[test]
fn the_shapes_of_the_networks_agree_with_the_reference() {
    for (number, extents) in [
        Extents::square([2, 3, 48, 48], 16, 3, 1, 1).with_stride(2),
        Extents::square([2, 16, 24, 24], 16, 3, 1, 1),
        Extents::square([3, 32, 6, 6], 32, 3, 1, 1),
        Extents::square([8, 64, 3, 3], 64, 3, 1, 1),
        Extents::square([2, 8, 24, 24], 16, 3, 1, 1).with_stride(2),
        Extents::square([2, 64, 12, 12], 16, 1, 0, 1),
        Extents::square([2, 64, 3, 3], 8, 1, 0, 1),
        Extents::square([2, 24, 8, 6], 12, 4, 1, 1).with_stride(2),
        Extents::square([1, 3, 40, 24], 64, 7, 3, 1).with_stride(2),
        Extents::square([2, 38, 24, 24], 38, 3, 1, 19),
        Extents::square([2, 30, 16, 12], 30, 3, 0, 15).with_stride(2),
        Extents::square([2, 38, 1, 1], 38, 1, 0, 19),
        Extents::square([2, 17, 24, 24], 17, 9, 4, 17),
        Extents::square([2, 17, 16, 12], 17, 3, 1, 1),
        // Rounding grows with channels, and that of dw with pixels.
        Extents::square([1, 256, 8, 8], 40, 3, 1, 1),
        // Several tiles of matrices along both sides.
        Extents::square([3, 130, 7, 9], 140, 1, 0, 1),
        Extents::square([2, 70, 15, 13], 131, 3, 1, 1).with_stride(2),
        Extents::square([3, 4, 128, 96], 5, 3, 1, 1),
    ]
    .iter()
    .enumerate()
    {
        extents.agree(number % 2 == 0, number as u64);
    }
}

#[test]
fn maps_of_several_tiles_agree_with_the_reference() {
    let with_padding = |padding, extents| Extents { padding, ..extents };
    for (number, extents) in [
        // Tiles of 64 columns, of 16 columns, of 32, and of 32 at the very ends of the maps.
        Extents::square([3, 2, 34, 36], 2, 9, 4, 2),
        Extents::square([2, 3, 66, 10], 3, 9, 4, 3),
        Extents::square([2, 2, 33, 31], 2, 9, 4, 2),
        Extents::square([1, 2, 64, 64], 2, 9, 4, 2),
        with_padding([0, 8], Extents::square([2, 2, 41, 33], 2, 9, 4, 2)),
        // 2 -> 3 channels a group, 2 -> 4, 3 -> 3, 1 -> 2 and 4 -> 2.
        Extents::square([3, 6, 34, 36], 9, 3, 1, 3),
        Extents::square([2, 4, 66, 10], 8, 3, 1, 2),
        Extents::square([2, 6, 33, 31], 6, 3, 1, 2),
        Extents::square([1, 2, 64, 64], 4, 3, 1, 2),
        with_padding([2, 0], Extents::square([2, 8, 20, 67], 4, 3, 1, 2)),
    ]
    .iter()
    .enumerate()
    {
        extents.agree(number % 2 == 0, number as u64);
    }
}

#[test]
fn a_long_sum_that_cancels_agrees_with_the_reference() {
    // The only element of dw adds up 560 products and comes out 200 times smaller than they are.
    Extents::square([2, 1, 10, 28], 1, 1, 0, 1).agree(false, 11_627_201_631_831_640_211);
}

/// On adapters with cooperative matrices, where `DITN_COOPERATIVE_MATRIX` is 1.
#[test]
fn cooperative_matrices_agree_with_the_reference_within_the_rounding_of_f16() {
    if gpus().iter().all(|gpu| gpu.capabilities().cooperative_matrix.is_none()) {
        skipped("DITN_COOPERATIVE_MATRIX is not 1, or no adapter has cooperative matrices");
        return;
    }
    for (number, extents) in [
        Extents::square([2, 70, 15, 13], 131, 3, 1, 1).with_stride(2),
        Extents::square([2, 64, 12, 12], 64, 3, 1, 1),
        Extents::square([2, 24, 8, 6], 12, 4, 1, 1).with_stride(2),
        Extents::square([1, 256, 8, 8], 40, 1, 0, 1),
    ]
    .iter()
    .enumerate()
    {
        f16_values_agree(&extents.forward(true), number as u64);
        f16_values_agree(&extents.input_gradient(), number as u64);
        f16_values_agree(&extents.input_gradient_with_residual(), number as u64);
        f16_values_agree(&extents.weight_gradient(), number as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_convolution_agrees_with_the_reference(
        (n, h, w) in (1..4_usize, 1..14_usize, 1..20_usize),
        (groups, channels, outputs) in (1..4_usize, 1..8_usize, 1..12_usize),
        kernel in [1..6_usize, 1..6_usize],
        stride in [1..4_usize, 1..4_usize],
        padding in [0..4_usize, 0..4_usize],
        bias: bool,
        seed: u64,
    ) {
        let kernel = [kernel[0].min(h + 2 * padding[0]), kernel[1].min(w + 2 * padding[1])];
        let (x, outputs) = ([n, groups * channels, h, w], groups * outputs);
        Extents { x, outputs, kernel, stride, padding, groups }.agree(bias, seed);
    }

    #[test]
    fn any_dense_convolution_agrees_with_the_reference(
        (n, h, w) in (1..6_usize, 1..14_usize, 1..20_usize),
        (channels, outputs) in (1..40_usize, 1..70_usize),
        kernel in prop_oneof![Just(1_usize), Just(3)],
        stride in 1..3_usize,
        bias: bool,
        seed: u64,
    ) {
        Extents::square([n, channels, h, w], outputs, kernel, kernel / 2, 1).with_stride(stride).agree(bias, seed);
    }

    #[test]
    fn any_1x1_convolution_agrees_with_the_reference(
        (n, h, w) in (1..6_usize, 1..14_usize, 1..20_usize),
        (channels, outputs) in (1..18_usize, 1..18_usize),
        // Channels, outputs and pixels that are multiples of 4 have paths of their own.
        vec4: [bool; 3],
        bias: bool,
        seed: u64,
    ) {
        let rounded = |number: usize, vec4: bool| if vec4 { 4 * number } else { number };
        let x = [n, rounded(channels, vec4[0]), h, rounded(w, vec4[1])];
        Extents::square(x, rounded(outputs, vec4[2]), 1, 0, 1).agree(bias, seed);
    }

    #[test]
    fn any_3x3_convolution_with_stride_1_agrees_with_the_reference(
        (n, h, w) in (1..6_usize, 3..14_usize, 3..20_usize),
        (groups, channels, outputs) in (1..4_usize, 1..12_usize, 1..12_usize),
        padding in [0..3_usize, 0..3_usize],
        // Widths that are multiples of 4 have paths of their own.
        vec4: bool,
        bias: bool,
        seed: u64,
    ) {
        let w = if vec4 { w.next_multiple_of(4) } else { w };
        let (x, outputs, padding) = ([n, groups * channels, h, w], groups * outputs, if vec4 { [1, 1] } else { padding });
        Extents { x, outputs, kernel: [3, 3], stride: [1, 1], padding, groups }.agree(bias, seed);
    }

    #[test]
    fn any_3x3_convolution_with_padding_1_agrees_with_the_reference(
        (n, h, w) in (1..4_usize, 1..26_usize, 1..7_usize),
        (channels, outputs) in (1..70_usize, 1..70_usize),
        bias: bool,
        seed: u64,
    ) {
        Extents::square([n, channels, h, 4 * w], outputs, 3, 1, 1).agree(bias, seed);
    }

    #[test]
    fn any_depthwise_9x9_convolution_agrees_with_the_reference(
        (n, c, h, w) in (1..5_usize, 2..12_usize, 1..20_usize, 1..20_usize),
        padding in [4..9_usize, 4..9_usize],
        vec4: bool,
        bias: bool,
        seed: u64,
    ) {
        let w = if vec4 { w.next_multiple_of(4) } else { w };
        let padding = if vec4 { [4, 4] } else { padding };
        Extents { x: [n, c, h, w], outputs: c, kernel: [9, 9], stride: [1, 1], padding, groups: c }.agree(bias, seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_statistics_of_any_convolution_agree_with_the_reference(
        (n, h, w) in (1..4_usize, 3..26_usize, 4..26_usize),
        (groups, channels, outputs) in (1..3_usize, 1..20_usize, 4..40_usize),
        (kernel, stride) in (1..4_usize, 1..3_usize),
        // Channels and widths that are multiples of 4 have kernels of their own.
        vec4: bool,
        bias: bool,
        seed: u64,
    ) {
        let (groups, channels, w) =
            if vec4 { (1, channels.next_multiple_of(4), w.next_multiple_of(4)) } else { (groups, channels, w) };
        let (x, outputs) = ([n, groups * channels, h, w], groups * outputs);
        let extents = Extents::square(x, outputs, kernel, kernel / 2, groups).with_stride(stride);
        values_agree(&extents.statistics(bias), seed);
    }

    #[test]
    fn the_statistics_of_few_pixels_agree_with_the_reference(
        (n, h, w) in (1..4_usize, 1..5_usize, 1..5_usize),
        (channels, outputs) in (1..20_usize, 1..40_usize),
        kernel in prop::sample::select(vec![1_usize, 3]),
        seed: u64,
    ) {
        let extents = Extents::square([n, 4 * channels, h, w], outputs, kernel, kernel / 2, 1);
        values_agree(&extents.statistics(false), seed);
    }
}

#[test]
fn the_statistics_of_many_parts_agree_with_the_reference() {
    for extents in [
        Extents::square([2, 4, 64, 64], 20, 3, 1, 1),
        Extents::square([1, 8, 96, 128], 12, 1, 0, 1),
        Extents::square([1, 3, 256, 192], 16, 3, 1, 1).with_stride(2),
        Extents::square([3, 4, 100, 101], 6, 2, 0, 2),
    ] {
        values_agree(&extents.statistics(true), 0);
    }
}

#[test]
fn statistics_survive_a_mean_a_thousand_deviations_away() {
    for extents in [
        Extents::square([2, 4, 17, 14], 6, 3, 0, 1),
        Extents::square([2, 4, 10, 14], 6, 1, 0, 1),
        Extents::square([2, 4, 17, 14], 6, 2, 0, 1).with_stride(2),
    ] {
        let case = extents.statistics(true).fill(2, Fill::Uniform(999.0, 1001.0));
        values_agree(&case, 1);
    }
}

#[test]
fn the_gradients_are_the_transposes() {
    for extents in [
        Extents::square([2, 8, 9, 12], 20, 3, 1, 1),
        Extents::square([2, 5, 9, 12], 10, 3, 1, 1).with_stride(2),
        Extents::square([2, 6, 7, 8], 9, 4, 1, 3).with_stride(2),
        Extents::square([2, 6, 10, 8], 6, 3, 1, 3),
        Extents::square([2, 3, 12, 11], 3, 9, 4, 3),
        Extents::square([2, 20, 6, 6], 12, 1, 0, 1),
    ] {
        adjoint_holds(&extents.forward(false), &[0], 0);
        adjoint_holds(&extents.forward(false), &[1], 1);
        adjoint_holds(&extents.forward(true), &[0, 2], 2);
        adjoint_holds(&extents.input_gradient(), &[0], 3);
        adjoint_holds(&extents.input_gradient(), &[1], 4);
    }
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    // The plain kernels: 64 elements a workgroup. The tiled one: 64 pixels.
    let row = Extents::square([1, 1, 1, 65_535 * 64 + 1], 1, 1, 0, 1);
    folded_values_agree(&row.statistics(false), 0);
    folded_values_agree(&row.input_gradient(), 0);
    folded_values_agree(&Extents::square([1, 2048, 1, 1], 2049, 1, 0, 1).weight_gradient(), 0);
    // Products of matrices: 64 columns at least.
    folded_values_agree(&Extents::square([1, 65_535 * 64 / 9 + 1, 2, 2], 1, 3, 1, 1).weight_gradient(), 0);
    // Pointwise: 32 pixels.
    let row = Extents::square([1, 4, 4, 65_535 * 8 + 8], 4, 1, 0, 1);
    folded_values_agree(&row.statistics(true), 0);
    folded_values_agree(&row.input_gradient(), 0);
    // 3x3: 4 tiles of 3x4 pixels a workgroup; in groups, a channel or two, and 8 rows of the weight.
    let plane = Extents::square([1, 4, 3 * 512, 4 * 513], 1, 3, 1, 1);
    folded_values_agree(&plane.statistics(false), 0);
    folded_values_agree(&Extents { x: [1, 1, 3 * 512, 4 * 513], outputs: 4, ..plane }.input_gradient(), 0);
    let many = Extents::square([1, 65_535 * 8 + 1, 1, 1], 65_535 * 8 + 1, 3, 1, 65_535 * 8 + 1);
    folded_values_agree(&many.forward(false), 0);
    folded_values_agree(&many.weight_gradient(), 0);
    // 9x9 and the bias: a channel a workgroup.
    let deep = Extents::square([1, 65_536, 1, 4], 65_536, 9, 4, 65_536);
    folded_values_agree(&deep.forward(false), 0);
    folded_values_agree(&deep.input_gradient(), 0);
    folded_values_agree(&OperatorCase::new(Conv2dBiasGradient, &[[1, 65_536, 1, 2]]), 0);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let shape = |extents: [usize; 4]| Shape::from(extents);
    let refusal = |operator: &dyn Operator, inputs: &[Shape]| {
        let inputs: Vec<&Shape> = inputs.iter().collect();
        operator.output_shapes(&inputs).unwrap_err().to_string()
    };
    let convolution = Conv2d { stride: [1, 1], padding: [0, 0], groups: 2, bias: false, epilogue: Epilogue::NONE };
    let error = refusal(&convolution, &[shape([1, 6, 5, 5]), shape([4, 2, 3, 3])]);
    assert!(error.contains("[4, 2, 3, 3]") && error.contains("[1, 6, 5, 5]"), "{error}");
    let error = refusal(&convolution, &[shape([1, 6, 2, 5]), shape([4, 3, 3, 3])]);
    assert!(error.contains("3x3") && error.contains("[1, 6, 2, 5]"), "{error}");
    let error = refusal(&convolution, &[shape([1, 6, 5, 5])]);
    assert!(error.contains("2 inputs"), "{error}");
    let error = refusal(&Conv2d { bias: true, ..convolution }, &[shape([1, 6, 5, 5]), shape([4, 3, 3, 3]), [5].into()]);
    assert!(error.contains("[5]") && error.contains("[4]"), "{error}");
    let gradient = Conv2dWeightGradient { stride: [2, 2], padding: [0, 0], groups: 1, kernel: [3, 3] };
    let error = refusal(&gradient, &[shape([1, 4, 3, 3]), shape([1, 6, 5, 5])]);
    assert!(error.contains("[1, 4, 3, 3]") && error.contains("[1, 4, 2, 2]"), "{error}");
    let gradient = Conv2dInputGradient { stride: [2, 2], padding: [0, 0], groups: 1, size: [7, 5], residual: false };
    let error = refusal(&gradient, &[shape([1, 4, 2, 2]), shape([4, 6, 3, 3])]);
    assert!(error.contains("[1, 4, 2, 2]") && error.contains("[1, 4, 3, 2]"), "{error}");
}
