//! The operators of this folder at telling shapes.

use super::geometry::Geometry;
use super::operators::{Conv2d, Conv2dBiasGradient, Conv2dInputGradient, Conv2dStatistics, Conv2dWeightGradient};
use crate::ir::Shape;
use crate::ops::{Epilogue, Fill, OperatorCase};

/// The cases of this folder's operators.
pub fn cases() -> Vec<OperatorCase> {
    // Batch, channels, height, width; outputs, kernel; stride; padding; groups; bias.
    let geometries = [
        ([2, 3, 9, 7], [5, 3, 3], 1, 1, 1, false),
        ([2, 8, 8, 16], [8, 3, 3], 1, 1, 1, true),
        ([1, 4, 7, 9], [9, 1, 1], 1, 0, 1, true),
        ([2, 8, 4, 6], [12, 1, 1], 1, 0, 1, true),
        ([2, 3, 11, 9], [8, 3, 3], 2, 1, 1, false),
        ([1, 3, 17, 15], [4, 7, 7], 2, 3, 1, false),
        ([2, 3, 8, 6], [5, 4, 4], 2, 1, 1, false),
        ([2, 6, 9, 9], [6, 3, 3], 2, 0, 3, false),
        ([2, 6, 5, 4], [6, 3, 3], 1, 1, 3, false),
        ([2, 4, 1, 1], [4, 1, 1], 1, 0, 2, false),
        ([1, 3, 12, 13], [3, 9, 9], 1, 4, 3, false),
        ([1, 1, 1, 1], [1, 1, 1], 1, 0, 1, false),
        ([2, 2, 6, 5], [3, 2, 4], 1, 1, 1, false),
    ];
    let mut cases = Vec::new();
    for (x, [o, kh, kw], stride, padding, groups, bias) in geometries {
        let epilogue = Epilogue::NONE;
        let forward = Conv2d { stride: [stride; 2], padding: [padding; 2], groups, bias, epilogue };
        let mut shapes: Vec<Shape> = vec![x.into(), [o, x[1] / groups, kh, kw].into()];
        let wanted = if bias { &[0, 1, 2][..] } else { &[0, 1] };
        if bias {
            shapes.push([o].into());
        }
        let y = {
            let inputs: Vec<&Shape> = shapes.iter().collect();
            Geometry::of(forward.geometry(&inputs)).output()
        };
        cases.push(OperatorCase::new(forward, &shapes).differentiate(wanted));
        for (residual, relu) in [(false, true), (true, false), (true, true)] {
            let epilogue = Epilogue { residual, relu };
            let shapes = [&shapes[..], if residual { std::slice::from_ref(&y) } else { &[] }].concat();
            cases.push(OperatorCase::new(Conv2d { epilogue, ..forward }, &shapes));
        }
        let (x, weight) = (shapes[0].clone(), shapes[1].clone());
        let [_, _, h, w] = [0, 1, 2, 3].map(|axis| x.extents()[axis]);
        let (stride, padding) = ([stride; 2], [padding; 2]);
        let input = Conv2dInputGradient { stride, padding, groups, size: [h, w], residual: false };
        cases.push(OperatorCase::new(input, &[y.clone(), weight.clone()]).differentiate(&[0, 1]));
        let input = Conv2dInputGradient { residual: true, ..input };
        cases.push(OperatorCase::new(input, &[y.clone(), weight, x.clone()]).differentiate(&[0, 1, 2]));
        let kernel = Conv2dWeightGradient { stride, padding, groups, kernel: [kh, kw] };
        cases.push(OperatorCase::new(kernel, &[y.clone(), x]));
        cases.push(OperatorCase::new(Conv2dBiasGradient, &[y]));
    }
    cases.extend(of_split_sums());
    cases.extend(with_statistics());
    cases
}

/// Many channels and few pixels: products of matrices whose sums are split, with all that follows the sums.
fn of_split_sums() -> Vec<OperatorCase> {
    let (x, weight, y): (Shape, Shape, Shape) = ([2, 68, 3, 5].into(), [9, 68, 3, 3].into(), [2, 9, 3, 5].into());
    let (stride, padding, groups) = ([1, 1], [1, 1], 1);
    let mut cases = Vec::new();
    for (residual, relu, bias) in [(false, false, true), (true, false, false), (true, true, true)] {
        let mut shapes = vec![x.clone(), weight.clone()];
        shapes.extend(bias.then(|| [9].into()));
        shapes.extend(residual.then(|| y.clone()));
        let epilogue = Epilogue { residual, relu };
        cases.push(OperatorCase::new(Conv2d { stride, padding, groups, bias, epilogue }, &shapes));
    }
    let dx = Conv2dInputGradient { stride, padding, groups, size: [3, 5], residual: true };
    cases.push(OperatorCase::new(dx, &[x, [68, 9, 3, 3].into(), y]));
    cases
}

/// [`Conv2dStatistics`].
fn with_statistics() -> Vec<OperatorCase> {
    // Batch, channels, height, width; outputs, kernel; stride; padding; groups; bias.
    let geometries = [
        ([2, 8, 8, 16], [12, 3, 3], 1, 1, 1, true),
        ([3, 4, 7, 9], [9, 3, 3], 1, 0, 1, false),
        ([3, 4, 6, 10], [5, 1, 1], 1, 0, 1, true),
        ([2, 8, 4, 6], [24, 1, 1], 1, 0, 1, false),
        ([2, 3, 11, 9], [18, 3, 3], 2, 1, 1, true),
        ([2, 6, 9, 9], [6, 3, 3], 1, 1, 3, false),
        ([1, 1, 1, 1], [1, 1, 1], 1, 0, 1, false),
    ];
    let case =
        |(x, [o, kh, kw], stride, padding, groups, bias): ([usize; 4], [usize; 3], usize, usize, usize, bool)| {
            let (stride, padding) = ([stride; 2], [padding; 2]);
            let convolution = Conv2d { stride, padding, groups, bias, epilogue: Epilogue::NONE };
            let mut shapes: Vec<Shape> = vec![x.into(), [o, x[1] / groups, kh, kw].into()];
            shapes.extend(bias.then(|| [o].into()));
            let wanted = if bias { &[0, 1, 2][..] } else { &[0, 1] };
            // Positive inputs, so that the mean is not itself rounding.
            OperatorCase::new(Conv2dStatistics { convolution }, &shapes)
                .fill(0, Fill::Uniform(0.0, 1.0))
                .differentiate(wanted)
                .differentiate_outputs(1)
        };
    geometries.map(case).to_vec()
}
