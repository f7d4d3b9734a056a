//! The file format of checkpoints: named tensors and a header in one safetensors file.
//!
//! Tensors are little-endian floats under their public names: parameters, running statistics, and the optimizer's under
//! `optimizer.`. A run writes float32; an exported network may be stored as 16-bit floats, and is float32 again when it is
//! read. One metadata entry, `ditn`, holds the header as JSON; what it says is up to the caller.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::{SafeTensorError, SafeTensors, tensor::TensorView};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::file_kind::{FileKind, kind_of};
use super::file_names::{OPTIMIZER, Shapes};
pub use super::stored::State;
use super::stored::{self, Stored, TooLarge, decode};
use super::weight_file::cut_short;
use crate::files::write_atomically;
use crate::graph::Tensor;
use crate::ir::DType;

/// The metadata entry that holds the header.
const METADATA_KEY: &str = "ditn";

/// A checkpoint that cannot be written, read or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refuses.
    #[error("cannot {action} the checkpoint {}: {error}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The checkpoint.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file is not a safetensors file of floats, or is cut short.
    #[error("{} is not a usable safetensors file: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The file holds weights, but not in this program's format.
    #[error(
        "{} is not a checkpoint of this program: it is {what}; `ditn import {} OUT.safetensors` makes one of it",
        path.display(), path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A tensor that holds an infinity or a NaN.
    #[error(
        "{}: `{tensor}` holds values that are not finite: the training diverged, and every prediction would be NaN; take an \
         earlier checkpoint", path.display()
    )]
    NotFinite {
        /// The checkpoint.
        path: PathBuf,
        /// The first such tensor.
        tensor: String,
    },
    /// The file holds tensors but its header is none.
    #[error("{} is not a checkpoint of this program: {message}", path.display())]
    NoHeader {
        /// The file.
        path: PathBuf,
        /// What is missing or wrong.
        message: String,
    },
    /// A number that 16 bits cannot hold.
    #[error("{} cannot be written as 16-bit floats, which end at 65504: `{name}` holds {number:e}; export it as f32", path.display())]
    TooLarge {
        /// The file that was to be written.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The number.
        number: f32,
    },
    /// The tensors are those of another network.
    #[error("{} belongs to another network than the configuration describes:{}", path.display(), list(differences))]
    OtherNetwork {
        /// The checkpoint.
        path: PathBuf,
        /// A line for each tensor that differs.
        differences: Vec<String>,
    },
}

/// The first lines, and how many more there are.
fn list(lines: &[String]) -> String {
    const SHOWN: usize = 12;
    let mut text: String = lines.iter().take(SHOWN).map(|line| format!("\n  {line}")).collect();
    if lines.len() > SHOWN {
        text += &format!("\n  ... and {} more", lines.len() - SHOWN);
    }
    text
}

/// Writes tensors and a header so that `path` always holds a whole checkpoint: the bytes go to a file beside it, are
/// flushed to the disk, and only then take its name. A crash at any moment leaves the old checkpoint or the new one.
///
/// # Errors
/// [`CheckpointError::File`]; the old file is then still in place.
pub fn write(path: &Path, header: &impl Serialize, state: &State) -> Result<(), CheckpointError> {
    let tensors = tensors_for(path, state, DType::F32)?;
    write_stored(path, header, &tensors)
}

/// Writes the network of a state alone, its numbers stored as `dtype`, with all that PyTorch's `load_state_dict` asks for:
/// `batches` stands for the batches that batch normalisation has seen.
///
/// # Errors
/// As [`write()`]; [`CheckpointError::TooLarge`].
pub fn write_network(
    path: &Path,
    header: &impl Serialize,
    state: &State,
    dtype: DType,
    batches: u64,
) -> Result<(), CheckpointError> {
    write_stored(path, header, &network_for(path, state, dtype, batches)?)
}

/// The tensors of a network's file that `path` is to be.
pub(super) fn network_for(
    path: &Path,
    state: &State,
    dtype: DType,
    batches: u64,
) -> Result<Vec<Stored>, CheckpointError> {
    let network = network_only(state);
    let mut tensors = tensors_for(path, &network, dtype)?;
    tensors.extend(stored::counters(&network, batches));
    Ok(tensors)
}

fn tensors_for(path: &Path, state: &State, dtype: DType) -> Result<Vec<Stored>, CheckpointError> {
    stored::tensors(state, dtype).map_err(|TooLarge { name, number }| CheckpointError::TooLarge {
        path: path.to_owned(),
        name,
        number,
    })
}

fn write_stored(path: &Path, header: &impl Serialize, tensors: &[Stored]) -> Result<(), CheckpointError> {
    let failed = |error| CheckpointError::File { action: "write", path: path.to_owned(), error };
    let bytes = to_bytes(header, tensors).map_err(|message| failed(std::io::Error::other(message)))?;
    write_atomically(path, &bytes).map_err(failed)
}

