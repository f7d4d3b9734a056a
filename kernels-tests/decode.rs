use ditn::ir::{Operator, Shape};
use ditn::ops::decode::{self, Decode};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_twin() {
    table_agrees(&decode::cases());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_maps_with_ties_agree_with_the_twin(
        shape in [1..4_usize, 1..20_usize, 1..14_usize, 1..14_usize],
        levels in 2..200_u32,
        seed in any::<u64>(),
    ) {
        // Few levels: several pixels hold the largest value, and neighbours are often equal.
        let elements = shape.iter().product::<usize>() as u64;
        let level = |index: u64| (index ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let maps = (0..elements).map(|index| (level(index) % u64::from(levels)) as f32 / 64.0 - 0.25).collect();
        values_agree(&OperatorCase::new(Decode, &[shape]).fill(0, Fill::Given(maps)), 0);
    }
}

#[test]
fn more_than_65535_maps_fold_into_y() {
    values_agree(&OperatorCase::new(Decode, &[[5, 13_109, 2, 2]]), 0);
}

/// The twin's point of a 6x8 map that is 0 but for these pixels.
fn decoded(pixels: &[(usize, usize, f64)]) -> Vec<f64> {
    let mut map = vec![0.0; 48];
    for &(x, y, value) in pixels {
        map[y * 8 + x] = value;
    }
    Decode.reference(&[&Shape::from([1, 1, 6, 8])], &[&map]).remove(0)
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
