//! The annotations of the public HRNet code: a JSON array of people.

use super::super::skeleton::MPII;
use super::super::{DataError, files};
use super::person::{AnnotatedPerson, joint};
use serde::Deserialize;
use std::path::Path;

const ADVICE: &str = "expected train.json or valid.json of the public HRNet code's MPII annotations";

/// A person; pixels are 1-based.
#[derive(Deserialize)]
struct Record {
    image: String,
    center: [f64; 2],
    /// In units of 200 pixels.
    scale: f64,
    joints: Vec<[f64; 2]>,
    /// 1 where a joint is labelled, else 0.
    joints_vis: Vec<f64>,
}

/// The people of a file.
///
/// # Errors
/// Where the file is missing or not what it should be; the message names the record.
pub fn read(path: &Path) -> Result<Vec<AnnotatedPerson>, DataError> {
    let records: Vec<Record> = files::read_json(path, ADVICE)?;
    let person = |(number, record): (usize, Record)| {
        let Record { image, center, scale, joints, joints_vis } = record;
        for (key, found) in [("joints", joints.len()), ("joints_vis", joints_vis.len())] {
            if found != MPII.joints.len() {
                let problem = format!("[{number}] ({image}): {found} entries in `{key}`, expected 16");
                return Err(DataError::Annotation { path: path.to_path_buf(), problem });
            }
        }
        let joints = joints.into_iter().zip(joints_vis);
        let joints = joints.map(|(place, flag)| joint(place, flag > 0.0, flag > 0.0)).collect();
        Ok(AnnotatedPerson::new(image, joints, center, scale, None))
    };
    records.into_iter().enumerate().map(person).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: usize) -> String {
        let flags = [vec![1; 15], vec![0; count - 15]].concat();
        let record = serde_json::json!({
            "image": "a.jpg", "center": [101.0, 201.0], "scale": 2.0,
            "joints": vec![[11.0, 21.0]; 16], "joints_vis": flags,
        });
        serde_json::json!([record]).to_string()
    }

    #[test]
    fn boxes_are_moved_and_grown_and_pixels_become_0_based() {
        let path = std::env::temp_dir().join(format!("ditn-mpii-{}.json", std::process::id()));
        std::fs::write(&path, records(16)).expect("the temporary folder is writable");
        let people = read(&path).expect("the file is whole");
        assert_eq!((people[0].center, people[0].scale), ([100.0, 230.0], 2.5));
        assert_eq!((people[0].joints[0].x, people[0].joints[0].y), (10.0, 20.0));
        assert_eq!((people[0].joints[14].labelled, people[0].joints[15].labelled), (true, false));
        std::fs::write(&path, records(17)).expect("the temporary folder is writable");
        let message = read(&path).expect_err("a flag too many").to_string();
        assert!(message.contains("[0] (a.jpg): 17 entries in `joints_vis`"), "{message}");
        std::fs::remove_file(&path).ok();
    }
}
