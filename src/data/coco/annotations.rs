//! COCO's annotations (`person_keypoints_*.json`), as pycocotools and the tools that write such files take them.
//! Coordinates are pixels from the picture's upper left, as they stand in the files.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::{DataError, files, skeleton::COCO};
use super::category::Category;
use super::left_out::LeftOut;
use super::tolerant::{Id, OutlineArea, Value};

const ADVICE: &str = "expected annotations in COCO's format, such as person_keypoints_*.json of COCO 2017 \
                      (annotations_trainval2017.zip at https://cocodataset.org/#download)";

/// The pictures of a split and the people in them.
#[derive(Clone, Debug)]
pub struct Annotations {
    /// Every picture, those without people included; no two have the same id.
    pub images: Vec<Image>,
    /// Every person, crowds included: the objects of the category with the joints.
    pub people: Vec<LabelledPerson>,
    /// That category.
    pub category: Category,
}

/// A picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// What people refer to.
    pub id: Id,
    /// Name in the folder of pictures, perhaps with folders.
    pub file_name: String,
    /// Pixels in a row; 0 where the file does not say.
    pub width: u32,
    /// Rows; 0 where the file does not say.
    pub height: u32,
}

/// A person, or a crowd, in a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledPerson {
    /// Number of the annotation.
    pub id: Id,
    /// The picture.
    pub image_id: Id,
    /// One of the [`Category`].
    pub category_id: Id,
    /// Left, top, width, height; NaN where there is no box.
    pub bbox: [f64; 4],
    /// Area of the person's outline in square pixels.
    pub area: f64,
    /// 1 for a crowd, else 0.
    pub iscrowd: u8,
    /// x, y and flag of each joint; the flag is 0 unlabelled, 1 hidden, 2 visible.
    pub keypoints: Vec<f64>,
    /// How many of them are labelled.
    pub num_keypoints: u32,
}

/// A file as it stands: an object, not a list.
struct Whole(Document);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Whole, D::Error> {
        deserializer.deserialize_any(WholeVisitor)
    }
}

struct WholeVisitor;

impl<'de> Visitor<'de> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("an object with `images` and `annotations` (a list is what files of results are)")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Whole, A::Error> {
        Document::deserialize(MapAccessDeserializer::new(map)).map(Whole)
    }
}

#[derive(Deserialize)]
struct Document {
    images: Vec<ImageRecord>,
    annotations: Vec<Record>,
    #[serde(default)]
    categories: serde_json::Value,
}

#[derive(Deserialize)]
struct ImageRecord {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    file_name: Value,
    #[serde(default)]
    coco_url: Value,
    #[serde(default)]
    width: Value,
    #[serde(default)]
    height: Value,
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    image_id: Value,
    #[serde(default)]
    category_id: Value,
    #[serde(default)]
    bbox: Value,
    #[serde(default)]
    area: Value,
    #[serde(default)]
    iscrowd: Value,
    #[serde(default)]
    keypoints: Value,
    #[serde(default)]
    num_keypoints: Value,
    #[serde(default)]
    segmentation: OutlineArea,
}

/// What is counted where a record is not used, or not as it stands.
mod kinds {
    pub const NO_PICTURE: &str = "has an image_id that is not among the images, and is left out";
    pub const JOINTS: &str = "has another number of joints, and is taken as someone without joints";
    pub const SAME_IMAGE: &str = "stands in the file twice with the same id";
    pub const SAME_PERSON: &str = "has the id of an earlier annotation; they are taken as different people";
    pub const TWICE: &str = "is an earlier annotation once more, and is left out";
    pub const NO_BOX: &str = "has no bbox: the box around its joints is taken";
    pub const NO_AREA: &str = "has no area: that of its outline or box is taken";
}

