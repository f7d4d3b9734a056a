//! The vocabulary of the engine: shapes, dtypes, graphs, operators, kernels and their dispatches, as data.
//!
//! Every other module speaks it; it imports none of them. Nothing here runs: an [`Operator`] says with which [`Kernel`]s it
//! can be computed on an adapter of given [`Capabilities`], a [`Graph`] holds operators applied to values,
//! [`graph`](crate::graph) plans it, and [`gpu`](crate::gpu) runs the [`Dispatch`]es.

mod capabilities;
mod dtype;
mod graph;
mod kernel;
mod operator;
mod shape;
mod variant;

pub use capabilities::{Capabilities, STORAGE_BUFFERS};
pub use dtype::{DType, DTypes, F16Bindings};
pub use graph::{ALIGNMENT, Graph, Node, Part, Role, Value, ValueId};
pub use kernel::{Argument, Dispatch, Kernel, MAX_WORKGROUPS, folded};
pub use operator::{Case, Cost, Operator, UNIT_ROUNDOFF, absolute, take};
pub use shape::{Shape, ShapeError};
pub use variant::{Accuracy, Prepacking, Variant};
