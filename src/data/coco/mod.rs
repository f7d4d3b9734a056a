//! COCO keypoints (Lin et al., ECCV 2014), 17 joints, in the layout of the 2017 release: annotations, and pictures in a
//! folder or zip file named like the split.

pub mod annotations;
mod category;
mod left_out;
mod places;
mod results;
pub mod tolerant;

use super::crop::MARGIN;
use super::skeleton::{COCO, Skeleton};
use super::{Annotation, DataError, Dataset, Joint, Person, Size};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use places::{Places, split_of};

pub use annotations::{Annotations, Image, LabelledPerson};
pub use category::Category;
pub use left_out::LeftOut;
pub use results::{DetectedBox, KeypointResult};
pub use tolerant::Id;

const ADVICE: &str =
    "expected the pictures of the release (train2017.zip, val2017.zip at https://cocodataset.org/#download)";

/// The people of a split of COCO: those with labelled joints in their own boxes, or whoever a detector found.
///
/// As the public HRNet code does, crowds, people without labelled joints and boxes without extent are left out, and
/// boxes are cut at the picture's edge. Detected people have no true joints: they are for evaluation only.
pub struct Coco {
    name: String,
    annotations: Annotations,
    places: Places,
    people: Vec<BoxedPerson>,
}

/// Someone in a box.
struct BoxedPerson {
    /// Place in `annotations.images`.
    image: usize,
    category_id: Id,
    /// For messages.
    label: String,
    joints: Vec<Joint>,
    center: [f32; 2],
    scale: [f64; 2],
    /// The detector's score; 1 for a true box.
    score: f64,
}

/// Where someone was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection<'a> {
    /// The picture.
    pub image_id: &'a Id,
    /// The category.
    pub category_id: &'a Id,
    /// The box's score; 1 for a true box.
    pub score: f64,
}

const NO_EXTENT: &str = "has no box with an extent inside its picture, and is left out";
const NO_AREA: &str = "has an area of 0, and is left out";

impl Coco {
    /// Reads the annotations in `folder`/`file`; pictures are read when a person is loaded. With `boxes` the people are
    /// those of that file of detected boxes.
    ///
    /// The pictures of `person_keypoints_train2017.json` are in `folder`/train2017 or `folder`/images/train2017, in a zip
    /// file of that name, in `images`, or beside the file.
    ///
    /// # Errors
    /// Where a file or the pictures are missing, or a file is not COCO's.
    pub fn open(folder: &Path, file: &Path, boxes: Option<&Path>) -> Result<Coco, DataError> {
        let path = folder.join(file);
        let mut annotations = Annotations::read(&path)?;
        let places = Places::around(&path, &[folder], None, &annotations.images, ADVICE)?;
        for image in annotations.images.iter_mut().filter(|image| image.width == 0 || image.height == 0) {
            if let Some(size) = places.size(&image.file_name) {
                (image.width, image.height) = (size.width, size.height);
            }
        }
        let people = match boxes {
            Some(boxes) => detected_people(&annotations, &folder.join(boxes))?,
            None => labelled_people(&annotations, &path)?,
        };
        Ok(Coco { name: format!("COCO {}", split_of(file)), annotations, places, people })
    }

    /// What results for the first `people` are scored by: the file's annotations, without the pictures that have none of
    /// them where these are not all.
    pub fn annotations_of_first(&self, people: usize) -> Cow<'_, Annotations> {
        if people >= self.people.len() {
            return Cow::Borrowed(&self.annotations);
        }
        let shown: BTreeSet<usize> = self.people[..people].iter().map(|person| person.image).collect();
        let images: Vec<_> = shown.into_iter().map(|image| self.annotations.images[image].clone()).collect();
        let ids: HashSet<&Id> = images.iter().map(|image| &image.id).collect();
        let people = self.annotations.people.iter().filter(|person| ids.contains(&person.image_id)).cloned().collect();
        Cow::Owned(Annotations { people, images, ..self.annotations.clone() })
    }

    /// Where person `index` was found.
    pub fn detection(&self, index: usize) -> Option<Detection<'_>> {
        self.people.get(index).map(|person| Detection {
            image_id: &self.annotations.images[person.image].id,
            category_id: &person.category_id,
            score: person.score,
        })
    }
}

/// Centre and scale of a box \[left, top, width, height\].
fn center_and_scale([left, top, width, height]: [f64; 4]) -> ([f32; 2], [f64; 2]) {
    let center = [left + width * 0.5, top + height * 0.5].map(|v| v as f32);
    (center, [width, height].map(|side| side / 200.0 * MARGIN))
}

