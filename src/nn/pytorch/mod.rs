//! What `torch.save` has written, of any version of PyTorch, read as data.
//!
//! A file is a pickle, a program for Python's unpickler, beside the bytes of the tensors. [`machine`] goes through the
//! pickle and builds a table of what it describes ([`objects`]) without calling anything: [`calls`] knows the results of
//! the few calls that rebuild tensors, and everything else, whatever its class, becomes an object that remembers what it
//! contains. [`names`] then gives each tensor the keys and attributes on the way to it, as `state_dict()` would.
//!
//! Three containers hold pickle and bytes: a zip archive since PyTorch 1.6, before that pickles with the bytes behind
//! them ([`containers::legacy`]), and before 0.1.10 a tar archive ([`containers::tar`]).
//!
//! Opening costs memory in proportion to the pickle, within a limit; bytes are read tensor by tensor.

mod calls;
mod containers;
mod error;
mod machine;
mod names;
mod objects;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

use containers::{Contents, Place};
pub use error::PyTorchError;

/// Most bytes that are unpacked for one tensor of a compressed archive, which PyTorch itself does not write.
const LARGEST_UNPACKED: u64 = 256 << 20;

/// A file whose tensors can be read.
pub struct PyTorchFile {
    file: Mutex<File>,
    big_endian: bool,
    /// Each tensor under each of its names, the shortest first.
    pub tensors: Vec<(String, StoredTensor)>,
    /// Where something stands that a call would have made, and the call.
    pub made: Vec<(String, String)>,
    /// Whether it is a program for TorchScript.
    pub is_torchscript: bool,
    /// Whether MMEngine wrote it.
    pub is_mmengine: bool,
    /// Whether it is a bare pickle, without a container for the bytes of tensors.
    pub is_bare_pickle: bool,
}

/// A tensor in the file.
#[derive(Clone)]
pub struct StoredTensor {
    /// Extents.
    pub shape: Vec<usize>,
    /// The type of its elements, as safetensors calls it.
    pub element: &'static str,
    size: usize,
    stride: Vec<usize>,
    /// First byte within its storage.
    start: u64,
    /// Bytes from its first element to its last.
    length: u64,
    /// Its storage, or what is wrong with it.
    place: Result<Place, String>,
}

impl PyTorchFile {
    /// Reads names, types and shapes.
    ///
    /// # Errors
    /// [`PyTorchError`].
    pub fn open(file: File) -> Result<Self, PyTorchError> {
        let Contents { objects, root, suspicious, places, big_endian, is_torchscript, is_bare_pickle } =
            containers::contents(&file)?;
        if let Some(call) = suspicious {
            return Err(PyTorchError::Suspicious(call));
        }
        let found = names::names(&objects, root);
        if found.cut {
            return Err(PyTorchError::Malformed("the names of its tensors are longer than any network's".into()));
        }
        let stored = |(name, tensor): (String, &objects::Tensor)| {
            let stored = stored(&objects, &places, tensor);
            (name, stored)
        };
        let tensors = found.tensors.into_iter().map(stored).collect();
        let made = found.made.into_iter().map(|(name, made)| (name, made.by.to_string())).collect();
        let meta = objects.entry(root, "meta").and_then(|meta| objects.entry(meta, "mmengine_version"));
        let is_mmengine = meta.or_else(|| objects.entry(root, "message_hub")).is_some();
        Ok(Self { file: Mutex::new(file), big_endian, tensors, made, is_torchscript, is_bare_pickle, is_mmengine })
    }

