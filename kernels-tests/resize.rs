use ditn::ir::{Operator, Shape};
use ditn::ops::OperatorCase;
use ditn::ops::resize::{self, Resize, ResizeInputGradient};
use proptest::prelude::*;

use crate::harness::{adjoint_holds, folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&resize::cases(), &[]);
}

/// Forwards and backwards.
fn both([n, c, h, w]: [usize; 4], size: [usize; 2], align_corners: bool) -> [OperatorCase; 2] {
    let gradient = ResizeInputGradient { size: [h, w], align_corners };
    [
        OperatorCase::new(Resize { size, align_corners }, &[[n, c, h, w]]),
        OperatorCase::new(gradient, &[[n, c, size[0], size[1]]]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_sizes_agree_with_the_reference(
        (n, c, h, w) in (1..3_usize, 1..5_usize, 1..20_usize, 1..20_usize),
        (height, width) in (1..40_usize, 1..12_usize),
        by_fours: bool,
        align_corners: bool,
        seed: u64,
    ) {
        let size = [height, if by_fours { 4 * width } else { width }];
        for case in both([n, c, h, w], size, align_corners) {
            values_agree(&case, seed);
        }
    }

    /// Of numbers with a point: the pixels around a place, as PyTorch describes it.
    #[test]
    fn the_reference_is_the_interpolation_at_the_place(
        (h, w) in (1..30_usize, 1..30_usize),
        size in [1..30_usize, 1..30_usize],
        align_corners: bool,
        seed in 0..1000_u32,
    ) {
        let x: Vec<f64> = (0..h * w).map(|at| (f64::from(seed) + 7.3 * at as f64).sin()).collect();
        let place = |i: usize, from: usize, to: usize| -> f64 {
            match (align_corners, to) {
                (true, 1) => 0.0,
                (true, _) => i as f64 * (from as f64 - 1.0) / (to as f64 - 1.0),
                (false, _) => ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0),
            }
        };
        let pixel = |row: f64, column: f64| x[(row as usize).min(h - 1) * w + (column as usize).min(w - 1)];
        let y = Resize { size, align_corners }.reference(&[&[1, 1, h, w].into()], &[&x]).remove(0);
        prop_assert_eq!(y.len(), size[0] * size[1]);
        for (at, found) in y.into_iter().enumerate() {
            let (row, column) = (place(at / size[1], h, size[0]), place(at % size[1], w, size[1]));
            let (top, left) = (row.floor(), column.floor());
            let (a, b) = (row - top, column - left);
            let upper = (1.0 - b) * pixel(top, left) + b * pixel(top, left + 1.0);
            let lower = (1.0 - b) * pixel(top + 1.0, left) + b * pixel(top + 1.0, left + 1.0);
            // Rounding may move a place to the other side of a pixel, where both sides give nearly the same.
            prop_assert!((found - ((1.0 - a) * upper + a * lower)).abs() < 1e-12, "{} at {}", found, at);
        }
    }
}

/// torch.nn.functional.interpolate(mode="bilinear") of these numbers.
#[test]
fn resized_rows_are_pytorchs() {
    let row = |x: &[f64], to: usize, align_corners: bool| {
        let shape = Shape::from([1, 1, 1, x.len()]);
        Resize { size: [1, to], align_corners }.reference(&[&shape], &[x]).remove(0)
    };
    assert_eq!(row(&[1.0, 3.0], 4, false), [1.0, 1.5, 2.5, 3.0]);
    assert_eq!(row(&[1.0, 3.0], 5, true), [1.0, 1.5, 2.0, 2.5, 3.0]);
    assert_eq!(row(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 2, false), [1.5, 5.5]);
    assert_eq!(row(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 2, true), [0.0, 7.0]);
    assert_eq!(row(&[4.0, 5.0, 6.0], 1, false), [5.0]);
    assert_eq!(row(&[4.0, 5.0, 6.0], 1, true), [4.0]);
}

#[test]
fn the_same_size_changes_nothing() {
    let x: Vec<f64> = (0..2 * 5 * 7).map(|at| f64::from(at).sqrt()).collect();
    for align_corners in [true, false] {
        let (shape, size) = ([1, 2, 5, 7].into(), [5, 7]);
        assert_eq!(Resize { size, align_corners }.reference(&[&shape], &[&x]), [&x[..]]);
        assert_eq!(ResizeInputGradient { size, align_corners }.reference(&[&shape], &[&x]), [&x[..]]);
    }
}

#[test]
fn the_gradients_are_the_transposes() {
    for align_corners in [true, false] {
        for (x, size) in [([2, 3, 5, 4], [20, 16]), ([2, 3, 12, 9], [5, 4]), ([1, 2, 7, 3], [7, 10])] {
            for case in both(x, size, align_corners) {
                adjoint_holds(&case, &[0], 0);
            }
        }
    }
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    // More than 65,535 workgroups of 64 invocations that compute one element each, or 4.
    const MAPS: usize = 2_049;
    let wide = 2_048;
    folded_values_agree(&both([1, MAPS, 1, 1], [1, wide], true)[0], 0);
    folded_values_agree(&both([1, MAPS, 1, wide], [1, 4], false)[1], 0);
    folded_values_agree(&both([1, MAPS, 4, 1], [1, wide], false)[1], 0);
}

#[test]
fn strips_past_65535_workgroups_fold_into_y() {
    folded_values_agree(&both([1, 4_100, 1, 2], [1, 4_096], true)[0], 0);
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let refused = |operator: &dyn Operator, shape: Shape| operator.output_shapes(&[&shape]).unwrap_err().to_string();
    let resize = |size| Resize { size, align_corners: true };
    let error = refused(&resize([0, 4]), [1, 2, 3, 3].into());
    assert!(error.contains("3x3 cannot become 0x4: heights and widths must be between 1 and 32767"), "{error}");
    let error = refused(&resize([4, 32_768]), [1, 2, 3, 3].into());
    assert!(error.contains("between 1 and 32767"), "{error}");
    let error = refused(&ResizeInputGradient { size: [3, 3], align_corners: false }, [2, 6].into());
    assert!(error.contains("resize_backward: [2, 6] is not [N, C, H, W]"), "{error}");
    // The largest are computed with whole numbers that fit.
    for align_corners in [true, false] {
        let (shape, size) = (Shape::from([1, 1, 1, 32_767]), [1, 32_766]);
        assert!(Resize { size, align_corners }.output_shapes(&[&shape]).is_ok());
    }
}

#[test]
fn the_largest_extents_agree_with_the_reference() {
    for align_corners in [true, false] {
        for (from, to) in [(32_767, 32_764), (3, 32_764), (32_767, 5)] {
            for case in both([1, 1, 1, from], [1, to], align_corners).into_iter().chain(both(
                [1, 1, from, 1],
                [to, 4],
                align_corners,
            )) {
                values_agree(&case, 0);
            }
        }
    }
}
