//! Which pictures are meant, and under which names their drawings are kept.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use image::RgbImage;
use thiserror::Error;

use crate::data::decode::{DecodeError, ExifOrientation, FileKind, HEAD, LONGEST_FILE, decode_picture};

/// Ends of the names of pictures: a file so called is meant as one, whatever it holds. Others of a folder are looked
/// into.
const EXTENSIONS: [&str; 13] =
    ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "dib", "tif", "tiff", "gif", "mpo", "heic"];

/// What stands for standard input among the arguments.
pub const STANDARD_INPUT: &str = "-";

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
    #[error("{} has no pictures{hint}", path.display())]
    Empty {
        /// The folder or pattern.
        path: PathBuf,
        /// What else is there.
        hint: String,
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

/// What the arguments name.
#[derive(Debug, Default)]
pub struct FoundPictures {
    /// The pictures in order, each path once.
    pub paths: Vec<PathBuf>,
    /// Paths that were named again.
    pub again: usize,
    /// Videos in folders, which are left out.
    pub videos: Vec<PathBuf>,
}

/// The files that the arguments name: a file itself, a folder's pictures in the order of their names (not those of
/// folders inside it), and the files that match a pattern with `*`, `?` or `[...]`. What exists is not taken for a
/// pattern. [`STANDARD_INPUT`] stays as it is.
///
/// A folder's pictures are files whose names end as pictures' do, and others that hold one. What macOS keeps beside files
/// on foreign disks (`._x.jpg`) is none.
///
/// # Errors
/// [`PicturesError`], for the first argument that names nothing.
pub fn find(arguments: &[PathBuf]) -> Result<FoundPictures, PicturesError> {
    let mut found = FoundPictures::default();
    let mut seen = HashSet::new();
    for path in arguments {
        let read = |error| PicturesError::Read { path: path.clone(), error };
        if path.as_os_str() == STANDARD_INPUT {
            found.add(path.clone(), &mut seen);
            continue;
        }
        let pattern = || path.to_str().filter(|text| text.contains(['*', '?', '[']));
        let files: Vec<PathBuf> = match (std::fs::metadata(path), pattern()) {
            (Ok(data), _) if data.is_dir() => {
                let entries = std::fs::read_dir(path).map_err(read)?;
                entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(read)?
            }
            (Ok(_), _) => {
                found.add(path.clone(), &mut seen);
                continue;
            }
            (Err(_), Some(pattern)) => {
                let matches =
                    glob::glob(pattern).map_err(|error| PicturesError::Pattern { pattern: pattern.into(), error })?;
                matches.filter_map(Result::ok).collect()
            }
            (Err(error), None) => return Err(read(error)),
        };
        let (count, folders) = (files.len(), files.iter().filter(|path| path.is_dir()).count());
        let (mut pictures, videos) = sorted_out(files);
        if pictures.is_empty() {
            let hint = match (count, videos.len(), folders) {
                (0, ..) => String::new(),
                (_, 0, 0) => ": none of the files in it is one".into(),
                (_, 0, _) => format!(
                    "; folders inside it are not looked into ({folders} here): name them, or give '{}'",
                    path.join("**/*").display()
                ),
                (_, videos, _) => format!(", but {videos} videos, which are done one at a time: name one"),
            };
            return Err(PicturesError::Empty { path: path.clone(), hint });
        }
        pictures.sort();
        pictures.into_iter().for_each(|picture| found.add(picture, &mut seen));
        found.videos.extend(videos);
    }
    Ok(found)
}

impl FoundPictures {
    fn add(&mut self, path: PathBuf, seen: &mut HashSet<PathBuf>) {
        let place = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        if seen.insert(place) { self.paths.push(path) } else { self.again += 1 }
    }
}

/// The pictures and the videos among files.
fn sorted_out(paths: Vec<PathBuf>) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut pictures, mut videos) = (Vec::new(), Vec::new());
    for path in paths {
        if !path.is_file() {
            tracing::info!("{} is not a file: left out", path.display());
            continue;
        }
        let known = |end: &OsStr| EXTENSIONS.iter().any(|known| end.eq_ignore_ascii_case(known));
        let named = path.extension().is_some_and(known);
        let beside = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"._"));
        let kind = if named && !beside { None } else { kind_of(&path).ok() };
        match kind {
            None if named => pictures.push(path),
            Some(kind) if kind.is_picture() => pictures.push(path),
            Some(FileKind::Video) => videos.push(path),
            _ => tracing::info!("{} is not a picture: left out", path.display()),
        }
    }
    (pictures, videos)
}

