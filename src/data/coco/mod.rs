//! COCO keypoints (Lin et al., ECCV 2014), 17 joints, and files of the same format with joints of one's own: annotations,
//! and pictures in a folder or zip file named like the split or around the file.

pub mod annotations;
mod category;
mod export;
mod left_out;
mod own;
mod person;
mod places;
mod results;
pub mod tolerant;

use super::crop::MARGIN;
use super::skeleton::Skeleton;
use super::skeleton_table::SkeletonTable;
use super::{Annotation, DataError, Dataset, Joint, Person, Size};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use places::{Places, split_of};

pub use annotations::{Annotations, Image};
pub use category::Category;
pub use export::Export;
pub use left_out::LeftOut;
pub use person::LabelledPerson;
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
    places: Arc<Places>,
    people: Vec<BoxedPerson>,
}

/// Where a set lies, and what is to be said about it beyond its file of annotations.
#[derive(Clone, Copy, Debug)]
pub struct CocoFiles<'a> {
    /// The set's name, for messages.
    pub name: &'a str,
    /// The file of annotations.
    pub annotations: &'a Path,
    /// The folder or zip file of pictures; else they are looked for around the file and in `folder`.
    pub pictures: Option<&'a Path>,
    /// A folder that is searched before what lies around the file.
    pub folder: Option<&'a Path>,
    /// A file of detected boxes, whose people take the place of the labelled ones.
    pub boxes: Option<&'a Path>,
    /// The category by number or name; else the one with joints.
    pub category: Option<&'a Id>,
    /// What goes before the file's own skeleton.
    pub skeleton: Option<&'a SkeletonTable>,
}

impl<'a> CocoFiles<'a> {
    /// A set of that name in a file of annotations, of which nothing else is said.
    pub fn new(name: &'a str, annotations: &'a Path) -> Self {
        Self { name, annotations, pictures: None, folder: None, boxes: None, category: None, skeleton: None }
    }
}

