//! PCK of Leeds Sports Pose: the share of joints predicted within a part of the torso's length, from the right
//! shoulder to the left hip.

use super::{MetricError, Rows, Tally, distance, mean};
use crate::data::Joint;
use crate::data::skeleton::LSP;
use serde::{Deserialize, Serialize};

const JOINTS: usize = 14;
const LEFT_HIP: usize = 3;
const RIGHT_SHOULDER: usize = 8;

/// Errors of every labelled joint of LSP's skeleton, in torso lengths.
#[derive(Clone, Debug, Default)]
pub struct Pck {
    errors: [Vec<f64>; JOINTS],
}

/// Percent of joints within the threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PckScores {
    /// The threshold in torso lengths.
    pub threshold: f64,
    /// Each joint in LSP's order; `None` where it was never labelled.
    pub joints: Vec<Option<f64>>,
    /// The plain mean over the joints.
    pub mean: f64,
}

impl Pck {
    /// Adds a person, all in pixels of one picture.
    ///
    /// # Errors
    /// Where there are not 14 joints, or the torso has no length.
    pub fn add(&mut self, truth: &[Joint], predicted: &[[f32; 2]]) -> Result<(), MetricError> {
        for found in [truth.len(), predicted.len()] {
            if found != JOINTS {
                return Err(MetricError::Joints { expected: JOINTS, found });
            }
        }
        let (shoulder, hip) = (truth[RIGHT_SHOULDER], truth[LEFT_HIP]);
        let torso = distance(&shoulder, [hip.x, hip.y]);
        if !(shoulder.labelled && hip.labelled && torso > 0.0) {
            return Err(MetricError::Torso);
        }
        for ((errors, truth), predicted) in self.errors.iter_mut().zip(truth).zip(predicted) {
            if truth.labelled {
                errors.push(distance(truth, *predicted) / torso);
            }
        }
        Ok(())
    }

    /// The scores at a threshold in torso lengths; an error equal to it is within.
    pub fn at(&self, threshold: f64) -> PckScores {
        let joints = self.errors.each_ref().map(|errors| Tally::of(errors, threshold).percent());
        PckScores { threshold, joints: joints.to_vec(), mean: mean(joints) }
    }

    /// Threshold and mean at 0, 0.01, ... 0.5.
    pub fn curve(&self) -> Vec<[f64; 2]> {
        (0..=50).map(|i| f64::from(i) / 100.0).map(|threshold| [threshold, self.at(threshold).mean]).collect()
    }
}

impl PckScores {
    /// Name and percent of each row of a table for people.
    pub fn rows(&self) -> Rows {
        let names = LSP.joints.iter().map(|name| name.to_string());
        names.zip(self.joints.iter().copied()).chain([("mean".to_string(), Some(self.mean))]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> Vec<Joint> {
        let mut joints: Vec<Joint> =
            (0..14).map(|i| Joint { x: 7.0 * i as f32, y: 3.0, labelled: true, visible: true }).collect();
        // A torso of length 50.
        (joints[RIGHT_SHOULDER].x, joints[RIGHT_SHOULDER].y) = (30.0, 0.0);
        (joints[LEFT_HIP].x, joints[LEFT_HIP].y) = (60.0, 40.0);
        joints
    }

    #[test]
    fn errors_are_measured_by_the_torso() {
        let mut pck = Pck::default();
        let predicted: Vec<[f32; 2]> =
            truth().iter().enumerate().map(|(i, joint)| [joint.x, joint.y + i as f32]).collect();
        pck.add(&truth(), &predicted).expect("the person is whole");
        let scores = pck.at(0.2);
        // 0 to 10 pixels are within a fifth of 50, 11 to 13 are not.
        assert!((scores.mean - 100.0 * 11.0 / 14.0).abs() < 1e-9, "{}", scores.mean);
        assert_eq!((scores.joints[10], scores.joints[11]), (Some(100.0), Some(0.0)));
    }

    #[test]
    fn a_person_without_a_torso_is_refused() {
        let mut pck = Pck::default();
        let mut truth = truth();
        truth[LEFT_HIP].labelled = false;
        assert_eq!(pck.add(&truth, &[[0.0; 2]; 14]), Err(MetricError::Torso));
        assert_eq!(pck.at(0.2).mean, 0.0);
    }
}
