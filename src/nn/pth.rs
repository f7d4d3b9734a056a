//! Writing what `torch.save` writes and `torch.load(weights_only=True)` takes: an ordered dictionary of tensors.
//!
//! A `.pth` is a zip archive, not compressed: `data.pkl`, a pickle that describes the tensors, and the elements of tensor
//! number n in `data/n`. [`WeightFile`](super::WeightFile) reads such files.

use std::io::{Cursor, Write};
use std::path::Path;

use safetensors::Dtype;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::checkpoint::{CheckpointError, State, network_for};
use super::stored::Stored;
use crate::files::write_atomically;
use crate::ir::DType;

/// The folder inside the archive; PyTorch takes any.
const FOLDER: &str = "archive";

/// Where PyTorch wants elements to begin, so that it can map them into memory.
const ALIGNMENT: u16 = 64;

/// Writes the network of a state alone, its numbers stored as `dtype`, with all that PyTorch's `load_state_dict` asks for:
/// `batches` stands for the batches that batch normalisation has seen. An older file stays until the new one is whole.
///
/// # Errors
/// [`CheckpointError::File`], [`CheckpointError::TooLarge`].
pub fn write_network(path: &Path, state: &State, dtype: DType, batches: u64) -> Result<(), CheckpointError> {
    let tensors = network_for(path, state, dtype, batches)?;
    let failed = |error| CheckpointError::File { action: "write", path: path.to_owned(), error };
    let bytes = archive(&tensors).map_err(|error| failed(error.into()))?;
    write_atomically(path, &bytes).map_err(failed)
}

fn archive(tensors: &[Stored]) -> Result<Vec<u8>, zip::result::ZipError> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).with_alignment(ALIGNMENT);
    let mut add = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("{FOLDER}/{name}"), options)?;
        Ok::<_, zip::result::ZipError>(zip.write_all(bytes)?)
    };
    add("data.pkl", &pickle(tensors))?;
    add("byteorder", b"little")?;
    for (number, tensor) in tensors.iter().enumerate() {
        add(&format!("data/{number}"), &tensor.bytes)?;
    }
    // Of the format of archives; not of PyTorch.
    add("version", b"3\n")?;
    Ok(zip.finish()?.into_inner())
}

/// `OrderedDict` of the tensors by name, in protocol 2.
fn pickle(tensors: &[Stored]) -> Vec<u8> {
    let mut pickle = Pickle(vec![op::PROTOCOL, 2]);
    pickle.empty_ordered_dict();
    pickle.0.push(op::MARK);
    for (number, tensor) in tensors.iter().enumerate() {
        pickle.text(&tensor.name);
        pickle.tensor(number, tensor);
    }
    pickle.0.extend([op::SET_ITEMS, op::STOP]);
    pickle.0
}

/// The operations of a pickle that are used here.
mod op {
    pub const PROTOCOL: u8 = 0x80;
    pub const MARK: u8 = b'(';
    pub const TUPLE: u8 = b't';
    pub const EMPTY_TUPLE: u8 = b')';
    pub const GLOBAL: u8 = b'c';
    pub const CALL: u8 = b'R';
    pub const PERSISTENT: u8 = b'Q';
    pub const TEXT: u8 = b'X';
    pub const INT: u8 = b'J';
    pub const LONG: u8 = 0x8a;
    pub const FALSE: u8 = 0x89;
    pub const SET_ITEMS: u8 = b'u';
    pub const STOP: u8 = b'.';
}

/// A program for Python's unpickler under construction.
struct Pickle(Vec<u8>);

impl Pickle {
    /// `torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, requires_grad=False, hooks={})`.
    fn tensor(&mut self, number: usize, tensor: &Stored) {
        let elements: usize = tensor.shape.iter().product();
        let storage = match tensor.dtype {
            Dtype::F16 => "HalfStorage",
            Dtype::I64 => "LongStorage",
            _ => "FloatStorage",
        };
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.tuple(|pickle| {
            pickle.tuple(|pickle| {
                pickle.text("storage");
                pickle.global("torch", storage);
                pickle.text(&number.to_string());
                pickle.text("cpu");
                pickle.integer(elements);
            });
            pickle.0.push(op::PERSISTENT);
            pickle.integer(0);
            pickle.tuple(|pickle| tensor.shape.iter().for_each(|&extent| pickle.integer(extent)));
            let stride = |axis: usize| tensor.shape[axis + 1..].iter().product();
            pickle.tuple(|pickle| (0..tensor.shape.len()).for_each(|axis| pickle.integer(stride(axis))));
            pickle.0.push(op::FALSE);
            pickle.empty_ordered_dict();
        });
        self.0.push(op::CALL);
    }

