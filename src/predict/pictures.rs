//! Which pictures are meant, and under which names their drawings are kept.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Ends of the names of files that a folder is searched for.
const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// Arguments that name no picture.
#[derive(Debug, Error)]
pub enum PicturesError {
    /// There is no such file or folder, or it cannot be looked into.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A folder or pattern without pictures.
    #[error("{} has no pictures (.jpg, .jpeg or .png)", path.display())]
    Empty {
        /// The folder or pattern.
        path: PathBuf,
    },
    /// A pattern that is not one.
    #[error("{pattern}: {error}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        error: glob::PatternError,
    },
}

/// The files that the arguments name: a file itself, a folder's pictures in the order of their names (not those of
/// folders inside it), and the files that match a pattern with `*`, `?` or `[...]`.
///
/// # Errors
/// [`PicturesError`], for the first argument that names nothing.
pub fn find(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, PicturesError> {
    let mut found = Vec::new();
    for path in arguments {
        let read = |error| PicturesError::Read { path: path.clone(), error };
        let before = found.len();
        match (std::fs::metadata(path), path.to_str().filter(|text| text.contains(['*', '?', '[']))) {
            (Ok(data), _) if data.is_dir() => {
                for entry in std::fs::read_dir(path).map_err(read)? {
                    found.push(entry.map_err(read)?.path());
                }
                found.splice(before.., pictures_of(found[before..].to_vec()));
            }
            (Err(_), Some(pattern)) => {
                let matches =
                    glob::glob(pattern).map_err(|error| PicturesError::Pattern { pattern: pattern.into(), error })?;
                found.extend(pictures_of(matches.filter_map(Result::ok).collect()));
            }
            (Ok(_), _) => found.push(path.clone()),
            (Err(error), None) => return Err(read(error)),
        }
        if found.len() == before {
            return Err(PicturesError::Empty { path: path.clone() });
        }
    }
    Ok(found)
}

/// Those of the paths whose names are pictures', in order.
fn pictures_of(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let known = |end: &OsStr| EXTENSIONS.iter().any(|known| end.eq_ignore_ascii_case(known));
    paths.retain(|path| path.extension().is_some_and(known) && path.is_file());
    paths.sort();
    paths
}

/// A name for the drawing of each picture, without extension: the picture's own, with a number where an earlier one
/// has it already.
pub fn stems(pictures: &[PathBuf]) -> Vec<String> {
    let mut taken = HashSet::new();
    let name = |path: &PathBuf| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let numbered = (2..).map(|number| format!("{stem}_{number}"));
        // Not every name of an endless row of them is taken.
        std::iter::once(stem.clone()).chain(numbered).find(|name| taken.insert(name.clone())).unwrap_or(stem)
    };
    pictures.iter().map(name).collect()
}

/// COCO's number of a picture: the digits at the end of its name, as in `000000000785.jpg` or
/// `COCO_val2014_000000000042.jpg`.
pub fn coco_number(picture: &Path) -> Option<u64> {
    let stem = picture.file_stem()?.to_str()?;
    stem[stem.trim_end_matches(|c: char| c.is_ascii_digit()).len()..].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_patterns_name_pictures_in_order() {
        let folder = std::env::temp_dir().join(format!("ditn-pictures-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("inner.png")).unwrap();
        for name in ["b.JPG", "a.png", "c.jpeg", "notes.txt"] {
            std::fs::write(folder.join(name), "").unwrap();
        }
        let names = |argument: &str| {
            find(&[folder.join(argument)]).map(|paths| -> Vec<String> {
                paths.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect()
            })
        };
        assert_eq!(names("").unwrap(), ["a.png", "b.JPG", "c.jpeg"]);
        assert_eq!(names("[ab].*").unwrap(), ["a.png", "b.JPG"]);
        assert_eq!(names("notes.txt").unwrap(), ["notes.txt"], "what is named is meant");
        assert!(names("inner.png").unwrap_err().to_string().contains("has no pictures"));
        assert!(names("*.gif").unwrap_err().to_string().contains("has no pictures"));
        assert!(names("none.png").unwrap_err().to_string().contains("cannot read"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn pictures_of_one_name_have_drawings_of_different_names() {
        let pictures = ["a/x.jpg", "b/x.jpg", "x_2.png", "y.png"].map(PathBuf::from);
        assert_eq!(stems(&pictures), ["x", "x_2", "x_2_2", "y"]);
    }

    #[test]
    fn a_number_is_read_from_the_end_of_a_name() {
        assert_eq!(coco_number(Path::new("val2017/000000000785.jpg")), Some(785));
        assert_eq!(coco_number(Path::new("COCO_val2014_000000000042.jpg")), Some(42));
        assert_eq!(coco_number(Path::new("street.jpg")), None);
    }
}
