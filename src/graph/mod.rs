//! From a graph of operators to replayed runs: differentiate, plan, run.

mod autodiff;
pub mod check;
mod fuse;
mod half;
pub mod measure;
mod memory;
mod plan;
mod recompute;
mod session;
mod store;
pub mod tune;

pub use autodiff::differentiate;
pub use fuse::fuse;
pub use half::store_in_half;
pub use memory::Place;
pub use plan::{Plan, PlanError, Step};
pub use recompute::recompute;
pub use session::{Session, SessionError};
pub use store::{Store, Tensor};
