//! Files of weights, whoever wrote them: safetensors, and what `torch.save` writes.
//!
//! A `.pth` is a pickle, a program for Python's unpickler, beside the bytes of the tensors; since PyTorch 1.6 both lie
//! in a zip archive, before that one behind the other (the legacy container). The crate `pytorch-reader` reads both as
//! data: it knows the few calls that rebuild a tensor, and every other call in the pickle becomes the name of what it
//! would have called. Nothing of a file is ever run.
//!
//! Opening reads names, types and shapes; values are read tensor by tensor when they are asked for. What a file merely
//! claims to hold costs no memory until someone wants it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use pytorch_reader::{PickleValue, PytorchReader};
use safetensors::SafeTensors;
use thiserror::Error;

use super::stored::decode;
use crate::graph::Tensor;

/// Largest pickle that is taken from a zip archive, where a few bytes can unpack to many: about twenty times that of
/// the largest network here with its optimizer.
const LARGEST_PICKLE: u64 = 8 << 20;

/// What a pickle that only describes weights has no reason to call.
const SUSPICIOUS_MODULES: [&str; 13] = [
    "os",
    "posix",
    "nt",
    "subprocess",
    "pty",
    "sys",
    "runpy",
    "importlib",
    "shutil",
    "socket",
    "ctypes",
    "builtins",
    "__builtin__",
];

/// Longest message of a library that is passed on: it may quote the file.
const LONGEST_REASON: usize = 300;

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

/// Names, types and shapes of a file's tensors, with the way to their values.
///
/// PyTorch's counters `num_batches_tracked`, which no network here reads, are left out.
pub struct WeightFile {
    path: PathBuf,
    /// The whole file, for safetensors.
    bytes: Vec<u8>,
    tensors: BTreeMap<String, Stored>,
}

/// A tensor in a file.
struct Stored {
    shape: Vec<usize>,
    element: String,
    values: Values,
}

/// Where the values are.
enum Values {
    /// In the file's bytes, little-endian.
    Bytes(Range<usize>),
    /// Behind the reader of `.pth` files, in the machine's byte order.
    PyTorch(pytorch_reader::Tensor),
}

impl WeightFile {
    /// Opens a file, whichever of the formats it is in and whatever its name.
    ///
    /// # Errors
    /// [`WeightFileError`], except for the types of elements.
    pub fn open(path: &Path) -> Result<Self, WeightFileError> {
        let read = |error| WeightFileError::Read { path: path.to_owned(), error };
        let mut start = [0; 9];
        let count = BufReader::new(File::open(path).map_err(read)?).read(&mut start).map_err(read)?;
        // A safetensors file starts with the length of its JSON header; a zip archive has no `{` there.
        let (bytes, mut tensors) = if count == start.len() && start[8] == b'{' {
            let bytes = std::fs::read(path).map_err(read)?;
            let tensors = safetensors_in(&bytes).map_err(|reason| malformed(path, &reason))?;
            (bytes, tensors)
        } else {
            (Vec::new(), pytorch_tensors_in(path)?)
        };
        tensors.retain(|name, _| !name.ends_with("num_batches_tracked"));
        Ok(Self { path: path.to_owned(), bytes, tensors })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The shape of each tensor by its name in the file.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, stored)| (name.as_str(), stored.shape.as_slice()))
    }

    /// The values of the tensor `name`, as float32 whatever kind of float the file holds.
    ///
    /// # Errors
    /// Elements that are no floats, a tensor that is not there, a file that breaks off.
    pub fn read(&self, name: &str) -> Result<Tensor, WeightFileError> {
        let Some(stored) = self.tensors.get(name) else {
            return Err(malformed(&self.path, &format!("it has no tensor `{name}`")));
        };
        let unpacked;
        let bytes = match &stored.values {
            Values::Bytes(range) => &self.bytes[range.clone()],
            Values::PyTorch(tensor) => {
                unpacked = little_endian(tensor).map_err(|error| malformed(&self.path, &error.to_string()))?;
                &unpacked
            }
        };
        let data = decode(&stored.element, bytes).ok_or_else(|| WeightFileError::NotFloats {
            path: self.path.clone(),
            name: name.to_owned(),
            element: stored.element.clone(),
        })?;
        Ok(Tensor { shape: stored.shape.clone(), data })
    }
}

fn malformed(path: &Path, reason: &str) -> WeightFileError {
    let mut short: String = reason.chars().take(LONGEST_REASON).collect();
    if short.len() < reason.len() {
        short += " ...";
    }
    WeightFileError::Malformed { path: path.to_owned(), reason: short }
}

fn little_endian(tensor: &pytorch_reader::Tensor) -> std::io::Result<Vec<u8>> {
    let mut bytes = tensor.read()?;
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(tensor.dtype().size()).for_each(<[u8]>::reverse);
    }
    Ok(bytes)
}

fn safetensors_in(bytes: &[u8]) -> Result<BTreeMap<String, Stored>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let stored = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
        // The view lies in `bytes`, behind the header.
        let start = view.data().as_ptr().addr() - bytes.as_ptr().addr();
        let values = Values::Bytes(start..start + view.data().len());
        let element = format!("{:?}", view.dtype());
        (name.to_owned(), Stored { shape: view.shape().to_vec(), element, values })
    };
    Ok(file.iter().map(stored).collect())
}