fn to_bytes(header: &impl Serialize, tensors: &[Stored]) -> Result<Vec<u8>, String> {
    let header = serde_json::to_string(header).map_err(|error| error.to_string())?;
    let views = tensors
        .iter()
        .map(|tensor| Ok((&tensor.name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes)?)));
    let views = views.collect::<Result<Vec<_>, SafeTensorError>>().map_err(|error| error.to_string())?;
    // PyTorch's own tools ask for the format.
    let metadata = [(METADATA_KEY, header), ("format", "pt".to_owned())].map(|(key, value)| (key.to_owned(), value));
    safetensors::serialize(views, Some(HashMap::from(metadata))).map_err(|error| error.to_string())
}

/// Reads tensors and header.
///
/// # Errors
/// A file that is not there, is not safetensors, holds other types than floats, or lacks the header.
pub fn read<H: DeserializeOwned>(path: &Path) -> Result<(H, State), CheckpointError> {
    let unreadable = |error| CheckpointError::File { action: "read", path: path.to_owned(), error };
    match kind_of(path).map_err(unreadable)? {
        FileKind::Safetensors | FileKind::Pipe => {}
        FileKind::PyTorch => {
            return Err(CheckpointError::Foreign { path: path.to_owned(), what: "a file of PyTorch" });
        }
        FileKind::Other(what) => return Err(malformed(path, format!("it is {what}"))),
    }
    parse(path, &std::fs::read(path).map_err(unreadable)?)
}

/// Tensors and header of a checkpoint that is in memory; `path` is its name in messages.
///
/// # Errors
/// As [`read`], except for those of the file system.
pub fn parse<H: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<(H, State), CheckpointError> {
    let no_header = |message: String| CheckpointError::NoHeader { path: path.to_owned(), message };
    let foreign = |what| CheckpointError::Foreign { path: path.to_owned(), what };
    let broken = |error| malformed(path, cut_short(bytes).unwrap_or_else(|| format!("{error}")));
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let header = metadata
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get(METADATA_KEY))
        .ok_or_else(|| foreign("safetensors that another program wrote"))?;
    let header = serde_json::from_str(header).map_err(|error| no_header(error.to_string()))?;
    Ok((header, tensors(path, bytes)?))
}

fn malformed(path: &Path, error: impl std::fmt::Display) -> CheckpointError {
    CheckpointError::Malformed { path: path.to_owned(), message: error.to_string() }
}

fn tensors(path: &Path, bytes: &[u8]) -> Result<State, CheckpointError> {
    let broken = |error| malformed(path, cut_short(bytes).unwrap_or_else(|| format!("{error}")));
    let file = SafeTensors::deserialize(bytes).map_err(broken)?;
    file.iter()
        // PyTorch's counter of batches, an integer that nothing here reads.
        .filter(|(name, _)| !name.ends_with("num_batches_tracked"))
        .map(|(name, view)| {
            let element = format!("{:?}", view.dtype());
            let no_floats = || malformed(path, format!("`{name}` holds {element}, not floating-point numbers"));
            let data = decode(&element, view.data()).ok_or_else(no_floats)?;
            Ok((name.to_owned(), Tensor { shape: view.shape().to_vec(), data }))
        })
        .collect()
}

/// What keeps the tensors of `found` from being those of `expected` (names and shapes): a line for each one that is
/// missing, of another shape, or not known.
pub fn differences(expected: &Shapes, found: &State) -> Vec<String> {
    let missing_or_other = expected.iter().filter_map(|(name, shape)| match found.get(name) {
        None => Some(format!("{name} {shape:?} is missing")),
        Some(other) if other.shape != *shape => Some(format!("{name} is {:?}, should be {shape:?}", other.shape)),
        Some(_) => None,
    });
    let unknown = found
        .iter()
        .filter(|(name, _)| !expected.contains_key(*name))
        .map(|(name, tensor)| format!("{name} {:?} is not part of the network", tensor.shape));
    missing_or_other.chain(unknown).collect()
}

/// Checks that the tensors of a file are those of `expected`.
///
/// # Errors
/// [`CheckpointError::OtherNetwork`] with all [`differences`].
pub fn check_fits(path: &Path, expected: &Shapes, found: &State) -> Result<(), CheckpointError> {
    let differences = differences(expected, found);
    if differences.is_empty() {
        return Ok(());
    }
    Err(CheckpointError::OtherNetwork { path: path.to_owned(), differences })
}

/// The tensors of the network in a state that was read from `path`: those of `expected`, without the optimizer's.
///
/// # Errors
/// As [`check_fits`]; [`CheckpointError::NotFinite`].
pub fn network_of(path: &Path, expected: &Shapes, state: &State) -> Result<State, CheckpointError> {
    let network = network_only(state);
    check_fits(path, expected, &network)?;
    check_finite(path, &network)?;
    Ok(network)
}

/// Checks that a state which was read from `path` holds neither an infinity nor a NaN.
///
/// # Errors
/// [`CheckpointError::NotFinite`] with the first tensor that does.
pub fn check_finite(path: &Path, state: &State) -> Result<(), CheckpointError> {
    match first_not_finite(state) {
        Some(tensor) => Err(CheckpointError::NotFinite { path: path.to_owned(), tensor: tensor.to_owned() }),
        None => Ok(()),
    }
}

/// The shapes of a state's tensors.
pub fn shapes(state: &State) -> Shapes {
    state.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect()
}

