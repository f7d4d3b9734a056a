//! The mean pose: what a guess that has never seen the picture scores.

use super::{Score, ScoreError, score_people};
use crate::data::crop::Crop;
use crate::data::{DataError, Dataset, Size};

/// The mean place of each joint in a person's box.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanPose {
    input: Size,
    /// From the centre of the box, in units of its width and height.
    joints: Vec<[f64; 2]>,
}

impl MeanPose {
    /// The mean over the labelled joints of the first `people` of a set, in boxes of the input's aspect ratio. A joint
    /// that nobody has is put in the middle. A box without extent, in which nothing has a place, does not count.
    ///
    /// # Errors
    /// Where an annotation cannot be had.
    pub fn of(dataset: &dyn Dataset, people: usize, input: Size) -> Result<MeanPose, DataError> {
        let mut sums = vec![([0.0; 2], 0_u32); dataset.skeleton().joints.len()];
        for index in 0..people.min(dataset.len()) {
            let person = dataset.annotation(0, index)?;
            let crop = Crop::new(person.center, person.scale, input);
            if !crop.center.iter().all(|at| at.is_finite()) || !crop.size.iter().all(|side| side.is_normal()) {
                continue;
            }
            for ((sum, count), joint) in sums.iter_mut().zip(&person.joints).filter(|(_, joint)| joint.labelled) {
                sum[0] += (f64::from(joint.x) - crop.center[0]) / crop.size[0];
                sum[1] += (f64::from(joint.y) - crop.center[1]) / crop.size[1];
                *count += 1;
            }
        }
        let joints = sums.into_iter().map(|(sum, count)| sum.map(|v| v / f64::from(count.max(1)))).collect();
        Ok(MeanPose { input, joints })
    }

    /// The mean pose in the box of a person, picture pixels.
    pub fn place(&self, center: [f32; 2], scale: [f64; 2]) -> Vec<[f32; 2]> {
        let crop = Crop::new(center, scale, self.input);
        let place = |joint: &[f64; 2]| [0, 1].map(|axis| (crop.center[axis] + joint[axis] * crop.size[axis]) as f32);
        self.joints.iter().map(place).collect()
    }

    /// What the mean pose scores on a set.
    ///
    /// # Errors
    /// Where an annotation cannot be had, or a person cannot be scored.
    pub fn score(&self, dataset: &dyn Dataset) -> Result<Score, ScoreError> {
        Ok(score_people(dataset, |_, person| self.place(person.center, person.scale))?.score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Split, Synthetic, SyntheticOptions};

    const INPUT: Size = Size { width: 96, height: 96 };

    #[test]
    fn the_mean_pose_of_one_person_is_that_person() {
        let set = Synthetic::new(SyntheticOptions { truncation: 0.0, ..Default::default() }, 3, Split::HeldOut, 1)
            .expect("the options are in range");
        let mean = MeanPose::of(&set, 1, INPUT).expect("the person is there");
        assert_eq!(mean.score(&set).expect("the person has a head").value(), 100.0);
        let person = set.annotation(0, 0).expect("the person is there");
        for (joint, place) in person.joints.iter().zip(mean.place(person.center, person.scale)) {
            assert!((joint.x - place[0]).abs() < 1e-3 && (joint.y - place[1]).abs() < 1e-3);
        }
    }

    #[test]
    fn the_mean_pose_of_many_fits_few() {
        let set = |split, people| {
            Synthetic::new(SyntheticOptions::default(), 3, split, people).expect("the defaults are in range")
        };
        let mean = MeanPose::of(&set(Split::Training, 500), 500, INPUT).expect("the people are there");
        let score = mean.score(&set(Split::HeldOut, 256)).expect("the people have heads").value();
        assert!((2.0..45.0).contains(&score), "{score}");
    }
}
