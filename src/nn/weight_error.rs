//! Why a file gives no weights.

use std::path::PathBuf;

use thiserror::Error;

/// A file that gives no weights.
#[derive(Debug, Error)]
pub enum WeightFileError {
    /// The file system refuses.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// Neither safetensors nor what `torch.save` writes, or broken.
    #[error("{} is not a usable file of weights (safetensors or PyTorch): {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The pickle would call what no weights need.
    #[error(
        "{} asks Python to call `{call}` when it is loaded, which no file of weights has a reason to: nothing of it was \
         run, and nothing is taken from it; get the weights from a source that you trust", path.display()
    )]
    Suspicious {
        /// The file.
        path: PathBuf,
        /// What would be called.
        call: String,
    },
    /// A tensor that only a call in the pickle would make.
    #[error(
        "{}: `{name}` would be made by a call of `{call}`, and calls in a file are not made; load it in Python and save \
         `model.state_dict()` with torch.save", path.display()
    )]
    Made {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// What would be called.
        call: String,
    },
    /// A tensor of a training that diverged, or that was stored in a type with too small a range.
    #[error(
        "{}: `{name}` holds {value} ({count} of its {of} values are not finite): every prediction would be NaN; take the \
         weights of an earlier epoch", path.display()
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
        /// The first of them.
        value: f32,
        /// How many there are.
        count: usize,
        /// The number of all values.
        of: usize,
    },
    /// A running variance below zero, whose root is taken.
    #[error("{}: `{name}` holds a variance below 0, so that predictions would be NaN; the file is broken", path.display())]
    NegativeVariance {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
    },
    /// The file has the network, but not the copy of it that is asked for.
    #[error("{} has no {wanted}; it has the network under {}", path.display(), quoted(copies))]
    NoSuchCopy {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
        /// The prefixes of the copies that it has.
        copies: Vec<String>,
    },
    /// A tensor whose elements are not floating-point numbers.
    #[error("{}: tensor `{name}` holds {element}, not floating-point numbers", path.display())]
    NotFloats {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type of element.
        element: String,
    },
}

/// Prefixes of names in a list for people.
fn quoted(prefixes: &[String]) -> String {
    let quoted = |prefix: &String| match prefix.as_str() {
        "" => "its own names".to_owned(),
        prefix => format!("`{prefix}`"),
    };
    prefixes.iter().map(quoted).collect::<Vec<_>>().join(", ")
}