fn labelled_people(annotations: &Annotations, path: &Path) -> Result<Vec<BoxedPerson>, DataError> {
    let images = annotations.images_by_id();
    let mut people: Vec<BoxedPerson> = Vec::new();
    let mut left_out = LeftOut::default();
    for person in &annotations.people {
        if person.iscrowd != 0 || !person.keypoints.iter().any(|v| *v > 0.0) {
            continue;
        }
        // Reading has checked that every person's picture is there.
        let image = images[&person.image_id];
        let side = |side: u32| if side == 0 { f64::INFINITY } else { f64::from(side) };
        let size = [annotations.images[image].width, annotations.images[image].height].map(side);
        let place = || format!("annotation {} (picture {})", person.id, person.image_id);
        let Some(bbox) = usable_box(person.bbox, size) else {
            left_out.add(NO_EXTENT, place());
            continue;
        };
        if person.area <= 0.0 {
            left_out.add(NO_AREA, place());
            continue;
        }
        let (numbers, _) = person.keypoints.as_chunks::<3>();
        let joint =
            |&[x, y, flag]: &[f64; 3]| Joint { x: x as f32, y: y as f32, labelled: flag > 0.0, visible: flag > 1.0 };
        let (center, scale) = center_and_scale(bbox);
        people.push(BoxedPerson {
            image,
            category_id: person.category_id.clone(),
            label: format!("person {}", person.id),
            joints: numbers.iter().map(joint).collect(),
            center,
            scale,
            score: 1.0,
        });
    }
    left_out.warn(path, annotations.people.len());
    if people.is_empty()
        && let Some(problem) = left_out.lines(annotations.people.len()).into_iter().next()
    {
        return Err(DataError::Annotation { path: path.to_path_buf(), problem: format!("nobody is left: {problem}") });
    }
    // In the order of the pictures, as the public code goes through them.
    people.sort_by_key(|person| person.image);
    Ok(people)
}

/// The box cut at the edges of a picture of that size, where it has an extent and something of it is inside.
fn usable_box(bbox: [f64; 4], size: [f64; 2]) -> Option<[f64; 4]> {
    let [left, top, width, height] = bbox;
    if !(bbox.iter().all(|v| v.is_finite()) && width > 0.0 && height > 0.0) {
        return None;
    }
    let (left, top) = (left.max(0.0), top.max(0.0));
    let right = (size[0] - 1.0).min(left + (width - 1.0).max(0.0));
    let bottom = (size[1] - 1.0).min(top + (height - 1.0).max(0.0));
    let (width, height) = (right - left, bottom - top);
    // A box of one row or column is widened to the input's shape; of a point there is nothing to widen.
    (width >= 0.0 && height >= 0.0 && (width > 0.0 || height > 0.0)).then_some([left, top, width, height])
}

fn detected_people(annotations: &Annotations, path: &Path) -> Result<Vec<BoxedPerson>, DataError> {
    let images = annotations.images_by_id();
    let person = |(number, found): (usize, DetectedBox)| {
        let (center, scale) = center_and_scale(found.bbox);
        BoxedPerson {
            // Reading has left out the boxes of other pictures.
            image: images[&found.image_id],
            category_id: found.category_id,
            label: format!("box {number}"),
            joints: vec![Joint::default(); annotations.joints()],
            center,
            scale,
            score: found.score,
        }
    };
    Ok(annotations.read_boxes(path)?.into_iter().enumerate().map(person).collect())
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
        let picture = self.places.read(&image.file_name, &annotation.name, size)?;
        Ok(Person::new(annotation, picture))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: i64, bbox: [f64; 4]) -> LabelledPerson {
        let keypoints = [10.0, 20.0, 2.0, 0.0, 0.0, 0.0, 30.0, 40.0, 1.0].into_iter().chain([0.0; 42]).collect();
        let [id, image_id, category_id] = [id, 5, 1].map(Id::Number);
        LabelledPerson { id, image_id, category_id, bbox, area: 900.0, iscrowd: 0, keypoints, num_keypoints: 2 }
    }

    fn people_of(people: Vec<LabelledPerson>) -> Result<Vec<BoxedPerson>, DataError> {
        let images = vec![Image { id: 5.into(), file_name: "5.jpg".into(), width: 200, height: 100 }];
        labelled_people(&Annotations { images, people, category: Category::person() }, Path::new("a.json"))
    }

    #[test]
    fn crowds_unlabelled_people_and_empty_boxes_are_left_out() {
        let whole = person(1, [10.0, 20.0, 60.0, 80.0]);
        let boxed = |bbox| LabelledPerson { bbox, ..whole.clone() };
        let odd = [
            LabelledPerson { iscrowd: 1, ..whole.clone() },
            LabelledPerson { keypoints: vec![0.0; 51], ..whole.clone() },
            LabelledPerson { area: 0.0, ..whole.clone() },
            boxed([300.0, 20.0, 60.0, 80.0]),
            boxed([10.0, 20.0, 0.0, 0.0]),
            boxed([10.0, 20.0, 1.0, 1.0]),
            boxed([10.0, 20.0, -5.0, 80.0]),
            boxed([f64::NAN; 4]),
        ];
        let error = people_of(odd.to_vec()).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("a.json: nobody is left") && error.contains("annotation 1")));
        let people = odd.into_iter().chain([whole, person(2, [180.0, -10.0, 60.0, 80.0])]).collect();
        let people = people_of(people).expect("two are whole");
        let labels: Vec<&str> = people.iter().map(|person| person.label.as_str()).collect();
        assert_eq!(labels, ["person 1", "person 2"]);
        // The public code's boxes end at the last pixel: one less than width and height.
        assert_eq!(people[0].center, [10.0 + 29.5, 20.0 + 39.5]);
        assert_eq!(people[0].scale, [59.0, 79.0].map(|side| side / 200.0 * 1.25));
        assert_eq!(people[1].center, [180.0 + 9.5, 39.5]);
        let joint = |i: usize| (people[0].joints[i].labelled, people[0].joints[i].visible);
        assert_eq!([joint(0), joint(1), joint(2)], [(true, true), (false, false), (true, false)]);
    }
}