/// The tensors of the network alone, without the optimizer's.
pub fn network_only(state: &State) -> State {
    state.iter().filter(|(name, _)| !name.starts_with(OPTIMIZER)).map(|(n, t)| (n.clone(), t.clone())).collect()
}

/// The first tensor that holds an infinity or a NaN.
pub fn first_not_finite(state: &State) -> Option<&str> {
    state.iter().find(|(_, tensor)| tensor.data.iter().any(|x| !x.is_finite())).map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;

    use std::collections::BTreeMap;

    use super::*;

    fn state() -> State {
        let tensor = |shape: &[usize], data: &[f32]| Tensor { shape: shape.to_vec(), data: data.to_vec() };
        BTreeMap::from([
            ("conv1.weight".to_owned(), tensor(&[1, 3], &[0.1, -0.0, f32::MIN_POSITIVE / 2.0])),
            ("optimizer.m.conv1.weight".to_owned(), tensor(&[1, 3], &[1e-30, f32::MAX, -7.25])),
            ("optimizer.step".to_owned(), tensor(&[1], &[12.0])),
        ])
    }

    /// A folder of this process's own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ditn-nn-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    fn bits(state: &State) -> Vec<(String, Vec<usize>, Vec<u32>)> {
        let word = |t: &Tensor| t.data.iter().map(|x| x.to_bits()).collect();
        state.iter().map(|(n, t)| (n.clone(), t.shape.clone(), word(t))).collect()
    }

    #[test]
    fn tensors_and_header_come_back_bit_for_bit() {
        let folder = Folder::new("round-trip");
        let path = folder.0.join("last.safetensors");
        write(&path, &"header", &state()).unwrap();
        let (header, found) = read::<String>(&path).unwrap();
        assert_eq!((header.as_str(), bits(&found)), ("header", bits(&state())));
    }

    #[test]
    fn a_network_is_written_with_pytorchs_counters_and_without_the_optimizer() {
        let folder = Folder::new("network");
        let path = folder.0.join("weights.safetensors");
        let mut state = state();
        state.insert("bn1.running_mean".into(), Tensor { shape: vec![1], data: vec![0.5] });
        write_network(&path, &"header", &state, DType::F32, 12).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut names = file.names();
        names.sort_unstable();
        assert_eq!(names, ["bn1.num_batches_tracked", "bn1.running_mean", "conv1.weight"]);
        let counter = file.tensor("bn1.num_batches_tracked").unwrap();
        assert_eq!(
            (counter.dtype(), counter.shape(), counter.data()),
            (Dtype::I64, &[][..], &12_u64.to_le_bytes()[..])
        );
        assert_eq!(bits(&read::<String>(&path).unwrap().1), bits(&network_only(&state)));
    }

    #[test]
    fn a_network_of_16_bit_floats_is_float32_again_and_what_they_cannot_hold_is_named() {
        let folder = Folder::new("halves");
        let path = folder.0.join("weights.safetensors");
        write_network(&path, &"header", &state(), DType::F16, 12).unwrap();
        let (_, found) = read::<String>(&path).unwrap();
        assert_eq!(found["conv1.weight"].data, [0.099_975_586, -0.0, 0.0]);
        let large = Tensor { shape: vec![2], data: vec![1.0, 1e5] };
        let error = write_network(&path, &"header", &BTreeMap::from([("w".to_owned(), large)]), DType::F16, 12);
        assert!(error.unwrap_err().to_string().contains("65504: `w` holds 1e5"));
        assert_eq!(read::<String>(&path).unwrap().1, found, "the old file is still there");
    }

    #[test]
    fn a_truncated_file_is_refused_by_name() {
        let folder = Folder::new("truncated");
        let path = folder.0.join("last.safetensors");
        write(&path, &"header", &state()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 7, 100, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let message = read::<String>(&path).unwrap_err().to_string();
            assert!(message.contains("last.safetensors is not a usable safetensors file"), "{length}: {message}");
        }
    }

    #[test]
    fn a_file_without_a_header_is_refused_as_a_run() {
        let folder = Folder::new("foreign");
        let path = folder.0.join("foreign.safetensors");
        let bytes = 2.5f32.to_le_bytes();
        let view = TensorView::new(Dtype::F32, vec![1], &bytes).unwrap();
        std::fs::write(&path, safetensors::serialize([("w", view)], None).unwrap()).unwrap();
        assert!(matches!(read::<String>(&path), Err(CheckpointError::Foreign { .. })));
    }

    #[test]
    fn differences_name_missing_reshaped_and_unknown_tensors() {
        let expected = state();
        assert!(differences(&shapes(&expected), &expected).is_empty());
        let mut found = expected.clone();
        found.remove("optimizer.step");
        found.get_mut("conv1.weight").unwrap().shape = vec![3, 1];
        found.insert("extra".into(), Tensor { shape: vec![0], data: vec![] });
        assert_eq!(
            differences(&shapes(&expected), &found),
            [
                "conv1.weight is [3, 1], should be [1, 3]",
                "optimizer.step [1] is missing",
                "extra [0] is not part of the network"
            ]
        );
    }
}
