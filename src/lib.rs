//! DITN: human pose estimation on an autodiff tensor engine of hand-written WGSL kernels.

pub mod bench;
#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
pub mod files;
pub mod gpu;
pub mod graph;
pub mod ir;
pub mod metrics;
pub mod models;
pub mod nn;
pub mod ops;
pub mod plot;
pub mod predict;
pub mod train;
pub mod verify;