fn pytorch_tensors_in(path: &Path) -> Result<BTreeMap<String, Stored>, WeightFileError> {
    check_size_of_pickle(path)?;
    let failed = |error: pytorch_reader::PytorchError| malformed(path, &error.to_string());
    let contents = PytorchReader::read_pickle_data(path, None).map_err(failed)?;
    if let Some(call) = suspicious_call(&contents) {
        return Err(WeightFileError::Suspicious { path: path.to_owned(), call: call.to_owned() });
    }
    let stored = |(name, tensor): (String, pytorch_reader::Tensor)| {
        let (shape, element) = (tensor.shape().to_vec(), format!("{:?}", tensor.dtype()));
        (name, Stored { shape, element, values: Values::PyTorch(tensor) })
    };
    Ok(PytorchReader::new(path).map_err(failed)?.into_tensors().into_iter().map(stored).collect())
}

/// The pickle of a zip archive is unpacked and read whole, so that its size must be bounded. In the other containers it
/// lies in the file as it is.
fn check_size_of_pickle(path: &Path) -> Result<(), WeightFileError> {
    let file = File::open(path).map_err(|error| WeightFileError::Read { path: path.to_owned(), error })?;
    // What is no zip archive is the reader's to judge.
    let Ok(mut archive) = zip::ZipArchive::new(BufReader::new(file)) else { return Ok(()) };
    for index in 0..archive.len() {
        let Ok(entry) = archive.by_index_raw(index) else { continue };
        let is_pickle = entry.name().is_ok_and(|name| name.ends_with("data.pkl"));
        if is_pickle && entry.size() > LARGEST_PICKLE {
            let reason = format!("its pickle has {} bytes, weights need no more than {LARGEST_PICKLE}", entry.size());
            return Err(malformed(path, &reason));
        }
    }
    Ok(())
}

/// The first call in a pickle that looks like an attack. Nothing depends on this for safety: no call is ever made. It
/// serves to tell someone what they have been given.
fn suspicious_call(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::Unsupported(call) => {
            let module = call.split('.').next().unwrap_or_default();
            SUSPICIOUS_MODULES.contains(&module).then_some(call)
        }
        PickleValue::List(values) => values.iter().find_map(suspicious_call),
        PickleValue::Dict(values) => values.values().find_map(suspicious_call),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that `tools/make_weights.py` made.
    fn made(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weights").join(name)
    }

    /// The tensors that the files were made from.
    fn dump() -> BTreeMap<String, Tensor> {
        let file = WeightFile::open(&made("../dumps/hrnet_coco.safetensors")).unwrap();
        let parameters = file.shapes().filter_map(|(name, _)| Some((name, name.strip_prefix("param.")?)));
        parameters.map(|(name, stripped)| (stripped.to_owned(), file.read(name).unwrap())).collect()
    }

    fn bits(tensor: &Tensor) -> (Vec<usize>, Vec<u32>) {
        (tensor.shape.clone(), tensor.data.iter().map(|x| x.to_bits()).collect())
    }

    fn message(path: &Path) -> String {
        match WeightFile::open(path) {
            Ok(_) => panic!("{} was accepted", path.display()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn both_containers_of_pytorch_give_the_tensors_that_were_saved() {
        let saved = dump();
        assert!(saved.len() > 200);
        for (name, prefix) in [("hrnet_zip.pth", ""), ("hrnet_legacy_wrapped.pth", "state_dict.module.")] {
            let file = WeightFile::open(&made(name)).unwrap();
            let names: Vec<String> = file.shapes().map(|(name, _)| name.to_owned()).collect();
            let expected: Vec<String> = saved.keys().map(|name| format!("{prefix}{name}")).collect();
            assert_eq!(names, expected);
            for (name, tensor) in &saved {
                assert_eq!(bits(&file.read(&format!("{prefix}{name}")).unwrap()), bits(tensor), "{name}");
            }
        }
    }

    #[test]
    fn strides_half_and_double_precision_are_made_plain_float32() {
        let (saved, file) = (dump(), WeightFile::open(&made("imagenet_stem.pth")).unwrap());
        for name in ["conv2.weight", "bn2.weight"] {
            assert_eq!(bits(&file.read(name).unwrap()), bits(&saved[name]), "{name}");
        }
        assert_eq!(file.read("bn2.bias").unwrap().data, [0.5; 4]);
    }

    #[test]
    fn a_malicious_pickle_is_refused_by_the_name_of_its_call_and_runs_nothing() {
        for name in ["malicious_zip.pth", "malicious_legacy.pth"] {
            let text = message(&made(name));
            assert!(text.contains(name) && text.contains("`posix.system`") && text.contains("nothing of it"), "{text}");
        }
        assert!(!Path::new("ditn-was-here").exists());
    }

    #[test]
    fn a_file_of_something_else_is_refused_by_name() {
        let folder = std::env::temp_dir().join(format!("ditn-weights-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("weights.pth");
        let whole = std::fs::read(made("hrnet_zip.pth")).unwrap();
        let legacy = std::fs::read(made("hrnet_legacy_wrapped.pth")).unwrap();
        for bytes in [b"".as_slice(), b"no weights", b"\x08\0\0\0\0\0\0\0{broken}", &whole[..5000], &legacy[..50_000]] {
            std::fs::write(&path, bytes).unwrap();
            let text = message(&path);
            assert!(text.contains("weights.pth is not a usable file of weights"), "{text}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(message(Path::new("nowhere.pth")).contains("cannot read nowhere.pth"));
    }
}
