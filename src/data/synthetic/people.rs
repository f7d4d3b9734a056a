//! The data set: which person a seed, a split, a pass and an index give.

use std::sync::Arc;

use super::options::SyntheticOptions;
use super::scene::Scene;
use crate::data::loader::{Stream, generator};
use crate::data::skeleton::{MPII, Skeleton};
use crate::data::{Annotation, DataError, Dataset, Person};

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
        options.check().map_err(|error| DataError::Unsuitable(error.to_string()))?;
        Ok(Synthetic { options, seed, split, people })
    }

    fn scene(&self, pass: u64, index: usize) -> Result<(Scene, String), DataError> {
        if index >= self.people {
            let dataset = self.name().to_string();
            return Err(DataError::Index { dataset, len: self.people, index });
        }
        let (pass, purpose, name) = match self.split {
            Split::Training => (pass, Stream::TrainingPerson, format!("synthetic person {index} of pass {pass}")),
            Split::HeldOut => (0, Stream::HeldOutPerson, format!("synthetic held-out person {index}")),
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

    fn skeleton(&self) -> &Arc<Skeleton> {
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
