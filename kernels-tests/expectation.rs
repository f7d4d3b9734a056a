use ditn::ir::{Operator, Shape};
use ditn::ops::expectation::{self, Expectation, ExpectationGradient, SpatialSoftmax, SpatialSoftmaxGradient};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference_and_numeric_gradients() {
    table_agrees(&expectation::cases(), &[]);
}

/// Every operator of the folder at maps of this shape, with values as networks give them.
fn all([n, j, h, w]: [usize; 4], factor: f32) -> [OperatorCase; 4] {
    let (maps, points): (Shape, Shape) = ([n, j, h, w].into(), [n, j, 2].into());
    let spread = Fill::Uniform(-6.0, 6.0);
    [
        OperatorCase::new(Expectation, std::slice::from_ref(&maps)).fill(0, spread.clone()),
        OperatorCase::new(ExpectationGradient, &[points.clone(), maps.clone(), points]).fill(1, spread.clone()),
        OperatorCase::new(SpatialSoftmax { factor }, std::slice::from_ref(&maps)).fill(0, spread),
        OperatorCase::new(SpatialSoftmaxGradient { factor }, &[maps.clone(), maps]).fill(1, Fill::Uniform(0.0, factor)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_agrees_with_the_reference(
        shape in [1..4_usize, 1..6_usize, 1..24_usize, 1..24_usize],
        factor in 0.5..300.0_f32,
        seed: u64,
    ) {
        for case in all(shape, factor) {
            values_agree(&case, seed);
        }
    }
}

#[test]
fn dispatches_past_65535_workgroups_fold_into_y() {
    for case in all([5, 13_109, 1, 4], 2.0) {
        folded_values_agree(&case, 0);
    }
}

/// The reference's coordinates of one map.
fn expected(map: &[f64], height: usize, width: usize) -> [f64; 2] {
    let coordinates = Expectation.reference(&[&Shape::from([1, 1, height, width])], &[map]).remove(0);
    [coordinates[0], coordinates[1]]
}

#[test]
fn coordinates_are_places_over_extents_less_a_half_without_half_a_pixel() {
    let (height, width) = (6, 8);
    let mut map = vec![0.0; height * width];
    map[4 * width + 3] = 1000.0;
    assert_eq!(expected(&map, height, width), [3.0 / 8.0 - 0.5, 4.0 / 6.0 - 0.5]);
    let flat = expected(&[0.7; 48], height, width);
    assert!((flat[0] + 1.0 / 16.0).abs() < 1e-12 && (flat[1] + 1.0 / 12.0).abs() < 1e-12, "{flat:?}");
}

#[test]
fn the_expectation_is_that_of_the_marginals() {
    // As the public code sums: the softmax along each axis first, then its mean.
    let (height, width) = (5, 7);
    let map: Vec<f64> = (0..35).map(|pixel| f64::from(pixel * pixel % 17) / 5.0).collect();
    let total: f64 = map.iter().map(|m| m.exp()).sum();
    let column = |x: usize| (0..height).map(|y| map[y * width + x].exp()).sum::<f64>() / total;
    let row = |y: usize| (0..width).map(|x| map[y * width + x].exp()).sum::<f64>() / total;
    let x = (0..width).map(|x| x as f64 / width as f64 * column(x)).sum::<f64>() - 0.5;
    let y = (0..height).map(|y| y as f64 / height as f64 * row(y)).sum::<f64>() - 0.5;
    let found = expected(&map, height, width);
    assert!((found[0] - x).abs() < 1e-12 && (found[1] - y).abs() < 1e-12, "{found:?}, ({x}, {y})");
}

#[test]
fn a_softmax_adds_up_to_its_factor_and_its_gradient_to_nothing() {
    let shape = Shape::from([1, 2, 3, 5]);
    let x: Vec<f64> = (0..30).map(|pixel| f64::from(pixel * 7 % 11) / 3.0).collect();
    let y = SpatialSoftmax { factor: 3.0 }.reference(&[&shape], &[&x]).remove(0);
    for (map, of_x) in y.chunks(15).zip(x.chunks(15)) {
        assert!((map.iter().sum::<f64>() - 3.0).abs() < 1e-12);
        assert!((map[1] / map[0] - (of_x[1] - of_x[0]).exp()).abs() < 1e-12);
    }
    let dx = SpatialSoftmaxGradient { factor: 3.0 }.reference(&[&shape, &shape], &[&x, &y]).remove(0);
    assert!(dx.chunks(15).all(|map| map.iter().sum::<f64>().abs() < 1e-12 && map[0] != 0.0));
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let maps = Shape::from([2, 3, 4, 5]);
    let error = Expectation.output_shapes(&[&[2, 3, 0, 5].into()]).expect_err("no pixels");
    assert!(error.to_string().contains("have no pixels"), "{error}");
    let points = [[2, 3, 2].into(), [2, 3, 3].into()];
    let error = ExpectationGradient.output_shapes(&[&points[0], &maps, &points[1]]).expect_err("three numbers");
    assert!(error.to_string().contains("[2, 3, 3] is not [2, 3, 2]"), "{error}");
    let error = SpatialSoftmax { factor: 0.0 }.output_shapes(&[&maps]).expect_err("no factor");
    assert!(error.to_string().contains("factor 0 is not more than 0"), "{error}");
    let gradient = SpatialSoftmaxGradient { factor: 1.0 };
    let error = gradient.output_shapes(&[&maps, &[2, 3, 5, 4].into()]).expect_err("turned maps");
    assert!(error.to_string().contains("does not match output"), "{error}");
}