/// What a file is by its first bytes.
///
/// # Errors
/// What the system says.
pub fn kind_of(path: &Path) -> std::io::Result<FileKind> {
    let mut head = Vec::with_capacity(HEAD);
    File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(FileKind::of(&head))
}

/// Why a picture's file gives no picture.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// It cannot be decoded.
    #[error("{0}")]
    Decode(#[from] DecodeError),
}

/// Reads and decodes the picture of a file, or of standard input for [`STANDARD_INPUT`]. Of what is no picture only the
/// first bytes are read.
///
/// # Errors
/// [`OpenError`].
pub fn open(path: &Path, turned: ExifOrientation) -> Result<RgbImage, OpenError> {
    if path.as_os_str() == STANDARD_INPUT {
        read_from(std::io::stdin().lock(), turned)
    } else {
        read_from(File::open(path)?, turned)
    }
}

fn read_from(mut file: impl Read, turned: ExifOrientation) -> Result<RgbImage, OpenError> {
    let mut bytes = Vec::new();
    (&mut file).take(HEAD as u64).read_to_end(&mut bytes)?;
    if matches!(FileKind::of(&bytes), FileKind::Picture(_)) {
        file.take(LONGEST_FILE).read_to_end(&mut bytes)?;
    }
    Ok(decode_picture(&bytes, turned)?)
}

/// A name for the drawing of each picture, without extension: the picture's own, with a number where an earlier one
/// has it already. Names that differ in capitals alone are one, as they are on some disks.
pub fn stems(pictures: &[PathBuf]) -> Vec<OsString> {
    let mut taken = HashSet::new();
    let mut next: HashMap<OsString, usize> = HashMap::new();
    let mut name = |path: &PathBuf| {
        let standard_input = path.as_os_str() == STANDARD_INPUT;
        let stem = if standard_input { OsStr::new("stdin") } else { path.file_stem().unwrap_or_default() };
        let mut name = stem.to_os_string();
        let number = next.entry(stem.to_ascii_lowercase()).or_insert(2);
        while !taken.insert(name.to_ascii_lowercase()) {
            name = stem.to_os_string();
            name.push(format!("_{number}"));
            *number += 1;
        }
        name
    };
    pictures.iter().map(&mut name).collect()
}

/// A path for messages and tables: what would break a line is written as an escape.
pub fn shown(path: &Path) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    path.to_string_lossy().chars().map(escaped).collect()
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
        let files: [(&str, &[u8]); 8] = [
            ("b.JPG", b""),
            ("a.png", b""),
            ("c.jpeg", b""),
            ("notes.txt", b"text"),
            ("scan", b"\xff\xd8\xff\xe0"),
            ("._a.png", b"\0\x05\x16\x07\0\x02"),
            ("clip.mp4", b"\0\0\0\x20ftypisom"),
            (".DS_Store", b"\0\0\0\x01Bud1"),
        ];
        for (name, bytes) in files {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        let names = |argument: &str| {
            find(&[folder.join(argument)]).map(|paths| -> Vec<String> {
                paths
                    .paths
                    .iter()
                    .map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
                    .collect()
            })
        };
        assert_eq!(names("").unwrap(), ["a.png", "b.JPG", "c.jpeg", "scan"]);
        let twice = find(&[folder.join("a.png"), folder.clone()]).unwrap();
        assert_eq!((twice.paths.len(), twice.again, twice.videos.len()), (4, 1, 1));
        assert_eq!(names("[ab].*").unwrap(), ["a.png", "b.JPG"]);
        assert_eq!(names("notes.txt").unwrap(), ["notes.txt"], "what is named is meant");
        assert!(names("inner.png").unwrap_err().to_string().contains("has no pictures"));
        assert!(names("*.gif").unwrap_err().to_string().contains("has no pictures"));
        assert!(names("*.mp4").unwrap_err().to_string().contains("1 videos"));
        std::fs::write(folder.join("x[1].png"), "").unwrap();
        assert_eq!(names("x[1].png").unwrap(), ["x[1].png"], "what exists is no pattern");
        assert!(names("none.png").unwrap_err().to_string().contains("cannot read"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn pictures_of_one_name_have_drawings_of_different_names() {
        let pictures = ["a/x.jpg", "b/X.jpg", "x_2.png", "y.png", "-"].map(PathBuf::from);
        assert_eq!(stems(&pictures), ["x", "X_2", "x_2_2", "y", "stdin"]);
    }

    #[test]
    fn a_number_is_read_from_the_end_of_a_name() {
        assert_eq!(coco_number(Path::new("val2017/000000000785.jpg")), Some(785));
        assert_eq!(coco_number(Path::new("COCO_val2014_000000000042.jpg")), Some(42));
        assert_eq!(coco_number(Path::new("street.jpg")), None);
    }
}
