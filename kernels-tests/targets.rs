use ditn::ir::{Operator, Shape};
use ditn::ops::targets::{self, BlurredTargets, BoneTargets, CoordinateTargets, JointTargets};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference() {
    let f32_only = ["targets_blurred", "targets_bones", "targets_coordinates", "targets_joints"];
    table_agrees(&targets::cases(), &f32_only);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_joints_agree_with_the_reference(
        (height, width) in (1..40_usize, 1..40_usize),
        sigma in 0.7..3.0_f32,
        samples in 1..4_usize,
        // Where in the map the first joint lies: errors are relative to the largest value, which is near 1 then.
        (right, low) in (0.0..1.0_f32, 0.0..1.0_f32),
        joints in prop::collection::vec((-10.0..50.0_f32, -10.0..50.0_f32, prop::bool::weighted(0.8)), 3 * 6),
    ) {
        let mut joints: Vec<f32> =
            joints[..6 * samples].iter().flat_map(|&(x, y, labelled)| [x, y, f32::from(u8::from(labelled))]).collect();
        joints[..3].copy_from_slice(&[right * (width - 1) as f32, low * (height - 1) as f32, 1.0]);
        let bones = vec![(0, 1), (2, 1), (5, 3), (4, 0), (0, 0)];
        let peaks = OperatorCase::new(JointTargets { height, width, sigma }, &[[samples, 6, 3]]);
        let ridges = OperatorCase::new(BoneTargets { height, width, sigma, bones }, &[[samples, 6, 3]]);
        values_agree(&peaks.fill(0, Fill::Given(joints.clone())), 0);
        values_agree(&ridges.fill(0, Fill::Given(joints)), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_coordinates_and_blurred_pixels_agree_with_the_reference(
        (height, width) in (1..40_usize, 1..40_usize),
        half in 2..12_usize,
        visible_only: bool,
        joints in prop::collection::vec((-4.0..44.0_f32, -4.0..44.0_f32, 0..3_u8), 12),
    ) {
        let joints: Vec<f32> = joints.iter().flat_map(|&(x, y, kind)| [x, y, f32::from(kind)]).collect();
        let coordinates = OperatorCase::new(CoordinateTargets { height, width }, &[[2, 6, 3]]);
        values_agree(&coordinates.fill(0, Fill::Given(joints.clone())), 0);
        let (height, width) = (height.max(half + 1), width.max(half + 1));
        let blurred = BlurredTargets { height, width, blur: 2 * half + 1, visible_only };
        values_agree(&OperatorCase::new(blurred, &[[2, 6, 3]]).fill(0, Fill::Given(joints)), 0);
    }
}

#[test]
fn more_than_65535_workgroups_fold_into_y() {
    let fill = Fill::Uniform(-1.0, 3.0);
    let coordinates = CoordinateTargets { height: 2, width: 3 };
    folded_values_agree(&OperatorCase::new(coordinates, &[[3, 65_535 * 64 / 3 + 1, 3]]).fill(0, fill.clone()), 0);
    let blurred = BlurredTargets { height: 3, width: 4, blur: 5, visible_only: false };
    folded_values_agree(&OperatorCase::new(blurred, &[[5, 13_109, 3]]).fill(0, fill.clone()), 0);
    let peaks = JointTargets { height: 2, width: 3, sigma: 0.4 };
    folded_values_agree(&OperatorCase::new(peaks, &[[5, 13_109, 3]]).fill(0, fill.clone()), 0);
    let bones = (0..13_109).map(|bone| (bone, (bone * 7 + 1) % 13_109)).collect();
    let ridges = BoneTargets { height: 2, width: 3, sigma: 0.4, bones };
    folded_values_agree(&OperatorCase::new(ridges, &[[5, 13_109, 3]]).fill(0, fill), 0);
}

/// HRNet's `generate_target` for one labelled joint, in its own terms: window corners, a patch, and its usable part.
fn generate_target(x: f64, y: f64, sigma: i64, height: i64, width: i64) -> (Vec<f64>, f64) {
    let mut target = vec![0.0; (height * width) as usize];
    let size = 3 * sigma;
    let (mu_x, mu_y) = ((x + 0.5) as i64, (y + 0.5) as i64);
    let upper_left = [mu_x - size, mu_y - size];
    let lower_right = [mu_x + size + 1, mu_y + size + 1];
    if upper_left[0] >= width || upper_left[1] >= height || lower_right[0] < 0 || lower_right[1] < 0 {
        return (target, 0.0);
    }
    for row in upper_left[1].max(0)..lower_right[1].min(height) {
        for column in upper_left[0].max(0)..lower_right[0].min(width) {
            let (dx, dy) = (column - upper_left[0] - size, row - upper_left[1] - size);
            target[(row * width + column) as usize] =
                (-((dx * dx + dy * dy) as f64) / (2 * sigma * sigma) as f64).exp();
        }
    }
    (target, 1.0)
}

#[test]
fn joint_targets_are_those_of_the_public_hrnet_code() {
    let (height, width) = (24, 18);
    let operator = JointTargets { height, width, sigma: 2.0 };
    let shape = Shape::from([1, 1, 3]);
    // From 0 on, where rounding down and rounding towards 0 are one.
    for step in 0..400 {
        let (x, y) = (f64::from(step % 20) * 1.3, f64::from(step / 20) * 1.7 + 0.1);
        let reference = operator.reference(&[&shape], &[&[x, y, 1.0]]);
        let (target, weight) = generate_target(x, y, 2, height as i64, width as i64);
        assert_eq!(reference[1], [weight], "({x}, {y})");
        assert!(reference[0].iter().zip(&target).all(|(a, b)| (a - b).abs() < 1e-12), "({x}, {y})");
    }
}

#[test]
fn a_bone_that_joins_a_joint_that_is_not_there_is_refused() {
    let operator = BoneTargets { height: 4, width: 4, sigma: 2.0, bones: vec![(0, 1), (1, 14)] };
    let error = operator.output_shapes(&[&[2, 14, 3].into()]).expect_err("joint 14 of 14");
    assert!(error.to_string().contains("bone (1, 14)"), "{error}");
}

/// One pixel convolved in two dimensions with OpenCV's weights, which are written out here, over its largest value, times 255.
fn blurred_pixel([row, column]: [i64; 2], [height, width]: [i64; 2], side: i64) -> Vec<f64> {
    let sigma = 0.15 * side as f64 + 0.35;
    let weight = |d: i64| match side {
        5 => [1.0, 4.0, 6.0, 4.0, 1.0][(d + 2) as usize],
        7 => [2.0, 7.0, 14.0, 18.0, 14.0, 7.0, 2.0][(d + 3) as usize],
        _ => (-((d * d) as f64) / (2.0 * sigma * sigma)).exp(),
    };
    let mirrored = |at: i64, extent: i64| {
        if at < 0 {
            -at
        } else if at >= extent {
            2 * extent - 2 - at
        } else {
            at
        }
    };
    let reach = side / 2;
    let mut map = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let mut sum = 0.0;
            for dy in -reach..=reach {
                for dx in -reach..=reach {
                    if [mirrored(y + dy, height), mirrored(x + dx, width)] == [row, column] {
                        sum += weight(dy) * weight(dx);
                    }
                }
            }
            map.push(sum);
        }
    }
    let largest = map.iter().copied().fold(0.0, f64::max);
    map.iter().map(|value| 255.0 * value / largest).collect()
}

