use ditn::ir::{Operator, Shape};
use ditn::ops::OperatorCase;
use ditn::ops::dynamic_conv::{self, DynamicConv, DynamicConvInputGradient, DynamicConvThetaGradient};
use proptest::prelude::*;

use crate::harness::{adjoint_holds, folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&dynamic_conv::cases(), &[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_map_and_kernel_agree_with_the_reference(
        (n, c, h, w) in (1..3_usize, 1..5_usize, 1..20_usize, 1..30_usize),
        (kernel_height, kernel_width) in (1..11_usize, 1..12_usize),
        seed: u64,
    ) {
        let (map, theta) = ([n, c, h, w], [n, c, kernel_height, kernel_width]);
        values_agree(&OperatorCase::new(DynamicConv, &[map, theta]), seed);
        values_agree(&OperatorCase::new(DynamicConvInputGradient, &[map, theta]), seed);
        values_agree(&OperatorCase::new(DynamicConvThetaGradient { kernel_height, kernel_width }, &[map; 2]), seed);
    }
}

#[test]
fn maps_of_several_tiles_agree_with_the_reference() {
    for (seed, (map, kernel)) in
        [([34, 36], [9, 9]), ([66, 10], [8, 6]), ([33, 31], [4, 9]), ([17, 67], [1, 7])].into_iter().enumerate()
    {
        let ([h, w], [kernel_height, kernel_width]) = (map, kernel);
        let (map, theta) = ([2, 2, h, w], [2, 2, kernel_height, kernel_width]);
        let seed = seed as u64;
        values_agree(&OperatorCase::new(DynamicConv, &[map, theta]), seed);
        values_agree(&OperatorCase::new(DynamicConvInputGradient, &[map, theta]), seed);
        values_agree(&OperatorCase::new(DynamicConvThetaGradient { kernel_height, kernel_width }, &[map; 2]), seed);
    }
}

#[test]
fn the_gradients_are_the_transposes() {
    for (kernel_height, kernel_width) in [(3, 3), (2, 4), (7, 5), (6, 9)] {
        let case = OperatorCase::new(DynamicConv, &[[2, 3, 13, 11], [2, 3, kernel_height, kernel_width]]);
        adjoint_holds(&case, &[0], 0);
        adjoint_holds(&case, &[1], 0);
    }
}

#[test]
fn an_even_kernel_reaches_one_further_down_and_right_than_up_and_left() {
    // A kernel of 2x2 whose last tap is 1 shifts the map by one to the left and up.
    let shapes = [Shape::from([1, 1, 2, 2]), Shape::from([1, 1, 2, 2])];
    let y = DynamicConv.reference(&[&shapes[0], &shapes[1]], &[&[1.0, 2.0, 3.0, 4.0], &[0.0, 0.0, 0.0, 1.0]]);
    assert_eq!(y, [[4.0, 0.0, 0.0, 0.0]]);
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    // More strips of 8 columns than 65,535 workgroups of 64 compute, and more channels than 65,535.
    let (map, theta) = ([1, 1, 65_536 * 64, 2], [1, 1, 2, 1]);
    folded_values_agree(&OperatorCase::new(DynamicConv, &[map, theta]), 0);
    let gradient = DynamicConvThetaGradient { kernel_height: 2, kernel_width: 2 };
    folded_values_agree(&OperatorCase::new(gradient, &[[1, 65_536 / 2, 2, 3]; 2]), 0);
}

#[test]
fn kernels_that_are_not_one_a_channel_are_refused() {
    let refused = |map: [usize; 4], theta: [usize; 4]| {
        DynamicConv.output_shapes(&[&Shape::from(map), &Shape::from(theta)]).unwrap_err().to_string()
    };
    let error = refused([2, 3, 8, 8], [1, 3, 3, 3]);
    assert!(error.contains("[1, 3, 3, 3] is not one kernel for each channel of each sample"), "{error}");
    let error = refused([2, 3, 8, 8], [2, 3, 0, 3]);
    assert!(error.contains("may be empty"), "{error}");
}
