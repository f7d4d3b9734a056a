//! PCKh: the share of joints predicted within a part of the head's size (Andriluka et al., CVPR 2014).

use super::{MetricError, Rows, Tally, distance, mean};
use crate::data::Joint;
use serde::{Deserialize, Serialize};

const JOINTS: usize = 16;
/// Pelvis and thorax, which the means leave out.
const LEFT_OUT: [usize; 2] = [6, 7];

/// Errors of every labelled joint of MPII's skeleton, in head sizes.
#[derive(Clone, Debug, Default)]
pub struct Pckh {
    errors: [Vec<f64>; JOINTS],
}

/// Percent of joints within the threshold. A group of two joints is the plain mean of left and right; `None` where
/// none was labelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PckhScores {
    /// The threshold in head sizes.
    pub threshold: f64,
    /// Top of the head.
    pub head: Option<f64>,
    /// Both shoulders.
    pub shoulder: Option<f64>,
    /// Both elbows.
    pub elbow: Option<f64>,
    /// Both wrists.
    pub wrist: Option<f64>,
    /// Both hips.
    pub hip: Option<f64>,
    /// Both knees.
    pub knee: Option<f64>,
    /// Both ankles.
    pub ankle: Option<f64>,
    /// Of all labelled joints but pelvis and thorax, each counted once: the mean that HRNet's code prints.
    pub mean_weighted: f64,
    /// The plain mean of the 14 joints' percentages: the mean of older papers.
    pub mean_plain: f64,
}

impl Pckh {
    /// Adds a person. `head_size` is 0.6 of the diagonal of the head's box; all in pixels of one picture.
    ///
    /// # Errors
    /// Where there are not 16 joints, or the head has no size.
    pub fn add(&mut self, truth: &[Joint], head_size: f32, predicted: &[[f32; 2]]) -> Result<(), MetricError> {
        for found in [truth.len(), predicted.len()] {
            if found != JOINTS {
                return Err(MetricError::Joints { expected: JOINTS, found });
            }
        }
        if !(head_size > 0.0 && head_size.is_finite()) {
            return Err(MetricError::HeadSize);
        }
        for ((errors, truth), predicted) in self.errors.iter_mut().zip(truth).zip(predicted) {
            if truth.labelled {
                errors.push(distance(truth, *predicted) / f64::from(head_size));
            }
        }
        Ok(())
    }

    /// The scores at a threshold in head sizes; an error equal to it is within.
    pub fn at(&self, threshold: f64) -> PckhScores {
        let tallies = self.errors.each_ref().map(|errors| Tally::of(errors, threshold));
        let percent = tallies.map(Tally::percent);
        let pair = |right: usize, left: usize| Some((percent[right]? + percent[left]?) / 2.0);
        let counted = || (0..JOINTS).filter(|joint| !LEFT_OUT.contains(joint));
        let all = counted().fold(Tally::default(), |sum, joint| Tally {
            near: sum.near + tallies[joint].near,
            counted: sum.counted + tallies[joint].counted,
        });
        PckhScores {
            threshold,
            head: percent[9],
            shoulder: pair(12, 13),
            elbow: pair(11, 14),
            wrist: pair(10, 15),
            hip: pair(2, 3),
            knee: pair(1, 4),
            ankle: pair(0, 5),
            mean_weighted: all.percent().unwrap_or(0.0),
            mean_plain: mean(counted().map(|joint| percent[joint])),
        }
    }

    /// Threshold and weighted mean at 0, 0.01, ... 0.5.
    pub fn curve(&self) -> Vec<[f64; 2]> {
        (0..=50).map(|i| f64::from(i) / 100.0).map(|threshold| [threshold, self.at(threshold).mean_weighted]).collect()
    }
}

