//! Data sets made of others.

use super::{Annotation, DataError, Dataset, Person, Skeleton};
use std::sync::Arc;

/// Several sets of one skeleton, one after the other.
pub struct Joined {
    name: String,
    parts: Vec<Arc<dyn Dataset>>,
}

impl Joined {
    /// # Errors
    /// Where there is no part, or two have different skeletons.
    pub fn new(parts: Vec<Arc<dyn Dataset>>) -> Result<Joined, DataError> {
        let Some(first) = parts.first() else {
            return Err(DataError::Unsuitable("a joined data set needs at least one data set".to_string()));
        };
        if let Some(other) = parts.iter().find(|part| part.skeleton() != first.skeleton()) {
            return Err(DataError::Unsuitable(format!(
                "{} has the {} skeleton and {} the {} one: they cannot be joined",
                first.name(),
                first.skeleton().name,
                other.name(),
                other.skeleton().name
            )));
        }
        let name = parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(" + ");
        Ok(Joined { name, parts })
    }

    fn part(&self, index: usize) -> Result<(&dyn Dataset, usize), DataError> {
        let mut rest = index;
        for part in &self.parts {
            if rest < part.len() {
                return Ok((&**part, rest));
            }
            rest -= part.len();
        }
        Err(DataError::Index { dataset: self.name.clone(), len: self.len(), index })
    }
}

impl Dataset for Joined {
    fn name(&self) -> &str {
        &self.name
    }

    fn skeleton(&self) -> &Arc<Skeleton> {
        // `new` refuses an empty list.
        self.parts[0].skeleton()
    }

    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    fn annotation(&self, pass: u64, index: usize) -> Result<Annotation, DataError> {
        let (part, index) = self.part(index)?;
        part.annotation(pass, index)
    }

    fn load(&self, pass: u64, index: usize) -> Result<Person, DataError> {
        let (part, index) = self.part(index)?;
        part.load(pass, index)
    }
}

/// The first people of a set.
pub struct FirstOf {
    whole: Arc<dyn Dataset>,
    people: usize,
}

impl FirstOf {
    /// The first `people` of `whole`, or all of them where it has fewer.
    pub fn new(whole: Arc<dyn Dataset>, people: usize) -> FirstOf {
        let people = people.min(whole.len());
        FirstOf { whole, people }
    }

    fn check(&self, index: usize) -> Result<(), DataError> {
        if index < self.people {
            return Ok(());
        }
        Err(DataError::Index { dataset: self.name().to_string(), len: self.people, index })
    }
}

impl Dataset for FirstOf {
    fn name(&self) -> &str {
        self.whole.name()
    }

    fn skeleton(&self) -> &Arc<Skeleton> {
        self.whole.skeleton()
    }

    fn len(&self) -> usize {
        self.people
    }

    fn annotation(&self, pass: u64, index: usize) -> Result<Annotation, DataError> {
        self.check(index)?;
        self.whole.annotation(pass, index)
    }

    fn load(&self, pass: u64, index: usize) -> Result<Person, DataError> {
        self.check(index)?;
        self.whole.load(pass, index)
    }
}

#[cfg(test)]
mod tests {
    use super::super::skeleton::{COCO, MPII};
    use super::super::{Split, Synthetic, SyntheticOptions};
    use super::*;

    struct Nobody;

    impl Dataset for Nobody {
        fn name(&self) -> &str {
            "nobody"
        }
        fn skeleton(&self) -> &Arc<Skeleton> {
            &COCO
        }
        fn len(&self) -> usize {
            0
        }
        fn annotation(&self, _: u64, index: usize) -> Result<Annotation, DataError> {
            Err(DataError::Index { dataset: "nobody".to_string(), len: 0, index })
        }
        fn load(&self, _: u64, index: usize) -> Result<Person, DataError> {
            Err(DataError::Index { dataset: "nobody".to_string(), len: 0, index })
        }
    }

    fn synthetic(seed: u64, people: usize) -> Arc<dyn Dataset> {
        let set = Synthetic::new(SyntheticOptions::default(), seed, Split::Training, people);
        Arc::new(set.expect("the defaults are in range"))
    }

    #[test]
    fn joined_sets_follow_one_another() {
        let (a, b) = (synthetic(1, 3), synthetic(2, 4));
        let joined = Joined::new(vec![a.clone(), b.clone()]).expect("the skeletons agree");
        assert_eq!((joined.len(), &joined.skeleton().name), (7, &MPII.name));
        let joints = |set: &dyn Dataset, index| set.annotation(0, index).expect("in range").joints;
        assert_eq!(joints(&joined, 2), joints(&*a, 2));
        assert_eq!(joints(&joined, 3), joints(&*b, 0));
        assert_eq!(joints(&joined, 6), joints(&*b, 3));
        assert!(joined.annotation(0, 7).is_err());
    }

    #[test]
    fn sets_of_different_skeletons_are_not_joined() {
        let error = Joined::new(vec![synthetic(1, 3), Arc::new(Nobody)]).err().map(|error| error.to_string());
        assert!(error.is_some_and(|message| message.contains("mpii") && message.contains("coco")));
        assert!(Joined::new(Vec::new()).is_err());
    }

    #[test]
    fn the_first_of_a_set_end_where_they_should() {
        let first = FirstOf::new(synthetic(1, 10), 4);
        assert_eq!(first.len(), 4);
        assert!(first.annotation(0, 3).is_ok() && first.annotation(0, 4).is_err());
        assert_eq!(FirstOf::new(synthetic(1, 10), 40).len(), 10);
    }
}
