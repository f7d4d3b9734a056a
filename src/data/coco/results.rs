//! What others found in the pictures of a file of annotations: people with joints, as COCO's evaluation server takes them,
//! and boxes of a detector.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::super::{DataError, files};
use super::annotations::Annotations;
use super::left_out::LeftOut;
use super::person::wrong_length;
use super::tolerant::{Id, Value};

/// A person found in a picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeypointResult {
    /// The picture.
    pub image_id: Id,
    /// The category of people.
    pub category_id: Id,
    /// x, y and score of each joint.
    pub keypoints: Vec<f64>,
    /// How sure the finding is; only the order counts.
    pub score: f64,
    /// Left, top, width, height; may be left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bbox: Vec<f64>,
}

/// A box that a detector found.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectedBox {
    /// The picture.
    pub image_id: Id,
    /// The category of people.
    pub category_id: Id,
    /// Left, top, width, height; both sides are more than 0.
    pub bbox: [f64; 4],
    /// How sure the detector is, from 0 to 1.
    pub score: f64,
}

/// A result or a box as it stands.
#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    image_id: Value,
    #[serde(default)]
    category_id: Value,
    #[serde(default)]
    keypoints: Value,
    #[serde(default)]
    score: Value,
    #[serde(default)]
    bbox: Value,
}

/// What is counted where a box is not used.
mod kinds {
    pub const NO_EXTENT: &str = "has no box with an extent, and is left out";
    pub const NO_SCORE: &str = "has a score that is not a number, and is left out";
    pub const OTHER_PICTURE: &str = "is of a picture that the annotations do not have, and is left out";
}

/// A list of records.
struct List(Vec<Record>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List, D::Error> {
        deserializer.deserialize_any(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("a JSON array, a record each")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List, A::Error> {
        let mut records = Vec::new();
        while let Some(record) = list.next_element()? {
            records.push(record);
        }
        Ok(List(records))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<List, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
            keys.push(key);
        }
        keys.truncate(8);
        let advice =
            if keys.iter().any(|key| key == "annotations") { "; the list of `annotations` alone may do" } else { "" };
        Err(A::Error::custom(format!(
            "expected a JSON array, found an object with the keys {}{advice}",
            keys.join(", ")
        )))
    }
}

impl Annotations {
    /// The results of a file for these pictures; those of other categories are left out, and their number is said. A
    /// result without a category is of people.
    ///
    /// # Errors
    /// Where the file is missing or is not a results file, has a picture that is not among these, a value that is not a
    /// number, or results of other categories only.
    pub fn read_results(&self, path: &Path) -> Result<Vec<KeypointResult>, DataError> {
        let records = read_list(path, "results in COCO's keypoint format")?;
        let wrong = |problem| DataError::Annotation { path: path.to_path_buf(), problem };
        let images: HashSet<&Id> = self.images.iter().map(|image| &image.id).collect();
        let mut others = OtherCategories::default();
        let mut results = Vec::with_capacity(records.len());
        for (number, record) in records.into_iter().enumerate() {
            if let Some(result) = self.result(number, record, &mut others).map_err(wrong)? {
                if !images.contains(&result.image_id) {
                    let id = &result.image_id;
                    let hint = match id {
                        Id::Text(_) => {
                            "; it is a text that is no plain number, as file names are: write the picture's id"
                        }
                        Id::Number(_) => "",
                    };
                    let problem = format!("[{number}].image_id: {id} is not a picture of the annotations{hint}");
                    return Err(wrong(problem));
                }
                results.push(result);
            }
        }
        others.check(self, path, results.len(), "results")?;
        Ok(results)
    }

    fn result(
        &self,
        number: usize,
        record: Record,
        others: &mut OtherCategories,
    ) -> Result<Option<KeypointResult>, String> {
        let Record { image_id, category_id, keypoints, score, bbox } = record;
        let at = |field: &'static str| move |problem: String| format!("[{number}].{field}{problem}");
        let Some(category_id) = others.category(self, category_id).map_err(at("category_id"))? else {
            return Ok(None);
        };
        for (field, value) in [("image_id", &image_id), ("keypoints", &keypoints), ("score", &score)] {
            if *value == Value::Missing {
                return Err(format!("[{number}]: missing field `{field}`"));
            }
        }
        let image_id = image_id.id().map_err(at("image_id"))?;
        let keypoints = keypoints.numbers().map_err(at("keypoints"))?.unwrap_or_default();
        if keypoints.len() != 3 * self.joints() {
            return Err(wrong_length(&format!("[{number}]"), keypoints.len(), self.joints()));
        }
        if let Some(place) = keypoints.iter().position(|v| !v.is_finite()) {
            return Err(format!("[{number}].keypoints[{place}]: null or NaN, expected a number"));
        }
        let score = score.number().map_err(at("score"))?.filter(|score| !score.is_nan());
        let score = score.ok_or_else(|| format!("[{number}].score: null or NaN, expected a number"))?;
        let bbox = bbox.numbers().map_err(at("bbox"))?.unwrap_or_default();
        if !(bbox.is_empty() || bbox.len() == 4) {
            return Err(format!("[{number}]: bbox does not hold 4 numbers"));
        }
        Ok(Some(KeypointResult { image_id, category_id, keypoints, score, bbox }))
    }

    /// The people among a detector's boxes in these pictures. Boxes of other categories, of other pictures and those
    /// without extent are left out, and their number is said. A box without a category is of people.
    ///
    /// # Errors
    /// Where the file is missing or does not hold boxes, or none of its boxes can be used.
    pub fn read_boxes(&self, path: &Path) -> Result<Vec<DetectedBox>, DataError> {
        let records = read_list(path, "boxes in COCO's detection format")?;
        let all = records.len();
        let images: HashSet<&Id> = self.images.iter().map(|image| &image.id).collect();
        let (mut others, mut left_out) = (OtherCategories::default(), LeftOut::default());
        let mut boxes = Vec::with_capacity(all);
        for (number, record) in records.into_iter().enumerate() {
            let at = |field: &'static str| {
                move |problem: String| DataError::Annotation {
                    path: path.to_path_buf(),
                    problem: format!("[{number}].{field}{problem}"),
                }
            };
            let missing = |field: &str| DataError::Annotation {
                path: path.to_path_buf(),
                problem: format!("[{number}]: missing field `{field}`"),
            };
            let Record { image_id, category_id, score, bbox, .. } = record;
            let Some(category_id) = others.category(self, category_id).map_err(at("category_id"))? else { continue };
            for (field, value) in [("image_id", &image_id), ("bbox", &bbox), ("score", &score)] {
                if *value == Value::Missing {
                    return Err(missing(field));
                }
            }
            let image_id = image_id.id().map_err(at("image_id"))?;
            let place = || format!("[{number}] (picture {image_id})");
            if !images.contains(&image_id) {
                left_out.add(kinds::OTHER_PICTURE, place());
                continue;
            }
            let bbox = bbox.numbers().map_err(at("bbox"))?.and_then(|bbox| <[f64; 4]>::try_from(bbox).ok());
            let Some(bbox) = bbox.filter(|b| b.iter().all(|v| v.is_finite()) && b[2] > 0.0 && b[3] > 0.0) else {
                left_out.add(kinds::NO_EXTENT, place());
                continue;
            };
            let Some(score) = score.number().map_err(at("score"))?.filter(|score| score.is_finite()) else {
                left_out.add(kinds::NO_SCORE, place());
                continue;
            };
            boxes.push(DetectedBox { image_id, category_id, bbox, score });
        }
        others.check(self, path, boxes.len(), "boxes")?;
        if boxes.is_empty()
            && let Some(problem) = left_out.lines(all).into_iter().next()
        {
            return Err(DataError::Annotation { path: path.to_path_buf(), problem });
        }
        left_out.warn(path, all);
        Ok(boxes)
    }
}

