//! From a graph of operators to replayed runs: differentiate, fuse, plan, run. [`nn`](crate::nn) and whoever runs a
//! network call it; it reads no file and no environment behind a caller's back, and only a session meets a device.
//!
//! [`differentiate`], [`fuse`], [`fuse_backward`], [`recompute`], [`synchronise`], [`store_activations_as_f16`], [`flatten`]
//! and [`freeze`] rewrite a [`Graph`](crate::ir::Graph);
//! [`Plan`] orders it, chooses its kernels and finds memory for it, all without a device; a [`Session`] runs a plan on one,
//! with the tensors of a [`Store`]. Layers and training are above it.

mod autodiff;
mod choices;
mod error;
mod flatten;
mod freeze;
mod fuse;
mod memory;
mod mixed_precision;
mod plan;
mod recompute;
mod resolve;
mod session;
mod step;
mod store;
mod synchronise;
mod workload;

pub use autodiff::differentiate;
pub use choices::{Choices, ChoicesError, choices_path};
pub use error::{GraphError, SessionError};
pub use flatten::{flatten, flatten_in_chunks};
pub use freeze::freeze;
pub use fuse::{as_type, fuse, fuse_backward};
pub use memory::{Memory, Placement};
pub use mixed_precision::store_activations_as_f16;
pub use plan::{Plan, PlanError};
pub use recompute::recompute;
pub use resolve::{Binding, PlannedDispatch, Source};
pub use session::Session;
pub use step::Step;
pub use store::{Store, TEMPORARY, Tensor};
pub use synchronise::synchronise;
pub use workload::Workload;
