//! DITN.

pub mod data;
pub mod metrics;
pub mod predict;
