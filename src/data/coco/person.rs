//! A person of a file of annotations: its record, and what follows where a part of it is missing.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;

use super::left_out::LeftOut;
use super::tolerant::{Id, OutlineArea, Value};

/// Joints of COCO-WholeBody, and those of them that its `keypoints` hold.
const WHOLE_BODY: usize = 133;
const BODY: usize = 17;

/// A person, or a crowd, in a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledPerson {
    /// Number of the annotation.
    pub id: Id,
    /// The picture.
    pub image_id: Id,
    /// One of the [`Category`](super::Category).
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

/// An annotation as it stands.
#[derive(Deserialize)]
pub(super) struct Record {
    #[serde(default)]
    pub id: Value,
    #[serde(default)]
    pub image_id: Value,
    #[serde(default)]
    pub category_id: Value,
    #[serde(default)]
    bbox: Value,
    #[serde(default)]
    area: Value,
    #[serde(default)]
    iscrowd: Value,
    #[serde(default)]
    pub keypoints: Value,
    #[serde(default)]
    pub num_keypoints: Value,
    #[serde(default)]
    segmentation: OutlineArea,
    #[serde(default)]
    foot_kpts: Value,
    #[serde(default)]
    face_kpts: Value,
    #[serde(default)]
    lefthand_kpts: Value,
    #[serde(default)]
    righthand_kpts: Value,
}

/// What is counted where a record is not as it should be.
mod kinds {
    pub const SAME_PERSON: &str = "has the id of an earlier annotation; they are taken as different people";
    pub const TWICE: &str = "is an earlier annotation once more, and is left out";
    pub const NO_BOX: &str = "has no bbox: the box around its joints is taken";
    pub const NO_AREA: &str = "has no area: that of its outline or box is taken";
}

/// Where an annotation stands, for messages.
pub(super) struct Place {
    pub number: usize,
    pub id: Id,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "annotations[{}] (id {})", self.number, self.id)
    }
}

impl Place {
    /// The message of a field's problem, which begins with the place in the field's value.
    pub fn field(&self, field: &str, problem: &str) -> String {
        format!("annotations[{}].{field}{problem} (id {})", self.number, self.id)
    }
}

impl Record {
    /// Takes the numbers of its joints; none where there are none. Of COCO-WholeBody's 133 joints the body, the feet, the
    /// face and the hands stand in lists of their own.
    ///
    /// # Errors
    /// A field that holds something else, and what.
    pub fn take_joints(&mut self, joints: usize) -> Result<Vec<f64>, (&'static str, String)> {
        let take = |field: &'static str, value: &mut Value| {
            let numbers = std::mem::take(value).numbers().map_err(|problem| (field, problem))?;
            Ok(numbers.unwrap_or_default())
        };
        let mut numbers = take("keypoints", &mut self.keypoints)?;
        if joints == WHOLE_BODY && numbers.len() == 3 * BODY {
            for (field, value) in [
                ("foot_kpts", &mut self.foot_kpts),
                ("face_kpts", &mut self.face_kpts),
                ("lefthand_kpts", &mut self.lefthand_kpts),
                ("righthand_kpts", &mut self.righthand_kpts),
            ] {
                numbers.extend(take(field, value)?);
            }
        }
        Ok(numbers)
    }

    /// The person at `place` in the file.
    ///
    /// # Errors
    /// A field that holds something else: the message names it.
    pub fn person(
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
pub(super) fn fill_empty_columns(people: &mut [LabelledPerson]) {
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
pub(super) fn without_repetitions(people: Vec<LabelledPerson>, left_out: &mut LeftOut) -> Vec<LabelledPerson> {
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

/// The message of a list of joints that has not three numbers a joint.
pub(super) fn wrong_length(place: &str, found: usize, joints: usize) -> String {
    let expected = 3 * joints;
    format!("{place}: {found} numbers in keypoints, expected {expected}: x, y and flag of {joints} joints")
}
