//! Boxes in the text files of YOLO: a file a picture, a line a box.

use std::path::{Path, PathBuf};

use super::{Extent, Found, Key};
use crate::data::DataError;

/// Values may leave 0 to 1 by as much: tools round.
const SLACK: f64 = 0.01;

/// Reads one file, whose boxes are for the picture of the same stem.
pub(super) fn read_file(path: &Path, person: i64) -> Result<Found, DataError> {
    let mut found = Found::default();
    add(path, person, &mut found)?;
    Ok(found)
}

/// Reads the files of a folder, or of the folder `labels` in it.
pub(super) fn read_folder(folder: &Path, person: i64) -> Result<Found, DataError> {
    let mut files = text_files(folder)?;
    if files.is_empty() && folder.join("labels").is_dir() {
        files = text_files(&folder.join("labels"))?;
    }
    if files.is_empty() {
        let advice = "a folder of boxes has YOLO's text files, one a picture".to_string();
        return Err(DataError::Missing { path: folder.join("*.txt"), advice });
    }
    let mut found = Found::default();
    for path in files {
        add(&path, person, &mut found)?;
    }
    Ok(found)
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

/// Adds the boxes of a file.
fn add(path: &Path, person: i64, found: &mut Found) -> Result<(), DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    for (number, line) in String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let place = format!("{stem}.txt, line {}", number + 1);
        match parse(line) {
            Ok((class, ..)) if class != person as f64 => {
                *found.others.entry(format!("class {class}")).or_default() += 1;
            }
            Ok((_, [cx, cy, width, height], score)) => {
                let extent = Extent::Shares([cx - width / 2.0, cy - height / 2.0, width, height]);
                found.take(&place, Key::Name(stem.to_string()), Some(extent), score, None);
            }
            Err(problem) => found.leave_out(format!("{place}: {problem}")),
        }
    }
    Ok(())
}

/// Class, box and confidence of a line.
fn parse(line: &str) -> Result<(f64, [f64; 4], Option<f64>), String> {
    let numbers: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
    let expected = "expected `class cx cy width height [confidence]`";
    let numbers = numbers.map_err(|_| format!("not only numbers; {expected}"))?;
    let (class, place, score) = match *numbers.as_slice() {
        [class, cx, cy, width, height] => (class, [cx, cy, width, height], None),
        // A tracker's number may follow the confidence.
        [class, cx, cy, width, height, score] | [class, cx, cy, width, height, score, _] => {
            (class, [cx, cy, width, height], Some(score))
        }
        // Joints of x, y and visibility follow the box. Outlines have an odd number.
        [class, cx, cy, width, height, ..] if numbers.len() % 2 == 0 && (numbers.len() - 5).is_multiple_of(3) => {
            (class, [cx, cy, width, height], None)
        }
        _ => return Err(format!("{} numbers; {expected}", numbers.len())),
    };
    if place.iter().any(|value| value.abs() > 1.0 + SLACK) {
        return Err(format!("a value is more than 1, and these are shares of the picture's size; {expected}"));
    }
    Ok((class, place, score))
}
