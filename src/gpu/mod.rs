//! The only module that names wgpu: adapters, memory, kernels, submission.
//!
//! [`Gpu::open`] gives a device; a [`Buffer`] holds a tensor; a [`Dispatch`] says which [`Kernel`] runs with which
//! constants; [`Commands`] binds dispatches to buffers and replays them; a [`Readback`] brings results to the host
//! without stopping the device.

mod adapter;
mod buffer;
mod commands;
mod cooperative;
mod device;
mod error;
mod kernel;
mod pipeline;

pub use adapter::{AdapterChoice, AdapterReport, Capabilities, list_adapters, missing_driver_advice};
pub use buffer::{Buffer, Readback, View};
pub use commands::Commands;
pub use cooperative::with_matrices_of_16;
pub use device::Gpu;
pub use error::GpuError;
pub use kernel::{Argument, Dispatch, Element, Halves, Kernel, MAX_WORKGROUPS, folded};
