//! Files of weights, whoever wrote them: safetensors, and what `torch.save` writes.
//!
//! A `.pth` is a pickle, a program for Python's unpickler, beside the bytes of the tensors. `pytorch` reads it as data:
//! it knows the few calls that rebuild a tensor, and whatever else is in the pickle (the optimizer, a configuration,
//! whole modules) is stepped over or, where tensors lie in it, gone into. Nothing of a file is ever run.
//!
//! Opening reads names, types and shapes; values are read tensor by tensor when they are asked for. What a file merely
//! claims to hold costs no memory until someone wants it.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use super::file_kind::{FileKind, kind_of};
use super::public_names::{self, PublicNames, Renamed};
use super::pytorch::{PyTorchError, PyTorchFile, StoredTensor};
use super::stored::decode;
use super::weight_error::WeightFileError;
use crate::graph::Tensor;

/// Longest message of a library that is passed on: it may quote the file.
const LONGEST_REASON: usize = 400;

/// Names, types and shapes of a file's tensors, with the way to their values.
///
/// PyTorch's counters `num_batches_tracked`, which no network here reads, are left out.
pub struct WeightFile {
    path: PathBuf,
    source: Source,
    tensors: BTreeMap<String, Stored>,
    /// Calls that are not made, by the names of what they would have given.
    made: BTreeMap<String, String>,
    /// What the file is, where that explains why its names fit nothing.
    remark: Option<&'static str>,
    is_mmengine: bool,
    public_names: Option<PublicNames>,
}

/// Where values come from.
enum Source {
    /// The whole file, for safetensors.
    Bytes(Vec<u8>),
    PyTorch(PyTorchFile),
}

/// The end of the names that are left out.
const COUNTER: &str = "num_batches_tracked";

/// A tensor in a file.
#[derive(Clone)]
struct Stored {
    shape: Vec<usize>,
    element: String,
    values: Values,
    /// The tensor that is subtracted from it: see [`public_names`].
    less: Option<Box<Stored>>,
}

/// Where the values are.
#[derive(Clone)]
enum Values {
    /// In the file's bytes, little-endian.
    Bytes(Range<usize>),
    /// In a `.pth`.
    PyTorch(StoredTensor),
}

impl WeightFile {
    /// Opens a file, whichever of the formats it is in and whatever its name.
    ///
    /// # Errors
    /// [`WeightFileError`], except for the types of elements.
    pub fn open(path: &Path) -> Result<Self, WeightFileError> {
        let read = |error| WeightFileError::Read { path: path.to_owned(), error };
        let mut file = match kind_of(path).map_err(read)? {
            FileKind::Safetensors => Self::safetensors(path)?,
            FileKind::PyTorch => Self::pytorch(path)?,
            FileKind::Pipe => return Err(malformed(path, "it is a pipe or a device: save it as a file first")),
            FileKind::Other(what) => return Err(malformed(path, &format!("it is {what}"))),
        };
        file.rename();
        Ok(file)
    }

    /// Gives the tensors of networks that are [known under other names](public_names) those that they have here.
    fn rename(&mut self) {
        let shapes = self.shapes().collect();
        let Some((public_names, renamed)) = public_names::renamed(&shapes) else { return };
        let mut named = BTreeMap::new();
        for Renamed { original, name, less } in renamed {
            let less = less.and_then(|less| self.tensors.get(&less).cloned().map(Box::new));
            if let Some(stored) = self.tensors.get(&original).cloned() {
                named.insert(name, Stored { less, ..stored });
            }
        }
        (self.tensors, self.public_names) = (named, Some(public_names));
    }

    fn safetensors(path: &Path) -> Result<Self, WeightFileError> {
        let bytes = std::fs::read(path).map_err(|error| WeightFileError::Read { path: path.to_owned(), error })?;
        let mut tensors = safetensors_in(&bytes).map_err(|reason| malformed(path, &reason))?;
        tensors.retain(|name, _| !name.ends_with(COUNTER));
        let (path, source) = (path.to_owned(), Source::Bytes(bytes));
        Ok(Self { path, source, tensors, made: BTreeMap::new(), remark: None, is_mmengine: false, public_names: None })
    }

