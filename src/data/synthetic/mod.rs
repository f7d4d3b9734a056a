//! Synthetic people: an endless supply of pictures of articulated figures with exact joints, in MPII's skeleton.
//!
//! A person is a function of the seed, the split, the pass and the index alone. Left and right can be told as on a
//! real person: by the face, the feet, the way knees and elbows bend, and by what hides what.

mod body;
mod figure;
mod paint;
mod random;
mod scene;
mod surface;

use super::loader::{Purpose, generator};
use super::skeleton::{MPII, Skeleton};
use super::{Annotation, DataError, Dataset, Person};
use scene::Scene;
use serde::{Deserialize, Serialize};

/// How hard the pictures are. The default is moderate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyntheticOptions {
    /// Side of the square picture in pixels; the person's box takes 0.6 to 0.9 of it.
    pub picture: u32,
    /// Probability of a person seen from behind.
    pub back_views: f64,
    /// Probability of a lunge, kick, jump, bow or squat; a fifth of it is also that of a person who lies down.
    pub unusual_poses: f64,
    /// Probability of another person in the picture, and of one more when there is one.
    pub other_people: f64,
    /// Probability of a thing in front of the person.
    pub occluders: f64,
    /// Probability that an edge of the picture cuts the person.
    pub truncation: f64,
    /// Mean number of things in the background.
    pub clutter: f64,
    /// Most that a pixel's neighbours contribute to it, 0 to 1; half of the pictures are sharp.
    pub blur: f64,
    /// Most that noise changes a channel, as a share of white.
    pub noise: f64,
}

impl Default for SyntheticOptions {
    fn default() -> Self {
        SyntheticOptions {
            picture: 160,
            back_views: 0.15,
            unusual_poses: 0.12,
            other_people: 0.2,
            occluders: 0.15,
            truncation: 0.05,
            clutter: 6.0,
            blur: 1.0,
            noise: 0.04,
        }
    }
}

impl SyntheticOptions {
    /// What is wrong with the values, if anything.
    ///
    /// # Errors
    /// A message that names the key and its range.
    pub fn check(&self) -> Result<(), String> {
        for (key, value) in [
            ("back_views", self.back_views),
            ("unusual_poses", self.unusual_poses),
            ("other_people", self.other_people),
            ("occluders", self.occluders),
            ("truncation", self.truncation),
            ("blur", self.blur),
            ("noise", self.noise),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("{key} = {value}: must lie between 0 and 1"));
            }
        }
        if !(0.0..=1000.0).contains(&self.clutter) {
            return Err(format!("clutter = {}: must lie between 0 and 1000", self.clutter));
        }
        if !(32..=4096).contains(&self.picture) {
            return Err(format!("picture = {}: must lie between 32 and 4096 pixels", self.picture));
        }
        Ok(())
    }
}

/// Which of two disjoint supplies of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Other people in every pass.
    Training,
    /// The same people in every pass, none of whom is ever in training.
    HeldOut,
}

/// A data set of synthetic people.
#[derive(Clone, Debug)]
pub struct Synthetic {
    options: SyntheticOptions,
    seed: u64,
    split: Split,
    people: usize,
}

impl Synthetic {
    /// `people` is the number in one pass.
    ///
    /// # Errors
    /// Where an option is out of its range.
    pub fn new(options: SyntheticOptions, seed: u64, split: Split, people: usize) -> Result<Synthetic, DataError> {
        options.check().map_err(DataError::Unsuitable)?;
        Ok(Synthetic { options, seed, split, people })
    }

    fn scene(&self, pass: u64, index: usize) -> Result<(Scene, String), DataError> {
        if index >= self.people {
            let dataset = self.name().to_string();
            return Err(DataError::Index { dataset, len: self.people, index });
        }
        let (pass, purpose, name) = match self.split {
            Split::Training => (pass, Purpose::TrainingPerson, format!("synthetic person {index} of pass {pass}")),
            Split::HeldOut => (0, Purpose::HeldOutPerson, format!("synthetic held-out person {index}")),
        };
        Ok((Scene::random(&self.options, generator(self.seed, pass, index as u64, purpose)), name))
    }
}