impl Annotations {
    /// Reads the annotations of a split: the people of the category with the joints.
    ///
    /// What pycocotools would take is taken, and what follows from the rest may be missing: `num_keypoints`, `area`,
    /// `iscrowd`, `bbox` and annotations' ids. Records of other categories may hold anything.
    ///
    /// # Errors
    /// Where the file is missing or is not COCO's, or two pictures have one id: the message names the record.
    pub fn read(path: &Path) -> Result<Annotations, DataError> {
        Self::read_category(path, None)
    }

    /// As [`read`](Self::read), of the category with this number or name.
    ///
    /// # Errors
    /// As [`read`](Self::read), and where there is no such category.
    pub fn read_category(path: &Path, category: Option<&Id>) -> Result<Annotations, DataError> {
        let Whole(document) = files::read_json(path, ADVICE)?;
        let mut left_out = LeftOut::default();
        let all = document.annotations.len();
        let read = document.read(category, &mut left_out);
        left_out.warn(path, all);
        read.map_err(|problem| DataError::Annotation { path: path.to_path_buf(), problem })
    }

    /// Joints of each person.
    pub fn joints(&self) -> usize {
        COCO.joints.len()
    }

    /// Where each picture stands in `images`.
    pub fn images_by_id(&self) -> HashMap<&Id, usize> {
        self.images.iter().enumerate().map(|(index, image)| (&image.id, index)).collect()
    }
}

impl Document {
    fn read(self, wanted: Option<&Id>, left_out: &mut LeftOut) -> Result<Annotations, String> {
        let Document { images, annotations, categories } = self;
        let images = read_images(images, left_out)?;
        let known: HashSet<&Id> = images.iter().map(|image| &image.id).collect();
        let mut used: Vec<Id> = Vec::new();
        for record in &annotations {
            if let Ok(id) = record.category_id.clone().id()
                && !used.contains(&id)
            {
                used.push(id);
            }
        }
        let category = Category::choose(&categories, wanted, &used)?;
        let joints = COCO.joints.len();
        let mut people: Vec<LabelledPerson> = Vec::new();
        let (mut of_category, mut fitting, mut first_wrong) = (0, 0, None);
        for (number, mut record) in annotations.into_iter().enumerate() {
            let place = Place { number, id: record.id.clone().id().unwrap_or(Id::Number(number as i64)) };
            // Without a category of its own a record is of the only one there is.
            let category_id = match record.category_id.is_nothing() {
                true => category.ids[0].clone(),
                false => record.category_id.clone().id().map_err(|problem| place.field("category_id", &problem))?,
            };
            if !category.has(&category_id) {
                continue;
            }
            of_category += 1;
            let image_id = match record.image_id.is_nothing() {
                true => None,
                false => Some(record.image_id.clone().id().map_err(|problem| place.field("image_id", &problem))?),
            };
            let Some(image_id) = image_id.filter(|id| known.contains(id)) else {
                first_wrong.get_or_insert_with(|| format!("{place}: its image_id is not among the images"));
                left_out.add(kinds::NO_PICTURE, &place);
                continue;
            };
            let found = std::mem::take(&mut record.keypoints).numbers().map_err(|problem| place.field("keypoints", &problem))?;
            let mut keypoints = found.unwrap_or_default();
            match keypoints.len() {
                // CVAT writes an empty list for someone none of whose joints is seen.
                0 => keypoints = vec![0.0; 3 * joints],
                fits if fits == 3 * joints => fitting += 1,
                other => {
                    first_wrong.get_or_insert_with(|| wrong_length(&place.to_string(), other, joints));
                    left_out.add(kinds::JOINTS, &place);
                    keypoints = vec![0.0; 3 * joints];
                }
            }
            people.push(record.person(&place, image_id, category_id, keypoints, left_out)?);
        }
        let all_wrong = people.is_empty() || (fitting == 0 && left_out.count(kinds::JOINTS) > 0);
        if let Some(problem) = first_wrong.filter(|_| all_wrong) {
            return Err(problem);
        }
        if !used.is_empty() && of_category == 0 {
            let used: Vec<String> = used.iter().take(10).map(Id::to_string).collect();
            tracing::warn!("no annotation is of {}; there are annotations of categories {}", category.label(), used.join(", "));
        }
        fill_empty_columns(&mut people);
        let people = without_repetitions(people, left_out);
        Ok(Annotations { images, people, category })
    }
}