    fn pytorch(path: &Path) -> Result<Self, WeightFileError> {
        let file = File::open(path).map_err(|error| WeightFileError::Read { path: path.to_owned(), error })?;
        let mut file = PyTorchFile::open(file).map_err(|error| pytorch_failed(path, error))?;
        let mut tensors = BTreeMap::new();
        for (name, tensor) in std::mem::take(&mut file.tensors) {
            if !name.ends_with(COUNTER) {
                let (shape, element) = (tensor.shape.clone(), tensor.element.to_owned());
                tensors.entry(name).or_insert(Stored { shape, element, values: Values::PyTorch(tensor), less: None });
            }
        }
        let made = std::mem::take(&mut file.made).into_iter().collect();
        let remark = match () {
            () if file.is_torchscript => Some("it is a program for TorchScript, whose names may be its own"),
            () if file.is_bare_pickle && tensors.is_empty() => Some(
                "it is a pickle that torch.save did not write: load it in Python and save the weights with torch.save",
            ),
            () => None,
        };
        let (path, is_mmengine) = (path.to_owned(), file.is_mmengine);
        Ok(Self { path, source: Source::PyTorch(file), tensors, made, remark, is_mmengine, public_names: None })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The shape of each tensor by its name in the file.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, stored)| (name.as_str(), stored.shape.as_slice()))
    }

    /// What the file is, where that explains why its names fit nothing.
    pub fn remark(&self) -> Option<&'static str> {
        self.remark
    }

    /// Whether MMEngine wrote the file. Where it averages weights, `state_dict` has the average, and `ema_state_dict`
    /// what was averaged.
    pub fn is_mmengine(&self) -> bool {
        self.is_mmengine
    }

    /// Whose names its tensors had, where they have got those that are used here.
    pub fn public_names(&self) -> Option<PublicNames> {
        self.public_names
    }

    /// Whether the file has the places by which MMPose takes the expectation of a heat map.
    pub fn is_integral(&self) -> bool {
        self.tensors.keys().any(|name| name.ends_with("head.linspace_x"))
    }

    /// The call that would make what stands under `name`, if it is no tensor but the result of a call.
    pub fn made_by(&self, name: &str) -> Option<&str> {
        self.made.get(name).map(String::as_str)
    }

    /// The values of the tensor `name`, as float32 whatever kind of float the file holds.
    ///
    /// # Errors
    /// Elements that are no floats, a tensor that is not there, a file that breaks off.
    pub fn read(&self, name: &str) -> Result<Tensor, WeightFileError> {
        let Some(stored) = self.tensors.get(name) else {
            return Err(match self.made_by(name) {
                Some(call) => {
                    let (path, name, call) = (self.path.clone(), name.to_owned(), call.to_owned());
                    WeightFileError::Made { path, name, call }
                }
                None => malformed(&self.path, &format!("it has no tensor `{name}`")),
            });
        };
        let mut tensor = self.values_of(name, stored)?;
        if let Some(less) = &stored.less {
            let less = self.values_of(name, less)?;
            if less.shape != tensor.shape {
                let (bias, mean) = (less.shape, tensor.shape);
                return Err(malformed(
                    &self.path,
                    &format!("`{name}` {mean:?} and the bias in front of it {bias:?} differ"),
                ));
            }
            tensor.data.iter_mut().zip(less.data).for_each(|(value, less)| *value -= less);
        }
        Ok(tensor)
    }

    fn values_of(&self, name: &str, stored: &Stored) -> Result<Tensor, WeightFileError> {
        let unpacked;
        let bytes = match (&stored.values, &self.source) {
            (Values::Bytes(range), Source::Bytes(bytes)) => &bytes[range.clone()],
            (Values::PyTorch(tensor), Source::PyTorch(file)) => {
                let failed = |error| malformed(&self.path, &format!("`{name}`: {error}"));
                unpacked = file.read(tensor).map_err(failed)?;
                &unpacked
            }
            // A tensor has its values where the file has its tensors.
            _ => &[],
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

fn safetensors_in(bytes: &[u8]) -> Result<BTreeMap<String, Stored>, String> {
    let file =
        SafeTensors::deserialize(bytes).map_err(|error| cut_short(bytes).unwrap_or_else(|| error.to_string()))?;
    let stored = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
        // The view lies in `bytes`, behind the header.
        let start = view.data().as_ptr().addr() - bytes.as_ptr().addr();
        let values = Values::Bytes(start..start + view.data().len());
        let element = format!("{:?}", view.dtype());
        (name.to_owned(), Stored { shape: view.shape().to_vec(), element, values, less: None })
    };
    Ok(file.iter().map(stored).collect())
}

/// What to say where a safetensors file lacks its end.
pub(super) fn cut_short(bytes: &[u8]) -> Option<String> {
    let header = u64::from_le_bytes(*bytes.first_chunk()?).checked_add(8)?;
    let whole = match SafeTensors::read_metadata(bytes) {
        Ok((_, metadata)) => header.checked_add(metadata.data_len() as u64)?,
        Err(_) => header,
    };
    let there = bytes.len() as u64;
    // A header of more than 100 MB is none.
    (there < whole && header <= 100_000_008)
        .then(|| format!("it is cut short: {there} bytes of {whole} or more; copy or download it again"))
}

fn pytorch_failed(path: &Path, error: PyTorchError) -> WeightFileError {
    match error {
        PyTorchError::Suspicious(call) => WeightFileError::Suspicious { path: path.to_owned(), call },
        PyTorchError::Read(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            WeightFileError::Read { path: path.to_owned(), error }
        }
        error => malformed(path, &error.to_string()),
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
        parameters_of("hrnet_coco")
    }

    fn parameters_of(dump: &str) -> BTreeMap<String, Tensor> {
        let file = WeightFile::open(&made(&format!("../dumps/{dump}.safetensors"))).unwrap();
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
    fn files_of_other_public_code_have_the_names_of_the_networks_here() {
        for (name, dump, prefix) in [
            ("princeton.pth", "hourglass_mpii", "state_dict.model.module."),
            ("rsn_authors.pth", "rsn_coco", "state_dict."),
        ] {
            let (saved, file) = (parameters_of(dump), WeightFile::open(&made(name)).unwrap());
            let names: Vec<String> = file.shapes().map(|(name, _)| name.to_owned()).collect();
            assert_eq!(names, saved.keys().map(|name| format!("{prefix}{name}")).collect::<Vec<_>>(), "{name}");
            for (tensor, saved) in
                saved.iter().map(|(name, saved)| (file.read(&format!("{prefix}{name}")).unwrap(), saved))
            {
                // A bias that went into a mean and out again has left its rounding there.
                let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
                assert!(tensor.shape == saved.shape && tensor.data.iter().zip(&saved.data).all(near), "{name}");
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

    fn names(file: &WeightFile) -> Vec<&str> {
        file.shapes().map(|(name, _)| name).collect()
    }

    /// The tensors of the stem, of which the smaller files are made.
    const STEM: [&str; 6] =
        ["bn1.bias", "bn1.running_mean", "bn1.running_var", "bn1.weight", "conv1.weight", "conv2.weight"];

    fn holds_the_stem(file: &WeightFile, prefix: &str) {
        let saved = dump();
        for name in STEM {
            assert_eq!(bits(&file.read(&format!("{prefix}{name}")).unwrap()), bits(&saved[name]), "{prefix}{name}");
        }
    }

    #[test]
    fn objects_of_every_sort_beside_the_weights_are_stepped_over() {
        for name in ["objects_2.pth", "objects_4.pth"] {
            let file = WeightFile::open(&made(name)).unwrap();
            holds_the_stem(&file, "state_dict.");
            let averaged = file.read("state_dict_ema.module.bn1.bias").unwrap();
            let plain = file.read("state_dict.bn1.bias").unwrap();
            assert!(averaged.data.iter().zip(&plain.data).all(|(a, b)| *a == b + 1.0), "{name}");
            assert_eq!(file.read("objects.slots.state.conv9.weight").unwrap().data, [9.0], "{name}");
            assert_eq!(file.made_by("objects.enum"), Some("__main__.Color"), "{name}");
        }
    }

    #[test]
    fn a_whole_module_gives_what_its_state_dict_would() {
        let file = WeightFile::open(&made("module.pth")).unwrap();
        assert_eq!(names(&file), STEM.map(|name| format!("model.module.{name}")));
        holds_the_stem(&file, "model.module.");
    }

    #[test]
    fn the_first_container_is_read() {
        let file = WeightFile::open(&made("first.pth")).unwrap();
        assert_eq!(names(&file), STEM);
        holds_the_stem(&file, "");
    }

    #[test]
    fn a_tensor_that_a_call_would_make_is_refused_by_both_names() {
        let file = WeightFile::open(&made("scaled.pth")).unwrap();
        let text = file.read("state_dict.conv1.weight").unwrap_err().to_string();
        assert!(text.contains("`state_dict.conv1.weight`") && text.contains("`__main__.scaled`"), "{text}");
        assert!(file.read("state_dict.conv2.weight").is_ok());
    }

    #[test]
    fn an_archive_packed_anew_in_the_other_byte_order_reads_the_same() {
        use std::io::{Read, Write};
        let mut archive = zip::ZipArchive::new(File::open(made("hrnet_zip.pth")).unwrap()).unwrap();
        let mut packed = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).unwrap();
            let name = entry.name().unwrap().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            match &name {
                name if name.ends_with("/byteorder") => bytes = b"big".to_vec(),
                // One storage of float32; what else there is are counters.
                name if name.ends_with("/data/0") => bytes.chunks_exact_mut(4).for_each(<[u8]>::reverse),
                _ => {}
            }
            packed.start_file(name, options).unwrap();
            packed.write_all(&bytes).unwrap();
        }
        let path = std::env::temp_dir().join(format!("ditn-packed-{}.pth", std::process::id()));
        std::fs::write(&path, packed.finish().unwrap().into_inner()).unwrap();
        let file = WeightFile::open(&path).unwrap();
        for (name, tensor) in dump() {
            assert_eq!(bits(&file.read(&name).unwrap()), bits(&tensor), "{name}");
        }
        std::fs::remove_file(&path).unwrap();
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