    fn empty_ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.0.extend([op::EMPTY_TUPLE, op::CALL]);
    }

    fn tuple(&mut self, items: impl FnOnce(&mut Self)) {
        self.0.push(op::MARK);
        items(self);
        self.0.push(op::TUPLE);
    }

    fn global(&mut self, module: &str, name: &str) {
        self.0.push(op::GLOBAL);
        self.0.extend(format!("{module}\n{name}\n").into_bytes());
    }

    fn text(&mut self, text: &str) {
        self.0.push(op::TEXT);
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn integer(&mut self, number: usize) {
        match i32::try_from(number) {
            Ok(number) => {
                self.0.push(op::INT);
                self.0.extend(number.to_le_bytes());
            }
            Err(_) => {
                // The number of bytes, the last of which has the sign.
                self.0.extend([op::LONG, 9]);
                self.0.extend((number as u64).to_le_bytes());
                self.0.push(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pytorch_reader::PytorchReader;

    use super::*;
    use crate::graph::Tensor;
    use crate::nn::WeightFile;

    /// A file of this process's own, removed at the end.
    struct File(std::path::PathBuf);

    impl File {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("ditn-{name}-{}.pth", std::process::id())))
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).ok();
        }
    }

    fn state() -> State {
        let tensor = |shape: &[usize], data: &[f32]| Tensor { shape: shape.to_vec(), data: data.to_vec() };
        BTreeMap::from([
            ("bn1.running_mean".to_owned(), tensor(&[2], &[0.5, -0.0])),
            ("conv1.weight".to_owned(), tensor(&[1, 2, 1, 3], &[0.1, 1e-40, f32::MAX, -7.25, 3.0, f32::NAN])),
            ("optimizer.step".to_owned(), tensor(&[1], &[12.0])),
            ("Größe".to_owned(), tensor(&[0], &[])),
        ])
    }

    #[test]
    fn the_tensors_of_the_network_come_back_to_the_bit() {
        let file = File::new("bits");
        write_network(&file.0, &state(), DType::F32, 12).unwrap();
        let found = WeightFile::open(&file.0).unwrap();
        let names: Vec<&str> = found.shapes().map(|(name, _)| name).collect();
        assert_eq!(names, ["Größe", "bn1.running_mean", "conv1.weight"]);
        for name in names {
            let (found, written) = (found.read(name).unwrap(), &state()[name]);
            let bits = |tensor: &Tensor| tensor.data.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!((&found.shape, bits(&found)), (&written.shape, bits(written)), "{name}");
        }
    }

    #[test]
    fn batches_are_counted_as_integers_and_elements_can_be_mapped_into_memory() {
        let file = File::new("counters");
        write_network(&file.0, &state(), DType::F32, 1 << 40).unwrap();
        let tensors = PytorchReader::new(&file.0).unwrap().into_tensors();
        let counter = &tensors["bn1.num_batches_tracked"];
        assert_eq!((counter.shape(), counter.read().unwrap()), (&[][..], (1_u64 << 40).to_ne_bytes().to_vec()));
        let mut zip = zip::ZipArchive::new(std::fs::File::open(&file.0).unwrap()).unwrap();
        for index in 0..zip.len() {
            let entry = zip.by_index_raw(index).unwrap();
            assert_eq!((entry.data_start().unwrap() % 64, entry.compression()), (0, CompressionMethod::Stored));
        }
    }

    #[test]
    fn what_16_bits_cannot_hold_is_named_and_nothing_is_written() {
        let file = File::new("halves");
        let error = write_network(&file.0, &state(), DType::F16, 0).unwrap_err().to_string();
        assert!(error.contains("`conv1.weight` holds 3.4028235e38") && !file.0.exists(), "{error}");
        let small = BTreeMap::from([("w".to_owned(), Tensor { shape: vec![2], data: vec![0.1, -3.0] })]);
        write_network(&file.0, &small, DType::F16, 0).unwrap();
        assert_eq!(WeightFile::open(&file.0).unwrap().read("w").unwrap().data, [0.099_975_586, -3.0]);
    }

    #[test]
    fn large_integers_are_written_whole() {
        let mut pickle = Pickle(Vec::new());
        pickle.integer(1 << 33);
        assert_eq!(pickle.0, [op::LONG, 9, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    }
}