/// Where an annotation stands, for messages.
struct Place {
    number: usize,
    id: Id,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "annotations[{}] (id {})", self.number, self.id)
    }
}

impl Place {
    /// The message of a field's problem, which begins with the place in the field's value.
    fn field(&self, field: &str, problem: &str) -> String {
        format!("annotations[{}].{field}{problem} (id {})", self.number, self.id)
    }
}

impl Record {
    fn person(
        self,
        place: &Place,
        image_id: Id,
        category_id: Id,
        mut keypoints: Vec<f64>,
        left_out: &mut LeftOut,
    ) -> Result<LabelledPerson, String> {
        let at = |field: &'static str| move |problem: String| place.field(field, &problem);
        check_joints(&mut keypoints).map_err(|problem| place.field("keypoints", &problem))?;
        let counted = keypoints.iter().skip(2).step_by(3).filter(|flag| **flag > 0.0).count() as u32;
        let given = self.num_keypoints.number().map_err(at("num_keypoints"))?;
        let bbox = match self.bbox.numbers().map_err(at("bbox"))? {
            Some(bbox) => <[f64; 4]>::try_from(bbox).unwrap_or([f64::NAN; 4]),
            None => {
                left_out.add(kinds::NO_BOX, place);
                box_around(&keypoints)
            }
        };
        let area = match self.area.number().map_err(at("area"))? {
            Some(area) => area,
            None => {
                left_out.add(kinds::NO_AREA, place);
                self.segmentation.0.unwrap_or(area_of(bbox))
            }
        };
        let iscrowd = self.iscrowd.number().map_err(at("iscrowd"))?.is_some_and(|crowd| crowd != 0.0);
        Ok(LabelledPerson {
            id: place.id.clone(),
            image_id,
            category_id,
            bbox,
            area,
            iscrowd: iscrowd.into(),
            keypoints,
            num_keypoints: given.map_or(counted, |given| given as u32),
        })
    }
}

/// A joint that is not a number is not labelled, where its flag does not say otherwise.
fn check_joints(keypoints: &mut [f64]) -> Result<(), String> {
    let (joints, _) = keypoints.as_chunks_mut::<3>();
    for (joint, place) in joints.iter_mut().enumerate() {
        if let Some(axis) = place.iter().position(|v| !v.is_finite()) {
            if place[2] > 0.0 || place.iter().any(|v| v.is_finite() && *v != 0.0) {
                return Err(format!("[{}]: null or NaN, expected a number", 3 * joint + axis));
            }
            *place = [0.0; 3];
        }
    }
    Ok(())
}

/// The box around the labelled joints; NaN where there is none.
fn box_around(keypoints: &[f64]) -> [f64; 4] {
    let (joints, _) = keypoints.as_chunks::<3>();
    let labelled: Vec<&[f64; 3]> = joints.iter().filter(|[_, _, flag]| *flag > 0.0).collect();
    let range = |axis: usize| {
        let of = |(low, high): (f64, f64), joint: &&[f64; 3]| (low.min(joint[axis]), high.max(joint[axis]));
        labelled.iter().fold((f64::INFINITY, f64::NEG_INFINITY), of)
    };
    match labelled.is_empty() {
        true => [f64::NAN; 4],
        false => [range(0).0, range(1).0, range(0).1 - range(0).0, range(1).1 - range(1).0],
    }
}

/// The area of a box; 0 where it is none.
fn area_of([_, _, width, height]: [f64; 4]) -> f64 {
    if width > 0.0 && height > 0.0 { width * height } else { 0.0 }
}

