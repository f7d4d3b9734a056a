//! MPII Human Pose (Andriluka et al., CVPR 2014), 16 joints: from the annotations of the public HRNet code (JSON), or
//! from the original release (MATLAB).

mod json;
mod person;
mod release;
pub mod truth;

use super::pictures::Pictures;
use super::skeleton::{MPII, Skeleton};
use super::{Annotation, DataError, Dataset, Joint, Person};
use person::AnnotatedPerson;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

const PICTURES: &str = "expected MPII's pictures (mpii_human_pose_v1.tar.gz at http://human-pose.mpi-inf.mpg.de)";

/// A set of people of MPII.
pub struct Mpii {
    name: String,
    pictures: Pictures,
    people: Vec<AnnotatedPerson>,
}

impl Mpii {
    /// Reads the annotations `folder`/`file`; pictures are read from `folder`/images (or images.zip) when a person is
    /// loaded.
    ///
    /// A `.mat` file is the original release: everyone in its training pictures who has joints, centre and scale. Any
    /// other is JSON.
    ///
    /// # Errors
    /// Where the file or the pictures are missing, or the file is not what it should be.
    pub fn open(folder: &Path, file: &Path) -> Result<Mpii, DataError> {
        let path = folder.join(file);
        let people =
            if file.extension().is_some_and(|kind| kind == "mat") { release::read(&path)? } else { json::read(&path)? };
        let pictures = Pictures::open(&folder.join("images"), PICTURES)?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        Ok(Mpii { name: format!("MPII {stem}"), pictures, people })
    }

    /// The same people with the joints and head sizes by which the public code scores, from `gt_valid.mat`. They are
    /// looked for in the file's order, so that a part of the validation people will do.
    ///
    /// # Errors
    /// Where the file is missing, broken, or lacks one of the people.
    pub fn with_truth(mut self, path: &Path) -> Result<Mpii, DataError> {
        let mut truths = truth::read(path)?.into_iter();
        for (record, person) in self.people.iter_mut().enumerate() {
            let Some(truth) = truths.find(|truth| same_joints(&truth.joints, &person.joints)) else {
                let problem = format!(
                    "no person has the joints of record {record} ({}) of {}, in that order",
                    person.picture, self.name
                );
                return Err(DataError::Annotation { path: path.to_path_buf(), problem });
            };
            (person.joints, person.head_size) = (truth.joints, Some(truth.head_size));
        }
        Ok(self)
    }

    /// Whether everyone can be scored by PCKh.
    pub fn has_head_sizes(&self) -> bool {
        self.people.iter().all(|person| person.head_size.is_some())
    }

    /// The people whose pictures have nobody of `other`: nothing is learned from what is scored.
    pub fn without_pictures_of(mut self, other: &Mpii) -> Mpii {
        let taken: HashSet<&str> = other.people.iter().map(|person| person.picture.as_str()).collect();
        self.people.retain(|person| !taken.contains(person.picture.as_str()));
        self
    }

    fn person(&self, index: usize) -> Result<&AnnotatedPerson, DataError> {
        let len = self.people.len();
        self.people.get(index).ok_or_else(|| DataError::Index { dataset: self.name.clone(), len, index })
    }
}

/// Whether the same joints are labelled, at places that differ by no more than the files' rounding.
fn same_joints(a: &[Joint], b: &[Joint]) -> bool {
    let same = |(a, b): (&Joint, &Joint)| {
        a.labelled == b.labelled && (!a.labelled || ((a.x - b.x).abs() < 0.01 && (a.y - b.y).abs() < 0.01))
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

impl Dataset for Mpii {
    fn name(&self) -> &str {
        &self.name
    }

    fn skeleton(&self) -> &Arc<Skeleton> {
        &MPII
    }

    fn len(&self) -> usize {
        self.people.len()
    }

    fn annotation(&self, _pass: u64, index: usize) -> Result<Annotation, DataError> {
        let person = self.person(index)?;
        Ok(Annotation {
            name: format!("{} {} record {index}", self.name, person.picture),
            joints: person.joints.clone(),
            center: person.center,
            scale: [person.scale; 2],
            head_size: person.head_size,
        })
    }

    fn load(&self, pass: u64, index: usize) -> Result<Person, DataError> {
        let annotation = self.annotation(pass, index)?;
        let picture = self.pictures.read(&self.person(index)?.picture, &annotation.name)?;
        Ok(Person::new(annotation, picture))
    }
}