impl PckhScores {
    /// Name and percent of each row of a table for people.
    pub fn rows(&self) -> Rows {
        [
            ("head", self.head),
            ("shoulder", self.shoulder),
            ("elbow", self.elbow),
            ("wrist", self.wrist),
            ("hip", self.hip),
            ("knee", self.knee),
            ("ankle", self.ankle),
            ("mean (weighted)", Some(self.mean_weighted)),
            ("mean (plain)", Some(self.mean_plain)),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> Vec<Joint> {
        (0..16).map(|i| Joint { x: 10.0 * i as f32, y: 50.0, labelled: true, visible: true }).collect()
    }

    fn shifted(truth: &[Joint], by: impl Fn(usize) -> f32) -> Vec<[f32; 2]> {
        truth.iter().enumerate().map(|(i, joint)| [joint.x, joint.y + by(i)]).collect()
    }

    #[test]
    fn an_error_of_exactly_the_threshold_is_near_enough() {
        let mut pckh = Pckh::default();
        pckh.add(&truth(), 20.0, &shifted(&truth(), |_| 10.0)).expect("the person is whole");
        assert_eq!(pckh.at(0.5).mean_weighted, 100.0);
        assert_eq!(pckh.at(0.499).mean_weighted, 0.0);
    }

    #[test]
    fn pelvis_and_thorax_are_left_out_of_the_means() {
        let mut pckh = Pckh::default();
        let far = |i: usize| if i == 6 || i == 7 { 500.0 } else { 0.0 };
        pckh.add(&truth(), 20.0, &shifted(&truth(), far)).expect("the person is whole");
        let scores = pckh.at(0.5);
        assert_eq!((scores.mean_weighted, scores.mean_plain), (100.0, 100.0));
    }

    #[test]
    fn the_weighted_mean_counts_joints_and_the_plain_one_kinds_of_joints() {
        let mut pckh = Pckh::default();
        // Three people; only one has a labelled right ankle, which is missed.
        for person in 0..3 {
            let mut truth = truth();
            truth[0].labelled = person == 0;
            let far = |i: usize| if i == 0 { 500.0 } else { 0.0 };
            pckh.add(&truth, 20.0, &shifted(&truth, far)).expect("the person is whole");
        }
        let scores = pckh.at(0.5);
        assert_eq!(scores.ankle, Some(50.0));
        assert!((scores.mean_weighted - 100.0 * 39.0 / 40.0).abs() < 1e-9);
        assert!((scores.mean_plain - 100.0 * 13.0 / 14.0).abs() < 1e-9);
    }

    #[test]
    fn a_prediction_that_is_not_a_number_is_a_miss() {
        let mut pckh = Pckh::default();
        pckh.add(&truth(), 20.0, &[[f32::NAN; 2]; 16]).expect("the person is whole");
        assert_eq!(pckh.at(0.5).mean_weighted, 0.0);
    }

    #[test]
    fn the_curve_rises_from_0_to_the_score_at_a_half() {
        let mut pckh = Pckh::default();
        pckh.add(&truth(), 20.0, &shifted(&truth(), |i| i as f32)).expect("the person is whole");
        let curve = pckh.curve();
        assert_eq!((curve.len(), curve[0][0], curve[50][0]), (51, 0.0, 0.5));
        assert!(curve.windows(2).all(|pair| pair[0][1] <= pair[1][1]));
        assert_eq!(curve[50][1], pckh.at(0.5).mean_weighted);
    }

    #[test]
    fn people_who_cannot_be_measured_are_refused() {
        let mut pckh = Pckh::default();
        let predicted = shifted(&truth(), |_| 0.0);
        assert_eq!(pckh.add(&truth(), 0.0, &predicted), Err(MetricError::HeadSize));
        assert_eq!(pckh.add(&truth(), f32::NAN, &predicted), Err(MetricError::HeadSize));
        assert_eq!(pckh.add(&truth(), 9.0, &predicted[..14]), Err(MetricError::Joints { expected: 16, found: 14 }));
        assert_eq!(pckh.at(0.5).head, None);
    }
}
