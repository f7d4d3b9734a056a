//! Reading a variable of a file.

use std::path::Path;

use super::parse;
use super::value::{Numbers, Variable};
use crate::data::{DataError, files};

/// The numeric array `variable` of the file.
///
/// # Errors
/// Where the file is missing, not a MATLAB file, or has no such array. `advice` says where to get the file.
pub fn read(path: &Path, variable: &str, advice: &str) -> Result<Numbers, DataError> {
    match read_variable(path, variable, advice)? {
        Variable::Numbers(numbers) => Ok(numbers),
        _ => Err(DataError::Annotation {
            path: path.to_path_buf(),
            problem: format!("`{variable}` is not a numeric array"),
        }),
    }
}

/// The variable of that name, whatever it is.
///
/// # Errors
/// Where the file is missing, not a MATLAB file, or has no such variable. `advice` says where to get the file.
pub fn read_variable(path: &Path, variable: &str, advice: &str) -> Result<Variable, DataError> {
    let bytes = files::read(path, advice)?;
    parse::variable(&bytes, variable).map_err(|problem| DataError::Annotation { path: path.to_path_buf(), problem })
}
