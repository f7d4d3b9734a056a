//! COCO keypoints (Lin et al., ECCV 2014), 17 joints, in the layout of the 2017 release: annotations, and pictures in a
//! folder or zip file named like the split.

pub mod annotations;

use super::crop::MARGIN;
use super::pictures::Pictures;
use super::skeleton::{COCO, Skeleton};
use super::{Annotation, DataError, Dataset, Joint, Person, Size};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use annotations::{Annotations, DetectedBox, KeypointResult, LabelledPerson, PERSON};

const ADVICE: &str =
    "expected the pictures of the release (train2017.zip, val2017.zip at https://cocodataset.org/#download)";

/// The people of a split of COCO: those with labelled joints in their own boxes, or whoever a detector found.
///
/// As the public HRNet code does, crowds, people without labelled joints and boxes without extent are left out, and
/// boxes are cut at the picture's edge. Detected people have no true joints: they are for evaluation only.
pub struct Coco {
    name: String,
    annotations: Annotations,
    pictures: Pictures,
    people: Vec<BoxedPerson>,
}

/// Someone in a box.
struct BoxedPerson {
    /// Place in `annotations.images`.
    image: usize,
    /// For messages.
    label: String,
    joints: Vec<Joint>,
    center: [f32; 2],
    scale: [f64; 2],
    /// The detector's score; 1 for a true box.
    score: f64,
}

impl Coco {
    /// Reads the annotations in `folder`/annotations/`file`; pictures are read when a person is loaded. With `boxes`
    /// the people are those of that file of detected boxes.
    ///
    /// The pictures of `person_keypoints_train2017.json` are in `folder`/train2017 or `folder`/images/train2017, or in a
    /// zip file of that name.
    ///
    /// # Errors
    /// Where a file or the pictures are missing, or a file is not COCO's.
    pub fn open(folder: &Path, file: &Path, boxes: Option<&Path>) -> Result<Coco, DataError> {
        let annotations = Annotations::read(&folder.join(file))?;
        let split = split_of(file);
        // The release's layout first, then that of the public HRNet code.
        let pictures = Pictures::open(&folder.join(&split), ADVICE)
            .or_else(|error| Pictures::open(&folder.join("images").join(&split), ADVICE).map_err(|_| error))?;
        let people = match boxes {
            Some(boxes) => detected_people(&annotations, &folder.join(boxes))?,
            None => labelled_people(&annotations),
        };
        Ok(Coco { name: format!("COCO {split}"), annotations, pictures, people })
    }

    /// What results for the first `people` are scored by: the file's annotations, without the pictures that have none of
    /// them where these are not all.
    pub fn annotations_of_first(&self, people: usize) -> Cow<'_, Annotations> {
        if people >= self.people.len() {
            return Cow::Borrowed(&self.annotations);
        }
        let shown: BTreeSet<usize> = self.people[..people].iter().map(|person| person.image).collect();
        let images: Vec<_> = shown.into_iter().map(|image| self.annotations.images[image].clone()).collect();
        let ids: HashSet<u64> = images.iter().map(|image| image.id).collect();
        let people = self.annotations.people.iter().filter(|person| ids.contains(&person.image_id)).cloned().collect();
        Cow::Owned(Annotations { images, people })
    }

    /// The picture's number and the box's score (1 for a true box) of person `index`.
    pub fn detection(&self, index: usize) -> Option<(u64, f64)> {
        self.people.get(index).map(|person| (self.annotations.images[person.image].id, person.score))
    }
}

/// What follows the last `_` of the file's name: `train2017` of `person_keypoints_train2017.json`.
fn split_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem.rsplit('_').next().unwrap_or_default().to_string()
}

/// Centre and scale of a box \[left, top, width, height\].
fn center_and_scale([left, top, width, height]: [f64; 4]) -> ([f32; 2], [f64; 2]) {
    let center = [left + width * 0.5, top + height * 0.5].map(|v| v as f32);
    (center, [width, height].map(|side| side / 200.0 * MARGIN))
}

fn labelled_people(annotations: &Annotations) -> Vec<BoxedPerson> {
    let images = annotations.images_by_id();
    let mut people: Vec<BoxedPerson> = Vec::new();
    for person in &annotations.people {
        // Reading has checked that every person's picture is there.
        let image = images[&person.image_id];
        let labelled = person.category_id == PERSON && person.iscrowd == 0 && person.keypoints.iter().any(|v| *v > 0.0);
        let size = [annotations.images[image].width, annotations.images[image].height].map(f64::from);
        let Some(bbox) = cut_box(person.bbox, size).filter(|_| labelled && person.area > 0.0) else { continue };
        let (numbers, _) = person.keypoints.as_chunks::<3>();
        let joint =
            |&[x, y, flag]: &[f64; 3]| Joint { x: x as f32, y: y as f32, labelled: flag > 0.0, visible: flag > 1.0 };
        let (center, scale) = center_and_scale(bbox);
        let label = format!("person {}", person.id);
        people.push(BoxedPerson {
            image,
            label,
            joints: numbers.iter().map(joint).collect(),
            center,
            scale,
            score: 1.0,
        });
    }
    // In the order of the pictures, as the public code goes through them.
    people.sort_by_key(|person| person.image);
    people
}