/// `area` and `num_keypoints` that are 0 for everyone were never filled in: they are taken from the rest.
fn fill_empty_columns(people: &mut [LabelledPerson]) {
    let counted = |person: &LabelledPerson| person.keypoints.iter().skip(2).step_by(3).filter(|f| **f > 0.0).count();
    if people.iter().all(|person| person.num_keypoints == 0) && people.iter().any(|person| counted(person) > 0) {
        tracing::warn!("num_keypoints is 0 for everyone, though joints are labelled: the labelled joints are counted");
        people.iter_mut().for_each(|person| person.num_keypoints = counted(person) as u32);
    }
    if people.iter().all(|person| person.area == 0.0) && people.iter().any(|person| area_of(person.bbox) > 0.0) {
        tracing::warn!("area is 0 for everyone: that of the box is taken");
        people.iter_mut().for_each(|person| person.area = area_of(person.bbox));
    }
}

/// People whose id another one has stay, but not the same person twice.
fn without_repetitions(people: Vec<LabelledPerson>, left_out: &mut LeftOut) -> Vec<LabelledPerson> {
    let mut seen: HashMap<Id, Vec<usize>> = HashMap::with_capacity(people.len());
    let mut kept: Vec<LabelledPerson> = Vec::with_capacity(people.len());
    for person in people {
        let same = seen.entry(person.id.clone()).or_default();
        // Boxes that are not there are NaN and equal nothing: joints and picture tell.
        let again = |&index: &usize| {
            let earlier = &kept[index];
            earlier.image_id == person.image_id && earlier.keypoints == person.keypoints && earlier.bbox == person.bbox
        };
        let place = format!("an annotation of id {} in picture {}", person.id, person.image_id);
        if same.iter().any(again) {
            left_out.add(kinds::TWICE, place);
            continue;
        }
        if !same.is_empty() {
            left_out.add(kinds::SAME_PERSON, place);
        }
        same.push(kept.len());
        kept.push(person);
    }
    kept
}

fn read_images(records: Vec<ImageRecord>, left_out: &mut LeftOut) -> Result<Vec<Image>, String> {
    let mut by_id: HashMap<Id, usize> = HashMap::with_capacity(records.len());
    let mut images: Vec<Image> = Vec::with_capacity(records.len());
    for (number, record) in records.into_iter().enumerate() {
        let at = |field: &'static str| move |problem: String| format!("images[{number}].{field}{problem}");
        let id = record.id.id().map_err(at("id"))?;
        let name = |value: Value| match value {
            Value::Text(text) if !text.trim().is_empty() => Some(text),
            Value::Whole(number) => Some(number.to_string()),
            _ => None,
        };
        let file_name = name(record.file_name)
            .or_else(|| name(record.coco_url))
            .ok_or_else(|| format!("images[{number}] (id {id}): missing field `file_name`"))?;
        let side = |value: Value| value.number().map(|side| side.filter(|side| *side >= 1.0).map_or(0, |v| v as u32));
        let (width, height) = (side(record.width).map_err(at("width"))?, side(record.height).map_err(at("height"))?);
        let image = Image { id: id.clone(), file_name, width, height };
        match by_id.get(&id).map(|&earlier: &usize| &images[earlier]) {
            Some(earlier) if earlier.file_name == image.file_name => {
                left_out.add(kinds::SAME_IMAGE, format!("images[{number}] (id {id})"));
            }
            Some(earlier) => {
                return Err(format!(
                    "images[{number}]: {} has the id {id} of {}: whose people are whose cannot be told; give each \
                     picture an id of its own",
                    image.file_name, earlier.file_name
                ));
            }
            None => {
                by_id.insert(id, images.len());
                images.push(image);
            }
        }
    }
    Ok(images)
}

/// The message of a list of joints that has not three numbers a joint.
pub(super) fn wrong_length(place: &str, found: usize, joints: usize) -> String {
    let expected = 3 * joints;
    format!("{place}: {found} numbers in keypoints, expected {expected}: x, y and flag of {joints} joints")
}