    /// The elements of a tensor in order, little-endian.
    ///
    /// # Errors
    /// [`PyTorchError::Malformed`] where its storage is not there, [`PyTorchError::Read`].
    pub fn read(&self, tensor: &StoredTensor) -> Result<Vec<u8>, PyTorchError> {
        let place = tensor.place.as_ref().map_err(|reason| PyTorchError::Malformed(reason.clone()))?;
        if tensor.length == 0 {
            return Ok(Vec::new());
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::new();
        match *place {
            Place::Plain { start, .. } => {
                file.seek(SeekFrom::Start(start + tensor.start))?;
                (&*file).take(tensor.length).read_to_end(&mut bytes)?;
            }
            Place::Compressed { entry, .. } => {
                let end = tensor.start + tensor.length;
                if end > LARGEST_UNPACKED {
                    return Err(PyTorchError::Malformed("a compressed storage that is too large".into()));
                }
                file.seek(SeekFrom::Start(0))?;
                let broken = |error: zip::result::ZipError| PyTorchError::Malformed(error.to_string());
                let mut archive = zip::ZipArchive::new(BufReader::new(&*file)).map_err(broken)?;
                let mut entry = archive.by_index(entry).map_err(broken)?;
                std::io::copy(&mut entry.by_ref().take(tensor.start), &mut std::io::sink())?;
                entry.take(tensor.length).read_to_end(&mut bytes)?;
            }
        }
        if bytes.len() as u64 != tensor.length {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        drop(file);
        let mut bytes = tensor.in_order(bytes);
        if self.big_endian {
            bytes.chunks_exact_mut(tensor.size).for_each(<[u8]>::reverse);
        }
        Ok(bytes)
    }
}

impl StoredTensor {
    /// The elements in the order of the axes, from the bytes that they are spread over.
    fn in_order(&self, bytes: Vec<u8>) -> Vec<u8> {
        let mut contiguous = 1;
        let axes = self.shape.iter().zip(&self.stride).rev();
        let is_contiguous = axes.into_iter().all(|(&extent, &stride)| {
            let fits = extent == 1 || stride == contiguous;
            contiguous *= extent;
            fits
        });
        if is_contiguous {
            return bytes;
        }
        let count: usize = self.shape.iter().product();
        let mut ordered = Vec::with_capacity(count * self.size);
        let (mut index, mut at) = (vec![0; self.shape.len()], 0);
        for _ in 0..count {
            ordered.extend_from_slice(&bytes[at * self.size..][..self.size]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += self.stride[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                at -= self.stride[axis] * self.shape[axis];
                index[axis] = 0;
            }
        }
        ordered
    }
}

/// Where a tensor's bytes are, if the file has them.
fn stored(objects: &objects::Objects, places: &[Option<Place>], tensor: &objects::Tensor) -> StoredTensor {
    let objects::Tensor { storage, element, offset, shape, stride } = tensor;
    let size = element.size as u64;
    let bytes = |elements: Option<u64>| elements.and_then(|elements| elements.checked_mul(size));
    let start = bytes(Some(*offset));
    let last = shape.iter().zip(stride).try_fold(0_u64, |last, (&extent, &stride)| {
        last.checked_add((extent.saturating_sub(1) as u64).checked_mul(stride as u64)?)
    });
    // Products of extents are formed later.
    let count = shape.iter().try_fold(element.size, |count, &extent| count.checked_mul(extent));
    let length = if shape.contains(&0) { Some(0) } else { bytes(last.and_then(|last| last.checked_add(1))) };
    let key = objects.storages.get(*storage as usize).map_or("?", |storage| &storage.key);
    let place = match (places.get(*storage as usize).copied().flatten(), start, length, count) {
        (Some(place), Some(start), Some(length), Some(_)) => match start.checked_add(length) {
            Some(end) if end <= place.length() => Ok(place),
            _ => Err(format!("a tensor that reaches beyond its storage `{key}`")),
        },
        (None, ..) => Err(format!("a tensor in the storage `{key}`, which the file does not have")),
        _ => Err("a tensor that is too large for any memory".into()),
    };
    let (start, length) = (start.unwrap_or(0), length.unwrap_or(0));
    let (shape, stride) = (shape.clone(), stride.clone());
    StoredTensor { shape, element: element.name, size: element.size, stride, start, length, place }
}
