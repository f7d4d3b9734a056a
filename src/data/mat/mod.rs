//! Variables of MATLAB files (version 5 to 7), in which older data sets keep their annotations.

mod parse;

use super::{DataError, files};
use std::path::Path;
use std::sync::Arc;

/// An array of numbers, the first index running fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// Extent of each dimension.
    pub shape: Vec<usize>,
    /// As many values as the shape says.
    pub values: Vec<f64>,
}

/// What a variable, a field or a cell holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Variable {
    /// Numbers of any type; an empty array is one without values.
    Numbers(Numbers),
    /// Characters.
    Text(String),
    /// An array of structures.
    Structures(Vec<Structure>),
    /// A cell array.
    Cells(Vec<Variable>),
}

/// A structure of an array; all of the array have the same fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Structure {
    names: Arc<[String]>,
    values: Vec<Variable>,
}

impl Structure {
    /// The field of that name.
    pub fn get(&self, name: &str) -> Option<&Variable> {
        self.values.get(self.names.iter().position(|field| field == name)?)
    }

    /// The structures in a field; none where there is no such field or it is empty.
    pub fn structures(&self, name: &str) -> &[Structure] {
        match self.get(name) {
            Some(Variable::Structures(structures)) => structures,
            _ => &[],
        }
    }

    /// The first number in a field, or the one that its text spells; `None` where there is no such field or it is empty.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Variable::Numbers(numbers) => numbers.values.first().copied(),
            Variable::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

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
