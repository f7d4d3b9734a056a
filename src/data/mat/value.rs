//! What the variables of a MATLAB file hold.

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
    pub(super) names: Arc<[String]>,
    pub(super) values: Vec<Variable>,
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
