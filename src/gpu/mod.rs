//! The only module that names wgpu: adapters, memory, pipelines, submission.
//!
//! [`Gpu::open`] gives a device; a [`Buffer`] holds a tensor; [`Commands`] binds [`Dispatch`](crate::ir::Dispatch)es to
//! buffers and replays them; a [`Readback`] or [`Staging`] brings results to the
//! host without stopping the device. It knows
//! [`ir`](crate::ir) and nothing else of the crate, and no operator: which kernels run is decided above it.

mod adapter;
mod buffer;
mod commands;
mod cooperative;
mod device;
mod environment;
mod error;
mod open;
mod pipeline;
mod quiet;
mod staging;
mod unchecked;

pub use adapter::{AdapterChoice, AdapterReport, list_adapters, missing_driver_advice};
pub use buffer::{Buffer, Readback, View};
pub use commands::Commands;
pub use device::Gpu;
pub use error::GpuError;
pub use quiet::quiet_drivers;
pub use staging::Staging;
