use ditn::ir::{Operator, Shape};
use ditn::ops::targets::{self, BoneTargets, JointTargets};
use ditn::ops::{Fill, OperatorCase};
use proptest::prelude::*;

use crate::harness::{folded_values_agree, table_agrees, values_agree};

#[test]
fn the_table_of_cases_agrees_with_the_reference() {
    table_agrees(&targets::cases(), &["targets_bones", "targets_joints"]);
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

#[test]
fn more_than_65535_maps_fold_into_y() {
    let fill = Fill::Uniform(-1.0, 3.0);
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