impl Dataset for Synthetic {
    fn name(&self) -> &str {
        match self.split {
            Split::Training => "synthetic people",
            Split::HeldOut => "held-out synthetic people",
        }
    }

    fn skeleton(&self) -> &'static Skeleton {
        &MPII
    }

    fn len(&self) -> usize {
        self.people
    }

    fn annotation(&self, pass: u64, index: usize) -> Result<Annotation, DataError> {
        let (scene, name) = self.scene(pass, index)?;
        Ok(scene.annotation(name))
    }

    fn load(&self, pass: u64, index: usize) -> Result<Person, DataError> {
        let (scene, name) = self.scene(pass, index)?;
        Ok(Person::new(scene.annotation(name), scene.paint()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(split: Split) -> Synthetic {
        Synthetic::new(SyntheticOptions::default(), 7, split, 64).expect("the defaults are in range")
    }

    #[test]
    fn a_person_is_the_same_whenever_and_wherever_it_is_made() {
        let set = set(Split::Training);
        let alone: Vec<Person> = (0..6).map(|i| set.load(3, i).expect("in range")).collect();
        let threads: Vec<_> = (0..6)
            .rev()
            .map(|i| {
                let set = set.clone();
                std::thread::spawn(move || set.load(3, i).expect("in range"))
            })
            .collect();
        for (person, thread) in alone.iter().rev().zip(threads) {
            let other = thread.join().expect("loading does not panic");
            assert_eq!(person.picture, other.picture);
            assert_eq!(person.joints, other.joints);
            assert_eq!((person.center, person.scale, person.head_size), (other.center, other.scale, other.head_size));
        }
    }

    #[test]
    fn the_annotation_alone_is_that_of_the_picture() {
        let set = set(Split::HeldOut);
        for index in 0..10 {
            let (annotation, person) =
                (set.annotation(0, index).expect("in range"), set.load(0, index).expect("in range"));
            assert_eq!(
                (annotation.joints, annotation.center, annotation.name),
                (person.joints, person.center, person.name)
            );
        }
    }

    #[test]
    fn training_people_change_with_the_pass_and_held_out_ones_do_not() {
        let joints = |set: &Synthetic, pass| set.annotation(pass, 5).expect("in range").joints;
        let (training, held_out) = (set(Split::Training), set(Split::HeldOut));
        assert_ne!(joints(&training, 0), joints(&training, 1));
        assert_eq!(joints(&held_out, 0), joints(&held_out, 9));
        assert_ne!(joints(&training, 0), joints(&held_out, 0));
    }

    #[test]
    fn most_joints_are_labelled_and_visible_and_all_labelled_ones_lie_in_the_picture() {
        let set =
            Synthetic::new(SyntheticOptions::default(), 1, Split::Training, 400).expect("the defaults are in range");
        let (mut labelled, mut visible) = (0, 0);
        for index in 0..400 {
            for joint in set.annotation(0, index).expect("in range").joints {
                labelled += usize::from(joint.labelled);
                visible += usize::from(joint.visible);
                assert!(joint.labelled || !joint.visible);
                assert!(!joint.labelled || ((0.0..=159.0).contains(&joint.x) && (0.0..=159.0).contains(&joint.y)));
            }
        }
        let (labelled, visible) = (labelled as f64 / 6400.0, visible as f64 / 6400.0);
        assert!((0.95..0.999).contains(&labelled), "{labelled}");
        assert!((0.70..0.97).contains(&visible), "{visible}");
    }

    #[test]
    fn options_out_of_range_and_people_past_the_end_are_errors() {
        let wrong = SyntheticOptions { noise: 2.0, ..SyntheticOptions::default() };
        assert!(Synthetic::new(wrong, 0, Split::Training, 1).is_err_and(|error| error.to_string().contains("noise")));
        assert!(set(Split::Training).annotation(0, 64).is_err());
    }
}