#[test]
fn blurred_targets_are_convolutions_of_one_pixel() {
    for (side, [height, width]) in [(5, [3, 9]), (7, [9, 12]), (9, [8, 5]), (11, [12, 16]), (15, [8, 17])] {
        let operator = BlurredTargets { height, width, blur: side, visible_only: false };
        for row in 0..height {
            for column in 0..width {
                let joint = [column as f64 + 0.9, row as f64 + 0.1, 1.0];
                let found = operator.reference(&[&Shape::from([1, 1, 3])], &[&joint]);
                let place = [row as i64, column as i64];
                let expected = blurred_pixel(place, [height as i64, width as i64], side as i64);
                let differs = found[0].iter().zip(&expected).any(|(a, b)| (a - b).abs() > 1e-9);
                assert!(!differs && found[1] == [1.0], "{side}: ({column}, {row}) of {width} x {height}");
            }
        }
    }
}

#[test]
fn hidden_joints_are_left_out_of_the_map_and_not_of_the_weights_where_visible_ones_are_wanted() {
    let found = |visible_only, kind: f64, x: f64| {
        let operator = BlurredTargets { height: 6, width: 8, blur: 5, visible_only };
        let outputs = operator.reference(&[&Shape::from([1, 1, 3])], &[&[x, 2.5, kind]]);
        (outputs[0].iter().copied().fold(0.0, f64::max), outputs[1][0])
    };
    let all = [(0.0, 3.5), (1.0, 3.5), (2.0, 3.5), (2.0, 8.0), (2.0, -0.5)];
    let [labelled, visible] = [false, true].map(|visible_only| all.map(|(kind, x)| found(visible_only, kind, x)));
    assert_eq!(labelled, [(0.0, 0.0), (255.0, 1.0), (255.0, 1.0), (0.0, 0.0), (0.0, 0.0)]);
    assert_eq!(visible, [(0.0, 1.0), (0.0, 1.0), (255.0, 1.0), (0.0, 1.0), (0.0, 1.0)]);
}

#[test]
fn coordinates_of_targets_are_those_that_the_expectation_gives() {
    let shape = Shape::from([1, 2, 3]);
    let found = CoordinateTargets { height: 64, width: 48 }.reference(&[&shape], &[&[12.0, 48.0, 2.0, 5.0, 5.0, 0.0]]);
    assert_eq!(found, [vec![-0.25, 0.25, 0.0, 0.0], vec![1.0, 0.0]]);
}

#[test]
fn blurs_that_opencv_does_not_know_or_that_are_wider_than_the_map_are_refused() {
    let error = |[height, width, blur]: [usize; 3]| {
        let operator = BlurredTargets { height, width, blur, visible_only: false };
        operator.output_shapes(&[&[2, 14, 3].into()]).expect_err("a bad blur").to_string()
    };
    assert!(error([64, 48, 6]).contains("odd and at least 5 pixels wide, not 6"));
    assert!(error([64, 48, 3]).contains("not 3"));
    assert!(error([64, 7, 15]).contains("maps of 8 pixels a side or more, not [64, 7]"));
    let operator = CoordinateTargets { height: 0, width: 3 };
    let error = operator.output_shapes(&[&[2, 14, 3].into()]).expect_err("no pixels").to_string();
    assert!(error.contains("maps of 0x3 have no pixels"), "{error}");
    let operator = CoordinateTargets { height: 3, width: 3 };
    let error = operator.output_shapes(&[&[2, 14, 2].into()]).expect_err("two numbers").to_string();
    assert!(error.contains("[2, 14, 2] are not [N, J, 3]"), "{error}");
}
