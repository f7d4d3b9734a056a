//! The poses of an evaluation as the public tools read them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::data::coco::{Coco, Detection, Id, KeypointResult};
use crate::data::crop::Crop;
use crate::data::skeleton::MPII;
use crate::data::{DataError, Dataset, Size, Skeleton};
use crate::files::write_atomically;
use crate::metrics::suppression::{FoundPerson, rescored, survivors};
use crate::predict::Pose;

/// What a results file holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Results {
    /// \[people\]\[joints\]\[x, y\]: 1-based pixels for MPII's skeleton, those of the annotations for LSP's.
    Joints(Vec<Vec<[f64; 2]>>),
    /// COCO's results format.
    Coco(Vec<KeypointResult>),
}

impl Results {
    /// Poses joint by joint.
    pub fn of_poses(poses: &[Pose], skeleton: &Skeleton) -> Results {
        let first = if *skeleton == **MPII { 1.0 } else { 0.0 };
        let joints = |pose: &Pose| pose.iter().map(|k| [k.x, k.y].map(|v| f64::from(v) + first)).collect();
        Results::Joints(poses.iter().map(joints).collect())
    }

    /// Writes the file as a whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        write_atomically(path, text.as_bytes())
    }
}

/// Poses of the first people of a set, rescored by their joints, without those that are nearly the same as a surer one in
/// their picture.
///
/// # Errors
/// More poses than people.
pub fn coco_results(coco: &Coco, poses: &[Pose], input: Size) -> Result<Vec<KeypointResult>, DataError> {
    let sigmas = &coco.skeleton().sigmas;
    let mut pictures: BTreeMap<&Id, (Vec<FoundPerson>, Vec<&Id>)> = BTreeMap::new();
    for (index, pose) in poses.iter().enumerate() {
        let person = coco.annotation(0, index)?;
        let Some(Detection { image_id, category_id, score }) = coco.detection(index) else { continue };
        let [width, height] = Crop::new(person.center, person.scale, input).size;
        let keypoints: Vec<[f32; 3]> = pose.iter().map(|k| [k.x, k.y, k.score]).collect();
        let score = rescored(score, &keypoints);
        let (people, categories) = pictures.entry(image_id).or_default();
        people.push(FoundPerson { keypoints, score, area: width * height });
        categories.push(category_id);
    }
    let results = pictures.into_iter().flat_map(|(image_id, (people, categories))| {
        let result = |kept: usize| KeypointResult {
            image_id: image_id.clone(),
            category_id: categories[kept].clone(),
            keypoints: people[kept].keypoints.as_flattened().iter().map(|v| f64::from(*v)).collect(),
            score: people[kept].score,
            bbox: Vec::new(),
        };
        survivors(&people, sigmas).into_iter().map(result).collect::<Vec<_>>()
    });
    Ok(results.collect())
}
