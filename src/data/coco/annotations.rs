//! COCO's files: annotations (`person_keypoints_*.json`), detected boxes, and keypoint results as the evaluation server
//! takes them. Coordinates are pixels from the picture's upper left, as they stand in the files.

use super::super::{DataError, files, skeleton::COCO};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// The category of people.
pub const PERSON: u64 = 1;

const ADVICE: &str = "expected person_keypoints_*.json of COCO 2017 (annotations_trainval2017.zip at \
                      https://cocodataset.org/#download)";

/// The pictures of a split and the people in them.
#[derive(Clone, Debug, Deserialize)]
pub struct Annotations {
    /// Every picture, those without people included.
    pub images: Vec<Image>,
    /// Every person, crowds included.
    #[serde(rename = "annotations")]
    pub people: Vec<LabelledPerson>,
}

/// A picture.
#[derive(Clone, Debug, Deserialize)]
pub struct Image {
    /// Number that people refer to.
    pub id: u64,
    /// Name in the folder of pictures.
    pub file_name: String,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// A person, or a crowd, in a picture.
#[derive(Clone, Debug, Deserialize)]
pub struct LabelledPerson {
    /// Number of the annotation.
    pub id: u64,
    /// The picture.
    pub image_id: u64,
    /// [`PERSON`], or what is to be left out.
    pub category_id: u64,
    /// Left, top, width, height.
    pub bbox: [f64; 4],
    /// Area of the person's outline in square pixels.
    pub area: f64,
    /// 1 for a crowd, else 0.
    #[serde(default)]
    pub iscrowd: u8,
    /// x, y and flag of each of the 17 joints; the flag is 0 unlabelled, 1 hidden, 2 visible.
    pub keypoints: Vec<f64>,
    /// How many of them are labelled.
    pub num_keypoints: u32,
}

/// A person found in a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeypointResult {
    /// The picture.
    pub image_id: u64,
    /// [`PERSON`].
    pub category_id: u64,
    /// x, y and score of each of the 17 joints.
    pub keypoints: Vec<f64>,
    /// How sure the finding is; only the order counts.
    pub score: f64,
    /// Left, top, width, height; may be left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bbox: Vec<f64>,
}

/// A box that a detector found.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct DetectedBox {
    /// The picture.
    pub image_id: u64,
    /// What was found; only [`PERSON`] is of use here.
    pub category_id: u64,
    /// Left, top, width, height.
    pub bbox: [f64; 4],
    /// How sure the detector is, from 0 to 1.
    pub score: f64,
}

impl Annotations {
    /// Reads the annotations of a split.
    ///
    /// # Errors
    /// Where the file is missing or is not COCO's: the message names the record.
    pub fn read(path: &Path) -> Result<Annotations, DataError> {
        let annotations: Annotations = files::read_json(path, ADVICE)?;
        let wrong = |problem| DataError::Annotation { path: path.to_path_buf(), problem };
        let images = annotations.images_by_id();
        for (record, person) in annotations.people.iter().enumerate() {
            let place = format!("annotations[{record}] (id {})", person.id);
            check_keypoints(&place, &person.keypoints).map_err(wrong)?;
            if !images.contains_key(&person.image_id) {
                return Err(wrong(format!("{place}: image_id {} is not among the images", person.image_id)));
            }
        }
        Ok(annotations)
    }

    /// Where each picture stands in `images`.
    pub fn images_by_id(&self) -> HashMap<u64, usize> {
        self.images.iter().enumerate().map(|(index, image)| (image.id, index)).collect()
    }

    /// The results of a file for these pictures.
    ///
    /// # Errors
    /// Where the file is missing or is not a results file, or has a picture that is not among these.
    pub fn read_results(&self, path: &Path) -> Result<Vec<KeypointResult>, DataError> {
        let results: Vec<KeypointResult> =
            files::read_json(path, "expected a JSON array of results in COCO's keypoint format")?;
        let images = self.images_by_id();
        for (record, result) in results.iter().enumerate() {
            let place = format!("[{record}]");
            let bbox_fits = result.bbox.is_empty() || result.bbox.len() == 4;
            check_keypoints(&place, &result.keypoints)
                .and_then(|()| if bbox_fits { Ok(()) } else { Err(format!("{place}: bbox does not hold 4 numbers")) })
                .and_then(|()| check_image(&place, result.image_id, &images))
                .map_err(|problem| DataError::Annotation { path: path.to_path_buf(), problem })?;
        }
        Ok(results)
    }

    /// The people among a detector's boxes in these pictures; other categories are left out.
    ///
    /// # Errors
    /// Where the file is missing or does not hold boxes, or has a picture that is not among these.
    pub fn read_boxes(&self, path: &Path) -> Result<Vec<DetectedBox>, DataError> {
        let mut boxes: Vec<DetectedBox> =
            files::read_json(path, "expected a JSON array of boxes in COCO's detection format")?;
        boxes.retain(|found| found.category_id == PERSON);
        let images = self.images_by_id();
        for (record, found) in boxes.iter().enumerate() {
            check_image(&format!("person {record}"), found.image_id, &images)
                .map_err(|problem| DataError::Annotation { path: path.to_path_buf(), problem })?;
        }
        Ok(boxes)
    }
}

fn check_keypoints(place: &str, keypoints: &[f64]) -> Result<(), String> {
    let expected = 3 * COCO.joints.len();
    if keypoints.len() == expected {
        return Ok(());
    }
    Err(format!("{place}: {} numbers in keypoints, expected {expected}: x, y and flag of 17 joints", keypoints.len()))
}

fn check_image(place: &str, id: u64, images: &HashMap<u64, usize>) -> Result<(), String> {
    if images.contains_key(&id) {
        return Ok(());
    }
    Err(format!("{place}: image_id {id} is not a picture of the annotations"))
}
