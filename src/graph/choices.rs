//! Which variant to use for which workload: what `ditn tune` has measured, kept in a file by adapter and driver.
//!
//! Planning is pure: the caller loads the choices and hands them to [`Plan::with_choices`](super::Plan::with_choices). The
//! same choices give the same bits; others may round differently. A choice whose workload no network has, such as one that an
//! older version named in another way, or whose variant no longer exists, changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::gpu::Gpu;

/// The variant to use, by [`Workload::key`](super::Workload::key). Without any, the operators' own order holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// Adapter and driver that they were measured on.
    pub adapter: String,
    /// Name of the variant of each workload.
    pub variants: BTreeMap<String, String>,
    /// Name of the variant of every other workload that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub everywhere: Option<String>,
}

/// A file of choices that cannot be used.
#[derive(Debug, Error)]
#[error("'{path}' is not a file of kernel choices: {reason}; remove it, or run `ditn tune` again")]
pub struct ChoicesError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
}

/// Where an adapter's choices are kept: `DITN_CHOICES`, which names a file, or a name of adapter and driver in the user's
/// cache folder. `None` where there is no such folder, or where `DITN_CHOICES` is empty: the operators' own order then holds.
pub fn choices_path(gpu: &Gpu) -> Option<PathBuf> {
    match std::env::var_os("DITN_CHOICES") {
        Some(path) if path.is_empty() => None,
        Some(path) => Some(path.into()),
        None => gpu.cache_file("choices.json"),
    }
}

impl Choices {
    /// Those kept for this adapter, none where there are none yet.
    ///
    /// # Errors
    /// [`ChoicesError`] where there is a file that cannot be read as such.
    pub fn of(gpu: &Gpu) -> Result<Self, ChoicesError> {
        choices_path(gpu).map_or_else(|| Ok(Self::default()), |path| Self::load(&path))
    }

    /// This variant for every workload that has it.
    pub fn everywhere(variant: impl Into<String>) -> Self {
        Self { everywhere: Some(variant.into()), ..Self::default() }
    }

    /// The position of the variant to use among those with these names, if this says so.
    pub fn position(&self, workload: &str, names: &[&str]) -> Option<usize> {
        let chosen = self.variants.get(workload).into_iter().chain(&self.everywhere);
        chosen.into_iter().find_map(|chosen| names.iter().position(|name| name == chosen))
    }

    /// The choices in a file, empty where there is none.
    ///
    /// # Errors
    /// [`ChoicesError`] where there is a file that cannot be read as such.
    pub fn load(path: &Path) -> Result<Self, ChoicesError> {
        let wrong = |reason: String| ChoicesError { path: path.to_owned(), reason };
        match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| wrong(error.to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// As JSON, one workload a line.
    pub fn to_json(&self) -> String {
        // Maps from strings to strings always serialise.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_named_and_an_absent_one_is_empty() {
        let path = std::env::temp_dir().join(format!("ditn-choices-{}.json", std::process::id()));
        assert_eq!(Choices::load(&path).expect("no file is no error"), Choices::default());
        std::fs::write(&path, "{\"adapter\": 3}").expect("room for a file");
        let error = Choices::load(&path).expect_err("an adapter is a text").to_string();
        std::fs::remove_file(&path).expect("the file");
        assert!(error.contains("ditn-choices-") && error.contains("ditn tune"), "{error}");
    }
}
