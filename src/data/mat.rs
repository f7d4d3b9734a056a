//! Numeric arrays of MATLAB files (version 5 to 7), in which older data sets keep their annotations.

use super::DataError;
use flate2::read::ZlibDecoder;
use matrw::{MatVariable, MatlabType};
use std::io::Read;
use std::path::Path;

const PARSED_TEXT: &[u8] = b"MATLAB 5.0 MAT-file, ";

/// An array of numbers, the first index running fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// Extent of each dimension.
    pub shape: Vec<usize>,
    /// As many values as the shape says.
    pub values: Vec<f64>,
}

/// The numeric array `variable` of the file.
///
/// # Errors
/// Where the file is missing, not a MATLAB file, or has no such array. `advice` says where to get the file.
pub fn read(path: &Path, variable: &str, advice: &str) -> Result<Numbers, DataError> {
    let wrong = |problem: String| DataError::Annotation { path: path.to_path_buf(), problem };
    let mut bytes = std::fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => DataError::Missing { path: path.to_path_buf(), advice: advice.to_string() },
        _ => DataError::Read { path: path.to_path_buf(), source },
    })?;
    if bytes.starts_with(b"MATLAB 7.3") {
        return Err(wrong("a MATLAB 7.3 file; save it with -v7".to_string()));
    }
    // The text of the header is free, but the parser insists on MATLAB's own; SciPy writes another.
    if bytes.starts_with(b"MATLAB 5.0") && bytes.len() >= 128 {
        bytes[..PARSED_TEXT.len()].copy_from_slice(PARSED_TEXT);
    }
    let Some(bytes) = inflated(&bytes).filter(|bytes| fits(&bytes[HEADER..], is_little_endian(bytes), 0)) else {
        return Err(wrong("ends early or is damaged: not a whole MATLAB file".to_string()));
    };
    // The parser is meant for well-formed files; on others it may panic instead of returning an error.
    let Ok(Ok(mut file)) = std::panic::catch_unwind(|| matrw::load_matfile_from_u8(&bytes)) else {
        return Err(wrong("not a whole MATLAB file of version 5 to 7".to_string()));
    };
    match file.take(variable) {
        Some(MatVariable::NumericArray(array)) => {
            let values = numbers(array.value).ok_or_else(|| wrong(format!("`{variable}` does not hold numbers")))?;
            if array.dim.iter().product::<usize>() != values.len() {
                return Err(wrong(format!("`{variable}` has {} values for the shape {:?}", values.len(), array.dim)));
            }
            Ok(Numbers { shape: array.dim, values })
        }
        Some(_) => Err(wrong(format!("`{variable}` is not a numeric array"))),
        None => Err(wrong(format!("has no variable `{variable}`"))),
    }
}

/// A file's header, before the first element.
const HEADER: usize = 128;
/// The type of an element that holds other elements: an array.
const MATRIX: u32 = 14;
/// The type of an element that is another one, compressed.
const COMPRESSED: u32 = 15;
/// Most bytes that a compressed element may hold; MPII's annotations have a hundredth of that.
const LARGEST: u64 = 1 << 30;
/// Arrays within arrays; annotations have a few.
const DEEPEST: usize = 32;

/// The byte order of a file with a whole header is `IM` where it is little-endian.
fn is_little_endian(bytes: &[u8]) -> bool {
    bytes[HEADER - 2] == b'I'
}

/// Type and size of the element that begins here, and what follows its tag; `None` where the file ends before.
fn element(bytes: &[u8], little: bool) -> Option<(u32, usize, &[u8])> {
    let (tag, rest) = bytes.split_at_checked(8)?;
    let word = |at: usize| {
        let word = [tag[at], tag[at + 1], tag[at + 2], tag[at + 3]];
        if little { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) }
    };
    Some((word(0), word(4) as usize, rest))
}

/// The file with its compressed elements unpacked, so that all sizes in it can be checked; `None` where it ends early.
fn inflated(bytes: &[u8]) -> Option<Vec<u8>> {
    let (header, mut rest) = bytes.split_at_checked(HEADER)?;
    let mut plain = header.to_vec();
    while !rest.is_empty() {
        let (kind, size, data) = element(rest, is_little_endian(bytes))?;
        let (data, after) = data.split_at_checked(size)?;
        if kind == COMPRESSED {
            ZlibDecoder::new(data).take(LARGEST).read_to_end(&mut plain).ok()?;
        } else {
            plain.extend(&rest[..8 + size]);
        }
        rest = after;
    }
    Some(plain)
}

/// Whether every element lies within the one that holds it: the parser asks for as much memory as an element says that
/// it has, and panics where there is less.
fn fits(mut bytes: &[u8], little: bool, depth: usize) -> bool {
    while !bytes.is_empty() {
        let Some((kind, size, data)) = element(bytes, little) else { return false };
        // A size in the upper half of the type: up to four bytes of data lie in the tag itself.
        if kind >> 16 != 0 {
            bytes = data;
            continue;
        }
        let Some(inner) = data.get(..size) else { return false };
        if kind == MATRIX && (depth == DEEPEST || !fits(inner, little, depth + 1)) {
            return false;
        }
        // Elements within an array begin at multiples of eight bytes.
        bytes = data.get(size.next_multiple_of(8)..).unwrap_or_default();
    }
    true
}

fn numbers(values: MatlabType) -> Option<Vec<f64>> {
    Some(match values {
        MatlabType::U8(v) => v.into_iter().map(f64::from).collect(),
        MatlabType::I8(v) => v.into_iter().map(f64::from).collect(),
        MatlabType::U16(v) => v.into_iter().map(f64::from).collect(),
        MatlabType::I16(v) => v.into_iter().map(f64::from).collect(),
        MatlabType::U32(v) => v.into_iter().map(f64::from).collect(),
        MatlabType::I32(v) => v.into_iter().map(f64::from).collect(),
        MatlabType::F32(v) => v.into_iter().map(f64::from).collect(),
        MatlabType::F64(v) => v,
        MatlabType::BOOL(v) => v.into_iter().map(f64::from).collect(),
        MatlabType::U64(v) => v.into_iter().map(|n| n as f64).collect(),
        MatlabType::I64(v) => v.into_iter().map(|n| n as f64).collect(),
        MatlabType::UTF8(_) | MatlabType::UTF16(_) => return None,
    })
}