/// The box cut at the edges of a picture of that size; `None` where nothing of it is inside.
fn cut_box([left, top, width, height]: [f64; 4], size: [f64; 2]) -> Option<[f64; 4]> {
    let (left, top) = (left.max(0.0), top.max(0.0));
    let right = (size[0] - 1.0).min(left + (width - 1.0).max(0.0));
    let bottom = (size[1] - 1.0).min(top + (height - 1.0).max(0.0));
    (right >= left && bottom >= top).then_some([left, top, right - left, bottom - top])
}

fn detected_people(annotations: &Annotations, path: &Path) -> Result<Vec<BoxedPerson>, DataError> {
    let images = annotations.images_by_id();
    let mut people = Vec::new();
    for (number, found) in annotations.read_boxes(path)?.into_iter().enumerate() {
        let [.., width, height] = found.bbox;
        if width <= 0.0 || height <= 0.0 {
            let problem = format!("person {number} of image {}: the box has no extent", found.image_id);
            return Err(DataError::Annotation { path: PathBuf::from(path), problem });
        }
        let (center, scale) = center_and_scale(found.bbox);
        people.push(BoxedPerson {
            image: images[&found.image_id],
            label: format!("box {number}"),
            joints: vec![Joint::default(); COCO.joints.len()],
            center,
            scale,
            score: found.score,
        });
    }
    Ok(people)
}

impl Dataset for Coco {
    fn name(&self) -> &str {
        &self.name
    }

    fn skeleton(&self) -> &Arc<Skeleton> {
        &COCO
    }

    fn len(&self) -> usize {
        self.people.len()
    }

    fn annotation(&self, _pass: u64, index: usize) -> Result<Annotation, DataError> {
        let person = self.people.get(index).ok_or_else(|| DataError::Index {
            dataset: self.name.clone(),
            len: self.people.len(),
            index,
        })?;
        let file = &self.annotations.images[person.image].file_name;
        Ok(Annotation {
            name: format!("{} {file} {}", self.name, person.label),
            joints: person.joints.clone(),
            center: person.center,
            scale: person.scale,
            head_size: None,
        })
    }

    fn load(&self, pass: u64, index: usize) -> Result<Person, DataError> {
        let annotation = self.annotation(pass, index)?;
        let image = &self.annotations.images[self.people[index].image];
        let size = Size::new(image.height, image.width);
        let picture = self.pictures.read_sized(&image.file_name, &annotation.name, size)?;
        Ok(Person::new(annotation, picture))
    }
}

#[cfg(test)]
mod tests {
    use super::annotations::Image;
    use super::*;

    fn person(id: u64, bbox: [f64; 4]) -> LabelledPerson {
        let keypoints = [10.0, 20.0, 2.0, 0.0, 0.0, 0.0, 30.0, 40.0, 1.0].into_iter().chain([0.0; 42]).collect();
        LabelledPerson { id, image_id: 5, category_id: 1, bbox, area: 900.0, iscrowd: 0, keypoints, num_keypoints: 2 }
    }

    #[test]
    fn crowds_unlabelled_people_other_things_and_empty_boxes_are_left_out() {
        let whole = person(1, [10.0, 20.0, 60.0, 80.0]);
        let images = vec![Image { id: 5, file_name: "5.jpg".into(), width: 200, height: 100 }];
        let people = vec![
            LabelledPerson { iscrowd: 1, ..whole.clone() },
            LabelledPerson { keypoints: vec![0.0; 51], ..whole.clone() },
            LabelledPerson { category_id: 2, ..whole.clone() },
            LabelledPerson { area: 0.0, ..whole.clone() },
            LabelledPerson { bbox: [300.0, 20.0, 60.0, 80.0], ..whole.clone() },
            whole,
            person(2, [180.0, -10.0, 60.0, 80.0]),
        ];
        let people = labelled_people(&Annotations { images, people });
        let labels: Vec<&str> = people.iter().map(|person| person.label.as_str()).collect();
        assert_eq!(labels, ["person 1", "person 2"]);
        // The public code's boxes end at the last pixel: one less than width and height.
        assert_eq!(people[0].center, [10.0 + 29.5, 20.0 + 39.5]);
        assert_eq!(people[0].scale, [59.0, 79.0].map(|side| side / 200.0 * 1.25));
        assert_eq!(people[1].center, [180.0 + 9.5, 39.5]);
        let joint = |i: usize| (people[0].joints[i].labelled, people[0].joints[i].visible);
        assert_eq!([joint(0), joint(1), joint(2)], [(true, true), (false, false), (true, false)]);
    }

    #[test]
    fn pictures_are_those_of_the_split_in_the_file_name() {
        assert_eq!(split_of(Path::new("annotations/person_keypoints_train2017.json")), "train2017");
        assert_eq!(split_of(Path::new("mine.json")), "mine");
    }
}
