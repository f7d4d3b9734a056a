//! From a graph of operators to replayed runs: differentiate, plan, run.

mod autodiff;
pub mod check;
mod fuse;
mod plan;
mod session;
mod store;

pub use autodiff::differentiate;
pub use fuse::fuse;
pub use plan::{Plan, PlanError, Slot, Step};
pub use session::{Session, SessionError};
pub use store::{Store, Tensor};