/// Records of other categories, by category.
#[derive(Default)]
struct OtherCategories(BTreeMap<Id, usize>);

impl OtherCategories {
    /// The record's category where it is that of the annotations, which it is as well where the record has none.
    fn category(&mut self, annotations: &Annotations, value: Value) -> Result<Option<Id>, String> {
        if value.is_nothing() {
            return Ok(annotations.category.ids.first().cloned());
        }
        let id = value.id()?;
        if annotations.category.has(&id) {
            return Ok(Some(id));
        }
        *self.0.entry(id).or_default() += 1;
        Ok(None)
    }

    /// Says how many there were.
    fn check(&self, annotations: &Annotations, path: &Path, used: usize, what: &str) -> Result<(), DataError> {
        let others: usize = self.0.values().sum();
        if others == 0 {
            return Ok(());
        }
        let listed: Vec<String> = self.0.iter().take(8).map(|(id, count)| format!("{id} ({count} {what})")).collect();
        let more = if self.0.len() > 8 { ", ..." } else { "" };
        let (meant, listed) = (annotations.category.label(), listed.join(", ") + more);
        if used == 0 {
            let problem = format!("none of {others} {what} is of {meant}; they are of category {listed}");
            return Err(DataError::Annotation { path: path.to_path_buf(), problem });
        }
        let path = path.display();
        tracing::warn!(
            "{path}: {others} of {} {what} are not of {meant} and not used: category {listed}",
            others + used
        );
        Ok(())
    }
}

fn read_list(path: &Path, what: &str) -> Result<Vec<Record>, DataError> {
    files::read_json(path, &format!("expected a JSON array of {what}")).map(|List(records)| records)
}
