//! Boxes in the text files of YOLO: a file a picture, a line a box.

use std::path::{Path, PathBuf};

use super::{Extent, Found, Key};
use crate::data::DataError;

/// Values may leave 0 to 1 by as much: tools round.
const SLACK: f64 = 0.01;

/// Reads one file, whose boxes are for the picture of the same stem.
pub(super) fn read_file(path: &Path, person: i64) -> Result<Result<Found, String>, DataError> {
    let mut found = Found::default();
    Ok(add(path, person, &mut found)?.map(|()| found))
}

/// Reads the files of a folder, or of the folder `labels` in it.
pub(super) fn read_folder(folder: &Path, person: i64) -> Result<Result<Found, String>, DataError> {
    let mut files = text_files(folder)?;
    if files.is_empty() && folder.join("labels").is_dir() {
        files = text_files(&folder.join("labels"))?;
    }
    if files.is_empty() {
        return Ok(Err("the folder has no .txt file".into()));
    }
    let mut found = Found::default();
    for path in files {
        if let Err(problem) = add(&path, person, &mut found)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(Err(format!("{name}: {problem}")));
        }
    }
    Ok(Ok(found))
}

fn text_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let error = |source| DataError::Read { path: folder.to_path_buf(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Names of the classes, and what macOS stores beside files.
        let other = ["classes.txt", "obj.names", "train.txt", "val.txt", "test.txt"].contains(&&*name);
        if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("txt")) && !other && !name.starts_with("._") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn add(path: &Path, person: i64, found: &mut Found) -> Result<Result<(), String>, DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    for (number, line) in String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').lines().enumerate() {
        let values: Vec<&str> = line.split_whitespace().collect();
        if values.is_empty() {
            continue;
        }
        let numbers: Option<Vec<f64>> = values.iter().map(|value| value.parse().ok()).collect();
        let form = |problem: &str| {
            Ok(Err(format!("line {}: {problem}; expected `class cx cy width height [confidence]`", number + 1)))
        };
        let Some(numbers) = numbers else { return form("not only numbers") };
        let (class, [cx, cy, width, height], score) = match *numbers.as_slice() {
            [class, cx, cy, width, height] => (class, [cx, cy, width, height], None),
            // A tracker's number may follow the confidence.
            [class, cx, cy, width, height, score] | [class, cx, cy, width, height, score, _] => {
                (class, [cx, cy, width, height], Some(score))
            }
            // Joints of x, y and visibility follow the box.
            [class, cx, cy, width, height, ..] if numbers.len() % 2 == 0 && (numbers.len() - 5).is_multiple_of(3) => {
                (class, [cx, cy, width, height], None)
            }
            _ => return form(&format!("{} numbers", numbers.len())),
        };
        if class != person as f64 {
            *found.others.entry(format!("class {class}")).or_default() += 1;
            continue;
        }
        if [cx, cy, width, height].iter().any(|v| v.abs() > 1.0 + SLACK) {
            return form("a value is more than 1, and these are shares of the picture's size");
        }
        let extent = Extent::Shares([cx - width / 2.0, cy - height / 2.0, width, height]);
        found.take(Key::Name(stem.clone()), Some(extent), score, None);
    }
    Ok(Ok(()))
}
