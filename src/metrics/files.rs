//! Scores from files alone: a data set's annotations and someone's results, as the public tools read them.

use super::oks::{self, OksScores};
use super::{MetricError, Pck, PckScores, Pckh, PckhScores};
use crate::data::coco::{Annotations, Id};
use crate::data::leeds::{self, LeedsSplit};
use crate::data::mpii::truth;
use crate::data::{DataError, Joint, SkeletonTable, files};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Why files could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file is missing or not what it should be.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The results are of other people than the annotations.
    #[error("{}: {found} people where the annotations have {expected}{}", path.display(), advice(*found, *expected))]
    People {
        /// The results.
        path: PathBuf,
        /// People in the results.
        found: usize,
        /// People in the annotations.
        expected: usize,
    },
    /// A person cannot be scored.
    #[error("{}: [{person}]: {source}", path.display())]
    Metric {
        /// The results.
        path: PathBuf,
        /// The person's number, from 0.
        person: usize,
        /// Why not.
        source: MetricError,
    },
}

fn advice(found: usize, expected: usize) -> &'static str {
    if found < expected { "; name how many were evaluated with --people" } else { "" }
}

/// PCKh of results on MPII's validation people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MpiiScores {
    /// At half the head size.
    #[serde(rename = "pckh@0.5")]
    pub half: PckhScores,
    /// At a tenth.
    #[serde(rename = "pckh@0.1")]
    pub tenth: PckhScores,
    /// At 0.11, which the public HRNet code prints as `@0.1`.
    #[serde(rename = "pckh@0.11")]
    pub eleventh: PckhScores,
    /// Threshold and weighted mean at 0, 0.01, ... 0.5.
    pub curve: Vec<[f64; 2]>,
}

/// PCK of results on the test people of Leeds Sports Pose.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LspScores {
    /// At a fifth of the torso.
    #[serde(rename = "pck@0.2")]
    pub fifth: PckScores,
    /// Threshold and mean at 0, 0.01, ... 0.5.
    pub curve: Vec<[f64; 2]>,
}

/// Scores \[people\]\[16\]\[x, y\] in 1-based pixels against `gt_valid.mat`: all of its people, or the first `people`.
///
/// # Errors
/// Files that are missing or broken, another number of people.
pub fn score_mpii(truth: &Path, results: &Path, people: Option<usize>) -> Result<MpiiScores, FilesError> {
    let truth = truth::read(truth)?;
    let mut pckh = Pckh::default();
    let poses = poses(results, people.unwrap_or(truth.len()))?;
    for (person, (truth, pose)) in truth.iter().zip(poses).enumerate() {
        let pose: Vec<[f32; 2]> = pose.iter().map(|place| place.map(|v| (v - 1.0) as f32)).collect();
        pckh.add(&truth.joints, truth.head_size, &pose).map_err(|source| FilesError::Metric {
            path: results.to_path_buf(),
            person,
            source,
        })?;
    }
    Ok(MpiiScores { half: pckh.at(0.5), tenth: pckh.at(0.1), eleventh: pckh.at(0.11), curve: pckh.curve() })
}

/// Scores \[people\]\[14\]\[x, y\], in the coordinates of `joints.mat`, against people 1001 to 2000 of that file, or against
/// the first `people` of them.
///
/// # Errors
/// Files that are missing or broken, another number of people.
pub fn score_lsp(truth: &Path, results: &Path, people: Option<usize>) -> Result<LspScores, FilesError> {
    let truth: Vec<Vec<Joint>> = leeds::read_joints(truth, LeedsSplit::Test)?;
    let mut pck = Pck::default();
    let poses = poses(results, people.unwrap_or(truth.len()))?;
    for (person, (truth, pose)) in truth.iter().zip(poses).enumerate() {
        let pose: Vec<[f32; 2]> = pose.iter().map(|place| place.map(|v| v as f32)).collect();
        pck.add(truth, &pose).map_err(|source| FilesError::Metric { path: results.to_path_buf(), person, source })?;
    }
    Ok(LspScores { fifth: pck.at(0.2), curve: pck.curve() })
}

