//! The vocabulary that operators and graph passes share: shapes, values, nodes, and what an operator is.

mod graph;
mod operator;
mod shape;

pub use graph::{Graph, Node, Role, Value, ValueId};
pub use operator::{Case, Cost, Operator, Preparation, Stored, Variant};
pub use shape::{Shape, ShapeError};
