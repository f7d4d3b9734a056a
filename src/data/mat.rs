//! Numeric arrays of MATLAB files (version 5 to 7), in which older data sets keep their annotations.

use super::DataError;
use matrw::{MatVariable, MatlabType};
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
    if !is_whole(&bytes) {
        return Err(wrong("ends early: not a whole MATLAB file".to_string()));
    }
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

/// Whether the variables' sizes add up to the file's: the parser panics on a file that was cut off.
fn is_whole(bytes: &[u8]) -> bool {
    let mut at = 128;
    while at < bytes.len() {
        let Some(size) = bytes.get(at + 4..at + 8) else { return false };
        // The byte order is `IM` for little-endian files.
        let word = [size[0], size[1], size[2], size[3]];
        let little = bytes[126] == b'I';
        at += 8 + if little { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) } as usize;
    }
    at == bytes.len()
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
