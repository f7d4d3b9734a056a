//! Shapes of tensors.

use std::fmt;

use thiserror::Error;

/// Extents of a dense, row-major tensor of 4-byte elements. Pictures and features are `[N, C, H, W]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape(Vec<usize>);

impl Shape {
    /// Shape with these extents.
    pub fn new(extents: impl Into<Vec<usize>>) -> Self {
        Self(extents.into())
    }

    /// The extents, outermost first.
    pub fn extents(&self) -> &[usize] {
        &self.0
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.0.iter().product()
    }

    /// The extents as `[N, C, H, W]`.
    ///
    /// # Errors
    /// [`ShapeError`] where there are not four.
    pub fn nchw(&self, operator: &'static str) -> Result<[usize; 4], ShapeError> {
        self.0.as_slice().try_into().map_err(|_| ShapeError::new(operator, format!("{self} is not [N, C, H, W]")))
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(extents: [usize; N]) -> Self {
        Self(extents.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extents: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "[{}]", extents.join(", "))
    }
}

/// Inputs that an operator cannot take.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{operator}: {message}{}", .node.as_ref().map(|node| format!(" (in '{node}')")).unwrap_or_default())]
pub struct ShapeError {
    operator: &'static str,
    message: String,
    node: Option<String>,
}

impl ShapeError {
    /// An error of `operator`; `message` names the shapes.
    pub fn new(operator: &'static str, message: impl Into<String>) -> Self {
        Self { operator, message: message.into(), node: None }
    }

    /// The same error with the name of the node it came from.
    pub fn within(mut self, node: &str) -> Self {
        self.node = Some(node.to_string());
        self
    }

    /// Fails unless `condition`.
    ///
    /// # Errors
    /// The error that `message` describes.
    pub fn unless(condition: bool, operator: &'static str, message: impl FnOnce() -> String) -> Result<(), Self> {
        if condition { Ok(()) } else { Err(Self::new(operator, message())) }
    }
}
