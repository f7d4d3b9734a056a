use ditn::ir::{Operator, Shape};
use ditn::ops::decode::{self, Decode};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference() {
    table_agrees(&decode::cases(), &[]);
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
fn peaks_of_any_size_and_at_any_edge_agree_with_the_reference() {
    for (shape, side) in [([1, 40, 5, 5], 5), ([2, 33, 6, 19], 7), ([3, 7, 24, 4], 21), ([1, 64, 12, 13], 9)] {
        let maps = decode::peaks(shape);
        for (number, map) in maps.chunks(shape[2] * shape[3]).enumerate() {
            // Float32 could find another pixel where two are as large.
            let margin = second_maximum(map, shape[3], side).1;
            assert!(margin > 1e-4, "map {number} of {shape:?}: {margin:e}");
        }
        let case = OperatorCase::new(Decode::SecondMaximum(side), &[shape]);
        values_agree(&case.fill(0, Fill::Given(maps.clone())), 0);
        let wide = maps.into_iter().map(|value| value / 30.0).collect();
        values_agree(&OperatorCase::new(Decode::Expectation, &[shape]).fill(0, Fill::Given(wide)), 0);
    }
}

/// The rule of the public code, step by step, on a map with 10 pixels of zeros around it that is convolved in two
/// dimensions; and how far the largest value and the second are from the next, relative to the largest.
fn second_maximum(map: &[f32], width: usize, side: usize) -> ([f64; 3], f64) {
    let height = map.len() / width;
    let (rows, columns, reach) = (height as i64 + 20, width as i64 + 20, side as i64 / 2);
    let sigma = 0.15 * side as f64 + 0.35;
    let weight = |d: i64| match side {
        5 => [1.0, 4.0, 6.0, 4.0, 1.0][(d + 2) as usize] / 16.0,
        7 => [2.0, 7.0, 14.0, 18.0, 14.0, 7.0, 2.0][(d + 3) as usize] / 64.0,
        _ => (-((d * d) as f64) / (2.0 * sigma * sigma)).exp(),
    };
    let total: f64 = (-reach..=reach).map(weight).sum();
    let mirrored = |at: i64, extent: i64| (extent - 1) - ((extent - 1) - at.abs()).abs();
    let padded = |y: i64, x: i64| {
        let inside = (10..height as i64 + 10).contains(&y) && (10..width as i64 + 10).contains(&x);
        if inside { f64::from(map[((y - 10) * width as i64 + x - 10) as usize]) } else { 0.0 }
    };
    let mut blurred = Vec::new();
    for y in 0..rows {
        for x in 0..columns {
            let mut sum = 0.0;
            for dy in -reach..=reach {
                for dx in -reach..=reach {
                    let value = padded(mirrored(y + dy, rows), mirrored(x + dx, columns));
                    sum += weight(dy) * weight(dx) * value;
                }
            }
            blurred.push((sum / (total * total), x - 10, y - 10));
        }
    }
    // The sort is stable: of equal values the first stays first.
    blurred.sort_by(|a, b| b.0.total_cmp(&a.0));
    let [(largest, x, y), (second, px, py), (third, ..)] = blurred[..3] else { panic!("three pixels") };
    let margin = (largest - second).min(second - third) / largest;
    let (px, py) = ((px - x) as f64, (py - y) as f64);
    let length = (px * px + py * py).sqrt();
    let x = (x as f64 + 0.25 * px / length).clamp(0.0, (width - 1) as f64);
    let y = (y as f64 + 0.25 * py / length).clamp(0.0, (height - 1) as f64);
    let value = f64::from(map[y.round() as usize * width + x.round() as usize]);
    ([x + 0.5, y + 0.5, value / 255.0 + 0.5], margin)
}

#[test]
fn the_second_maximum_is_that_of_the_map_blurred_in_two_dimensions() {
    let mut stepped = [0; 2];
    for (shape, side) in [([1, 24, 9, 7], 5), ([1, 24, 7, 12], 7), ([1, 16, 12, 9], 21)] {
        let maps = decode::peaks(shape);
        for map in maps.chunks(shape[2] * shape[3]) {
            let exact: Vec<f64> = map.iter().map(|&value| f64::from(value)).collect();
            let of_one = Shape::from([1, 1, shape[2], shape[3]]);
            let found = Decode::SecondMaximum(side).reference(&[&of_one], &[&exact]).remove(0);
            let (expected, _) = second_maximum(map, shape[3], side);
            let differs = found.iter().zip(expected).any(|(a, b)| (a - b).abs() > 1e-9);
            assert!(!differs, "{side} in {shape:?}: {found:?}, not {expected:?}");
            stepped[0] += usize::from(found[0].fract() != 0.5);
            stepped[1] += usize::from(found[1].fract() != 0.5);
        }
    }
    assert!(stepped.iter().all(|&steps| steps > 5), "{stepped:?} steps along x and y");
}

#[test]
fn the_second_maximum_gives_places_from_the_corner_of_a_pixel_and_scores_from_a_half() {
    let mut map = vec![0.0; 64 * 48];
    (map[20 * 48 + 30], map[20 * 48 + 31]) = (255.0, 200.0);
    let found = Decode::SecondMaximum(5).reference(&[&Shape::from([1, 1, 64, 48])], &[&map]).remove(0);
    assert_eq!(found, [30.75, 20.5, 1.5]);
    // Where nothing is larger than the border, the border's first pixel is the largest and the second.
    let found = Decode::SecondMaximum(5).reference(&[&Shape::from([1, 1, 2, 2])], &[&[0.0; 4]]).remove(0);
    assert_eq!(found, [0.5, 0.5, 0.5]);
}

#[test]
fn the_expectation_is_in_pixels_and_has_the_score_1() {
    let mut map = vec![0.0; 6 * 8];
    (map[2 * 8 + 3], map[4 * 8 + 6]) = (1000.0, 1000.0);
    let found = Decode::Expectation.reference(&[&Shape::from([1, 1, 6, 8])], &[&map]).remove(0);
    assert_eq!(found, [4.5, 3.0, 1.0]);
}

#[test]
fn blurs_that_opencv_does_not_know_or_that_are_wider_than_the_border_mirrors_are_refused() {
    let error = |side| {
        let error = Decode::SecondMaximum(side).output_shapes(&[&[1, 2, 8, 6].into()]);
        error.expect_err("a bad blur").to_string()
    };
    assert!(error(20).contains("odd and at least 5 pixels wide, not 20"));
    assert!(error(53).contains("maps of 27 pixels a side or more, not [28, 26]"));
}

#[test]
fn every_rule_has_one_text_in_files() {
    let rules = [Decode::Quarter, Decode::Dark, Decode::Expectation, Decode::SecondMaximum(21)];
    let texts = ["\"quarter\"", "\"dark\"", "\"expectation\"", "{\"second-maximum\":21}"];
    for (rule, text) in rules.into_iter().zip(texts) {
        assert_eq!(serde_json::to_string(&rule).expect("plain data"), text);
        assert_eq!(serde_json::from_str::<Decode>(text).expect("as it was written"), rule);
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
    folded_values_agree(&OperatorCase::new(Decode::Expectation, &[[5, 13_109, 2, 2]]), 0);
    let shape = [5, 13_109, 2, 3];
    let case = OperatorCase::new(Decode::SecondMaximum(5), &[shape]);
    folded_values_agree(&case.fill(0, Fill::Given(decode::peaks(shape))), 0);
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
