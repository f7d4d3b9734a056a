//! Why a configuration cannot be used.

use std::path::PathBuf;

use crate::data::InvalidValue;

/// A configuration that cannot be used, with what is needed to mend it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The text is not TOML.
    #[error("{origin}: not TOML: {message}")]
    Syntax {
        /// File and line, or the override.
        origin: String,
        /// What the parser says.
        message: String,
    },
    /// A key that no part of the configuration has.
    #[error("{origin}: unknown key `{key}`{}; known here: {known}", suggestion(nearest))]
    UnknownKey {
        /// File and line, or the override.
        origin: String,
        /// The key, with its table.
        key: String,
        /// The most similar known key, if any is similar.
        nearest: Option<String>,
        /// All known keys of the table.
        known: String,
    },
    /// A value of the wrong type, or outside its type's range.
    #[error("{origin}: `{key}`: {message}")]
    WrongType {
        /// File and line, or the override.
        origin: String,
        /// The key, with its table.
        key: String,
        /// What was found and what was expected.
        message: String,
    },
    /// An override that is not `key=value`.
    #[error("--set {text}: write it as key=value, for example --set train.batch=16")]
    NotAnAssignment {
        /// The override.
        text: String,
    },
    /// A value of the right type that breaks a rule.
    #[error(transparent)]
    Value(#[from] InvalidValue),
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or(String::new(), |n| format!(", did you mean `{n}`?"))
}