/// Scores results in COCO's format against a file of annotations such as `person_keypoints_*.json`.
///
/// # Errors
/// Files that are missing or broken, results for other pictures.
pub fn score_coco(truth: &Path, results: &Path) -> Result<OksScores, FilesError> {
    score_coco_with(truth, results, None, None)
}

/// As [`score_coco`], for the category of this number or name, by sigmas and joints of which `skeleton` says a part.
///
/// # Errors
/// As [`score_coco`], and where there is no such category or the skeleton does not fit.
pub fn score_coco_with(
    truth: &Path,
    results: &Path,
    category: Option<&Id>,
    skeleton: Option<&SkeletonTable>,
) -> Result<OksScores, FilesError> {
    let truth = Annotations::read_with(truth, category, skeleton)?;
    Ok(oks::evaluate(&truth, &truth.read_results(results)?))
}

/// \[people\]\[joints\]\[x, y\]; a score behind them is not looked at.
fn poses(path: &Path, expected: usize) -> Result<Vec<Vec<[f64; 2]>>, FilesError> {
    let poses: Vec<Vec<Vec<f64>>> = files::read_json(path, "expected a JSON array [people][joints][x, y]")?;
    if poses.len() != expected {
        return Err(FilesError::People { path: path.to_path_buf(), found: poses.len(), expected });
    }
    let place = |(person, joint): (usize, usize), numbers: Vec<f64>| match numbers.as_slice() {
        &[x, y] | &[x, y, _] => Ok([x, y]),
        _ => Err(DataError::Annotation {
            path: path.to_path_buf(),
            problem: format!("[{person}][{joint}]: {} numbers, expected [x, y] or [x, y, score]", numbers.len()),
        }),
    };
    let pose = |(person, pose): (usize, Vec<Vec<f64>>)| {
        pose.into_iter().enumerate().map(|(joint, numbers)| place((person, joint), numbers)).collect()
    };
    Ok(poses.into_iter().enumerate().map(pose).collect::<Result<_, DataError>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file beside tests/oks/, which tools/oks_cases.py made.
    fn case(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oks").join(name)
    }

    #[test]
    fn random_people_score_what_pycocotools_says() {
        let ours = score_coco(&case("truth.json"), &case("results.json")).expect("the case is whole");
        let ours = serde_json::to_value(ours).expect("scores are numbers");
        let expected: serde_json::Value = files::read_json(&case("pycocotools.json"), "").expect("the case is whole");
        for (name, expected) in expected.as_object().expect("it holds ten scores") {
            let (ours, expected) = (ours[name].as_f64(), expected.as_f64().expect("it is a number"));
            assert!(ours.is_some_and(|ours| (ours - expected).abs() < 1e-9), "{name}: {ours:?}, not {expected}");
        }
    }

    #[test]
    fn wrong_results_are_named_by_file_and_record() {
        let path = std::env::temp_dir().join(format!("ditn-results-{}.json", std::process::id()));
        let message = |text: &str| {
            std::fs::write(&path, text).expect("the temporary folder is writable");
            score_coco(&case("truth.json"), &path).expect_err("it is wrong").to_string()
        };
        let result = |image: u64, joints: usize| {
            let keypoints = vec![1.0; 3 * joints];
            serde_json::json!([{"image_id": image, "category_id": 1, "keypoints": keypoints, "score": 1}]).to_string()
        };
        assert!(message(&result(12_345, 17)).contains("[0].image_id: 12345 is not a picture"));
        assert!(message(&result(1, 16)).contains("[0]: 48 numbers in keypoints, expected 51"));
        assert!(message("[{\"image_id\": 1}]").contains("[0]: missing field `keypoints`"));
        assert!(message("{}").contains(&path.display().to_string()));
        std::fs::remove_file(&path).ok();
    }
}
