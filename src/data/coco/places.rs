//! Where the pictures of a file of annotations lie: each tool has a layout of its own, and writes other names.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use image::RgbImage;

use super::super::pictures::Pictures;
use super::super::{DataError, Size};
use super::annotations::Image;

/// The folders and zip files in which pictures are looked for, in this order.
pub(super) struct Places {
    places: Vec<Pictures>,
    /// Ends of names that several pictures share: `1.jpg` of `a/1.jpg` and `b/1.jpg`.
    shared: HashSet<String>,
}

impl Places {
    /// The places around a file of annotations: a folder or zip file named like its split (what follows the last `_` of
    /// its name) or that folder inside `images`, `images` itself, and the folder of the file; then the same beside it.
    ///
    /// `roots` are searched before them, `first` before all.
    ///
    /// # Errors
    /// Where there is no place at all, or none but the folders themselves and the first picture is not in them. `advice`
    /// says where to get the pictures.
    pub fn around(
        file: &Path,
        roots: &[&Path],
        first: Option<&Path>,
        images: &[Image],
        advice: &str,
    ) -> Result<Places, DataError> {
        let split = split_of(file);
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut around: Vec<PathBuf> = roots.iter().map(|root| root.to_path_buf()).collect();
        around.extend([folder.to_path_buf(), folder.parent().unwrap_or(folder).to_path_buf()]);
        let inside = ["", "images"].map(|inside| Path::new(inside).join(&split));
        let named = around.iter().flat_map(|folder| inside.iter().map(|inside| folder.join(inside)));
        let mut named: Vec<PathBuf> = first.map(Path::to_path_buf).into_iter().chain(named).collect();
        let general = around.iter().map(|folder| folder.join("images")).chain(around.iter().cloned());
        let open = |paths: &[PathBuf]| -> Result<Vec<Pictures>, DataError> {
            let mut found = Vec::new();
            for path in paths {
                match Pictures::open(path, advice) {
                    Ok(pictures) => found.push(pictures),
                    Err(DataError::Missing { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(found)
        };
        if let Some(first) = first {
            Pictures::open(first, "it is the folder of pictures that was named")?;
        }
        named.dedup();
        let mut places = open(&named)?;
        let has_named = !places.is_empty();
        places.extend(open(&general.collect::<Vec<_>>())?);
        let places = Places { places, shared: shared_ends(images) };
        let lost = images.first().filter(|image| !has_named && places.find(&image.file_name).is_none());
        if lost.is_some() || places.places.is_empty() {
            let path = named.into_iter().next().unwrap_or_default();
            // The error of the place that was expected first.
            return Err(match Pictures::open(&path, advice) {
                Err(error) => error,
                Ok(_) => DataError::Missing { path, advice: advice.to_string() },
            });
        }
        Ok(places)
    }

    /// The place that has a picture, and its name there.
    fn find(&self, file: &str) -> Option<(&Pictures, String)> {
        let names = names_of(file, &self.shared);
        names.into_iter().find_map(|name| {
            let place = self.places.iter().find(|place| place.has(&name))?;
            Some((place, name))
        })
    }

    /// Decodes a picture that the annotations say to be of that size, see [`Pictures::read_sized`]; `person` is whose it
    /// is, for messages.
    ///
    /// # Errors
    /// Where it is missing, broken or of another size.
    pub fn read(&self, file: &str, person: &str, size: Size) -> Result<RgbImage, DataError> {
        match self.find(file) {
            Some((place, name)) => place.read_sized(&name, person, size),
            // Says where it was expected. There is a place: `around` has seen to that.
            None => self.places[0].read(file, person),
        }
    }

    /// Width and height of a picture; `None` where it is missing or broken.
    pub fn size(&self, file: &str) -> Option<Size> {
        self.find(file).and_then(|(place, name)| place.size(&name))
    }
}

/// What follows the last `_` of the file's name: `train2017` of `person_keypoints_train2017.json`.
pub(super) fn split_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem.rsplit('_').next().unwrap_or_default().to_string()
}

/// The names under which a picture may lie: as it is written, with `/` for `\`, without `%20` and the like, without what
/// a web address has around it, and then with ever fewer folders before it, but no name that another picture could mean.
fn names_of(file: &str, shared: &HashSet<String>) -> Vec<String> {
    let plain = plain(file);
    let mut names = vec![file.to_owned(), file.replace('\\', "/"), plain.clone()];
    names.extend(ends(&plain).filter(|end| !shared.contains(*end)).map(str::to_owned));
    let mut seen = HashSet::new();
    names.retain(|name| !name.is_empty() && seen.insert(name.clone()));
    names
}

/// The path that a name stands for.
fn plain(file: &str) -> String {
    let mut path = file.trim().replace('\\', "/");
    // Label Studio: /data/local-files/?d=folder/a.jpg; other addresses may end with a query of no meaning here.
    match path.split_once("?d=") {
        Some((_, inner)) => path = inner.split('&').next().unwrap_or_default().to_owned(),
        None if path.contains("://") => path.truncate(path.find(['?', '#']).unwrap_or(path.len())),
        None => {}
    }
    let decoded = percent_decoded(&path);
    decoded.trim_start_matches("./").to_owned()
}

fn percent_decoded(path: &str) -> String {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| path.to_owned())
}

/// A path without its first folder, its first two, ... down to the name alone.
fn ends(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[at + 1..])
}

/// The ends that several pictures of different names have in common.
fn shared_ends(images: &[Image]) -> HashSet<String> {
    let mut owners: HashMap<String, String> = HashMap::new();
    let mut shared = HashSet::new();
    for image in images {
        let path = plain(&image.file_name);
        for end in ends(&path).chain([path.as_str()]) {
            match owners.get(end) {
                Some(owner) if *owner != path => {
                    shared.insert(end.to_owned());
                }
                Some(_) => {}
                None => {
                    owners.insert(end.to_owned(), path.clone());
                }
            }
        }
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_those_of_the_split_in_the_file_name() {
        assert_eq!(split_of(Path::new("annotations/person_keypoints_train2017.json")), "train2017");
        assert_eq!(split_of(Path::new("mine.json")), "mine");
    }

    #[test]
    fn a_name_is_looked_for_as_it_is_and_with_ever_fewer_folders() {
        let names = |file: &str| names_of(file, &HashSet::new());
        assert_eq!(names("a.jpg"), ["a.jpg"]);
        assert_eq!(names("val/a.jpg"), ["val/a.jpg", "a.jpg"]);
        assert_eq!(names("images\\up\\a b.jpg")[1..], ["images/up/a b.jpg", "up/a b.jpg", "a b.jpg"]);
        assert_eq!(names("C:\\me\\a.jpg").last().map(String::as_str), Some("a.jpg"));
        assert_eq!(names("a%20b.jpg"), ["a%20b.jpg", "a b.jpg"]);
        assert_eq!(names("100%.jpg"), ["100%.jpg"]);
        assert_eq!(names("/data/local-files/?d=set/a.jpg").last().map(String::as_str), Some("a.jpg"));
        assert_eq!(names("http://host/x/a.jpg?s=9").last().map(String::as_str), Some("a.jpg"));
    }

    #[test]
    fn a_name_that_two_pictures_could_mean_is_not_looked_for() {
        let image = |file: &str| Image { id: 0.into(), file_name: file.into(), width: 0, height: 0 };
        let images = ["a/1.jpg", "b/1.jpg", "b/2.jpg", "x\\b\\3.jpg"].map(image);
        let shared = shared_ends(&images);
        assert_eq!(names_of("a/1.jpg", &shared), ["a/1.jpg"]);
        assert_eq!(names_of("b/2.jpg", &shared), ["b/2.jpg", "2.jpg"]);
        assert_eq!(names_of("x\\b\\3.jpg", &shared)[1..], ["x/b/3.jpg", "b/3.jpg", "3.jpg"]);
    }
}
