use ditn::ir::{Operator, Shape};
use ditn::ops::decode::{self, Decode};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference() {
    table_agrees(&decode::cases(), &["decode"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_maps_with_ties_agree_with_the_reference(
        shape in [1..4_usize, 1..20_usize, 1..14_usize, 1..14_usize],
        levels in 2..200_u32,
        seed in any::<u64>(),
    ) {
        // Few levels: several pixels hold the largest value, and neighbours are often equal.
        let elements = shape.iter().product::<usize>() as u64;
        let level = |index: u64| (index ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let maps = (0..elements).map(|index| (level(index) % u64::from(levels)) as f32 / 64.0 - 0.25).collect();
        values_agree(&OperatorCase::new(Decode::Quarter, &[shape]).fill(0, Fill::Given(maps)), 0);
    }
}

#[test]
fn hills_of_any_size_and_at_any_edge_agree_with_the_reference() {
    for shape in [[1, 40, 5, 5], [2, 33, 6, 19], [3, 7, 24, 4], [1, 64, 12, 13]] {
        values_agree(&OperatorCase::new(Decode::Dark, &[shape]).fill(0, Fill::Given(decode::hills(shape))), 0);
    }
}

#[test]
fn dark_finds_the_top_of_a_gaussian_between_the_pixels() {
    let (x, y) = (20.37, 14.82);
    let value = |pixel: usize| {
        let (dx, dy) = ((pixel % 48) as f64 - x, (pixel / 48) as f64 - y);
        0.7 * (-(dx * dx + dy * dy) / 8.0).exp()
    };
    let map: Vec<f64> = (0..64 * 48).map(value).collect();
    let point = |decode: Decode| decode.reference(&[&Shape::from([1, 1, 64, 48])], &[&map]).remove(0);
    let dark = point(Decode::Dark);
    // The smoothing window ends at 2.5 deviations, so that the smoothed map is not quite a Gaussian.
    assert!((dark[0] - x).abs() < 0.01 && (dark[1] - y).abs() < 0.01, "{dark:?}");
    assert_eq!(point(Decode::Quarter)[..2], [20.25, 14.75]);
}

#[test]
fn dark_stays_on_the_pixel_within_two_of_the_edge() {
    for (x, y, moved) in [(1, 4, false), (2, 4, true), (5, 4, true), (6, 4, false), (4, 1, false), (4, 6, false)] {
        let mut map = vec![0.1; 64];
        map[y * 8 + x] = 0.9;
        map[y * 8 + x + 1] = 0.5;
        let point = Decode::Dark.reference(&[&Shape::from([1, 1, 8, 8])], &[&map]).remove(0);
        assert_eq!(point[..2] != [x as f64, y as f64], moved, "{x}, {y}: {point:?}");
    }
}

#[test]
fn more_than_65535_maps_fold_into_y() {
    let shape = [5, 13_109, 5, 5];
    folded_values_agree(&OperatorCase::new(Decode::Dark, &[shape]).fill(0, Fill::Given(decode::hills(shape))), 0);
    folded_values_agree(&OperatorCase::new(Decode::Quarter, &[[5, 13_109, 2, 2]]), 0);
}

/// The reference's point of a 6x8 map that is 0 but for these pixels.
fn decoded(pixels: &[(usize, usize, f64)]) -> Vec<f64> {
    let mut map = vec![0.0; 48];
    for &(x, y, value) in pixels {
        map[y * 8 + x] = value;
    }
    Decode::Quarter.reference(&[&Shape::from([1, 1, 6, 8])], &[&map]).remove(0)
}

#[test]
fn the_rule_is_that_of_the_public_hrnet_code() {
    assert_eq!(decoded(&[(3, 2, 0.9), (4, 2, 0.5), (2, 2, 0.4), (3, 1, 0.1)]), [3.25, 1.75, 0.9]);
    assert_eq!(decoded(&[(3, 2, 0.9)]), [3.0, 2.0, 0.9], "equal neighbours");
    assert_eq!(decoded(&[(5, 4, 0.9), (2, 4, 0.9), (3, 4, 0.2)]), [2.25, 4.0, 0.9], "the first of equal peaks");
    assert_eq!(decoded(&[(1, 3, 0.9), (2, 3, 0.5)]), [1.0, 3.0, 0.9], "column 1 is not moved");
    assert_eq!(decoded(&[(6, 3, 0.9), (5, 3, 0.5)]), [5.75, 3.0, 0.9], "the last column but one is");
    assert_eq!(decoded(&[(7, 3, 0.9), (6, 3, 0.5)]), [7.0, 3.0, 0.9], "the last column is not");
    assert_eq!(decoded(&[(3, 1, 0.9), (4, 1, 0.5)]), [3.0, 1.0, 0.9], "nor is row 1 on either axis");
    assert_eq!(decoded(&[]), [0.0, 0.0, 0.0], "a map that is nowhere above 0");
}