/// Someone in a box.
#[derive(Clone)]
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
        let (path, boxes) = (folder.join(file), boxes.map(|boxes| folder.join(boxes)));
        let name = format!("COCO {}", split_of(file));
        Self::open_files(CocoFiles { folder: Some(folder), boxes: boxes.as_deref(), ..CocoFiles::new(&name, &path) })
    }

    /// As [`open`](Self::open), wherever the files lie and whatever is said beside them.
    ///
    /// # Errors
    /// As [`open`](Self::open), and where there is no such category or the skeleton does not fit.
    pub fn open_files(files: CocoFiles) -> Result<Coco, DataError> {
        let CocoFiles { name, annotations: path, pictures, folder, boxes, category, skeleton } = files;
        let (mut annotations, remarks) = Annotations::read_remarked(path, category, skeleton)?;
        for remark in remarks {
            tracing::warn!("{}: {remark}", path.display());
        }
        let roots: Vec<&Path> = folder.into_iter().collect();
        let places = Places::around(path, &roots, pictures, &annotations.images, ADVICE)?;
        for image in annotations.images.iter_mut().filter(|image| image.width == 0 || image.height == 0) {
            if let Some(size) = places.size(&image.file_name) {
                (image.width, image.height) = (size.width, size.height);
            }
        }
        let people = match boxes {
            Some(boxes) => detected_people(&annotations, boxes)?,
            None => labelled_people(&annotations, path)?,
        };
        Ok(Coco { name: name.to_string(), annotations, places: Arc::new(places), people })
    }

    /// Parts the set by pictures: those to learn from, and a `share` of the pictures with people, evenly spread over the
    /// file, to be scored. The same file is always parted in the same way; a picture that stands in it under several ids
    /// is in one part.
    ///
    /// # Errors
    /// Too few pictures for two parts.
    pub fn parted(&self, share: f64) -> Result<(Coco, Coco), DataError> {
        let with_people: HashSet<&Id> = self.annotations.people.iter().map(|person| &person.image_id).collect();
        let mut files: Vec<&str> = Vec::new();
        let mut seen: HashSet<&str> = HashSet::new();
        for image in self.annotations.images.iter().filter(|image| with_people.contains(&image.id)) {
            if seen.insert(&image.file_name) {
                files.push(&image.file_name);
            }
        }
        // At least one picture on each side.
        let wanted = ((files.len() as f64 * share).round() as usize).clamp(1, files.len().saturating_sub(1).max(1));
        if files.len() < 2 {
            return Err(DataError::Unsuitable(format!(
                "{} has {} pictures with people: too few to hold some back for scoring; give a file of annotations with \
                 data.evaluation, or data.held_out = 0 to score those that are learned from",
                self.name,
                files.len()
            )));
        }
        // The last of each of `wanted` equal portions.
        let last = |portion: usize| files[(portion + 1) * files.len() / wanted - 1];
        let held_out: HashSet<String> = (0..wanted).map(|portion| last(portion).to_owned()).collect();
        let name = |count: usize| format!("{} ({count} of {} pictures)", self.name, files.len());
        let part = |held: bool, count: usize| self.part(name(count), |file| held_out.contains(file) == held);
        Ok((part(false, files.len() - wanted), part(true, wanted)))
    }

    /// The set without the pictures whose names are not `kept`.
    fn part(&self, name: String, kept: impl Fn(&str) -> bool) -> Coco {
        let mut images = Vec::new();
        let mut places = vec![None; self.annotations.images.len()];
        for (place, image) in self.annotations.images.iter().enumerate().filter(|(_, image)| kept(&image.file_name)) {
            places[place] = Some(images.len());
            images.push(image.clone());
        }
        let ids: HashSet<&Id> = images.iter().map(|image| &image.id).collect();
        let labelled =
            self.annotations.people.iter().filter(|person| ids.contains(&person.image_id)).cloned().collect();
        let boxed = |person: &BoxedPerson| Some(BoxedPerson { image: places[person.image]?, ..person.clone() });
        Coco {
            name,
            people: self.people.iter().filter_map(boxed).collect(),
            annotations: Annotations {
                category: self.annotations.category.clone(),
                skeleton: Arc::clone(&self.annotations.skeleton),
                people: labelled,
                images,
            },
            places: Arc::clone(&self.places),
        }
    }

    /// The annotations, crowds and people without joints included.
    pub fn annotations(&self) -> &Annotations {
        &self.annotations
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
        let (category, skeleton) = (self.annotations.category.clone(), Arc::clone(&self.annotations.skeleton));
        Cow::Owned(Annotations { images, people, category, skeleton })
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
    if people.is_empty() {
        let label = annotations.category.label();
        let problem = match left_out.lines(annotations.people.len()).into_iter().next() {
            Some(problem) => format!("nobody is left: {problem}"),
            None => format!("nobody of {label} has a labelled joint, of {} annotated", annotations.people.len()),
        };
        return Err(DataError::Annotation { path: path.to_path_buf(), problem });
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
        &self.annotations.skeleton
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
    use super::super::skeleton::COCO;
    use super::*;

    fn person(id: i64, bbox: [f64; 4]) -> LabelledPerson {
        let keypoints = [10.0, 20.0, 2.0, 0.0, 0.0, 0.0, 30.0, 40.0, 1.0].into_iter().chain([0.0; 42]).collect();
        let [id, image_id, category_id] = [id, 5, 1].map(Id::Number);
        LabelledPerson { id, image_id, category_id, bbox, area: 900.0, iscrowd: 0, keypoints, num_keypoints: 2 }
    }

    fn people_of(people: Vec<LabelledPerson>) -> Result<Vec<BoxedPerson>, DataError> {
        let images = vec![Image { id: 5.into(), file_name: "5.jpg".into(), width: 200, height: 100 }];
        let (category, skeleton) = (Category::person(), Arc::clone(&COCO));
        labelled_people(&Annotations { images, people, category, skeleton }, Path::new("a.json"))
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
