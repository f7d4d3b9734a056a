//! The two files of a report: where they go without taking the place of another adapter's.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::document::Document;
use super::page::page;
use crate::files::write_atomically;

/// Files that cannot be written.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// Another report, or something else, is there already.
    #[error("'{path}' is there already and {what}: name another with --out")]
    Taken {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// The system refuses.
    #[error("cannot write '{path}': {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where a report goes: `BASE.json` and `BASE.html`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    base: PathBuf,
}

impl Place {
    /// The place that `out` names: a folder, in which the files get the adapter's name and, where that is taken, a number; or
    /// the files' path without its ending. `None` is the current folder.
    ///
    /// # Errors
    /// [`PlaceError::Taken`] where `out` names files that are there and are no report of this adapter and driver.
    pub fn new(out: Option<&Path>, document: &Document) -> Result<Self, PlaceError> {
        let name = format!("ditn-report-{}", slug(&document.adapter.name));
        match out {
            None => Ok(Self::numbered(Path::new(""), &name)),
            Some(folder) if folder.is_dir() => Ok(Self::numbered(folder, &name)),
            Some(path) => {
                let place = Self { base: without_ending(path) };
                place.check_free_for(document)?;
                Ok(place)
            }
        }
    }

    /// The first of `name`, `name-2`, ... of which neither file is there.
    fn numbered(folder: &Path, name: &str) -> Self {
        let number = |number: usize| if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
        let places = (1..).map(|count| Self { base: folder.join(number(count)) });
        // Some number is free.
        places
            .into_iter()
            .find(|place| !place.json().exists() && !place.html().exists())
            .unwrap_or(Self { base: folder.join(name) })
    }

    fn check_free_for(&self, document: &Document) -> Result<(), PlaceError> {
        let (json, html) = (self.json(), self.html());
        let taken = |path: PathBuf, what: String| Err(PlaceError::Taken { path, what });
        if !json.exists() {
            return if html.exists() { taken(html, "has no report beside it".into()) } else { Ok(()) };
        }
        match Document::read(&json) {
            Ok(other) if is_same(&other, document) => Ok(()),
            Ok(other) => {
                let name = format!("{}, {} {}", other.adapter.name, other.adapter.driver, other.adapter.driver_info);
                taken(json, format!("is the report of {name}"))
            }
            Err(_) => taken(json, "is no report".into()),
        }
    }

    /// The JSON document.
    pub fn json(&self) -> PathBuf {
        with_ending(&self.base, ".json")
    }

    /// The page.
    pub fn html(&self) -> PathBuf {
        with_ending(&self.base, ".html")
    }

    /// Writes both files, each whole or not at all.
    ///
    /// # Errors
    /// [`PlaceError::Write`].
    pub fn write(&self, document: &Document) -> Result<(), PlaceError> {
        for (path, text) in [(self.json(), document.to_json()), (self.html(), page(document))] {
            write_atomically(&path, text.as_bytes()).map_err(|source| PlaceError::Write { path, source })?;
        }
        Ok(())
    }
}

/// Whether both are of one adapter by one driver.
fn is_same(a: &Document, b: &Document) -> bool {
    let of = |it: &Document| {
        let adapter = &it.adapter;
        [&adapter.name, &adapter.backend, &adapter.driver, &adapter.driver_info].map(Clone::clone)
    };
    of(a) == of(b)
}

/// The path without `.json` or `.html`.
fn without_ending(path: &Path) -> PathBuf {
    let is_ending = path.extension().is_some_and(|ending| ending == "json" || ending == "html");
    if is_ending { path.with_extension("") } else { path.to_owned() }
}

/// The path with `ending` behind its name, whatever dots that has.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The name in small letters, digits and single hyphens: `llvmpipe (LLVM 15.0.6, 256 bits)` is
/// `llvmpipe-llvm-15.0.6-256-bits`.
fn slug(name: &str) -> String {
    let simple = |here: char| {
        if here.is_ascii_alphanumeric() || here == '.' { here.to_ascii_lowercase() } else { ' ' }
    };
    let words: String = name.chars().map(simple).collect();
    let slug = words.split_whitespace().collect::<Vec<_>>().join("-");
    if slug.is_empty() { "adapter".to_owned() } else { slug }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{adapter, measured};

    /// A folder of this test's own, removed at the end.
    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn names_of_adapters_become_names_of_files() {
        assert_eq!(slug("llvmpipe (LLVM 15.0.6, 256 bits)"), "llvmpipe-llvm-15.0.6-256-bits");
        assert_eq!(slug("NVIDIA H100/80GB \u{2122}"), "nvidia-h100-80gb");
        assert_eq!(slug("\u{2122}"), "adapter");
        assert_eq!(slug("../../.."), "..-..-..");
    }

    #[test]
    fn no_report_takes_the_place_of_another() {
        let folder = Folder(std::env::temp_dir().join(format!("ditn-place-{}", std::process::id())));
        std::fs::create_dir_all(&folder.0).unwrap();
        let (a, b) = (measured("GPU", 1.0), measured("Other", 1.0));
        for name in ["ditn-report-gpu.json", "ditn-report-gpu-2.json", "ditn-report-gpu-3.json"] {
            let place = Place::new(Some(&folder.0), &a).unwrap();
            assert_eq!(place.json(), folder.0.join(name));
            place.write(&a).unwrap();
        }
        // A place that was named is one adapter's, by one driver.
        let named = folder.0.join("mine.v2");
        let place = Place::new(Some(&named), &a).unwrap();
        assert_eq!(place.html(), folder.0.join("mine.v2.html"));
        place.write(&a).unwrap();
        assert_eq!(Place::new(Some(&folder.0.join("mine.v2.json")), &a).unwrap(), place);
        let mut other_driver = a.clone();
        other_driver.adapter = crate::gpu::AdapterReport { driver_info: "9".into(), ..adapter("GPU") };
        for other in [&b, &other_driver] {
            let error = Place::new(Some(&named), other).unwrap_err().to_string();
            assert!(error.contains("mine.v2.json") && error.contains("GPU") && error.contains("--out"), "{error}");
        }
        std::fs::write(folder.0.join("notes.json"), "{}").unwrap();
        std::fs::write(folder.0.join("site.html"), "<p>").unwrap();
        for taken in ["notes", "site"] {
            assert!(Place::new(Some(&folder.0.join(taken)), &a).is_err(), "{taken}");
        }
    }
}
