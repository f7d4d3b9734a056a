//! The opened device: what it is, what it holds, whether it still runs.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::pipeline::{PipelineCache, cache_folder};
use super::{AdapterReport, GpuError};
use crate::ir::{Capabilities, Dispatch, F16Bindings};

/// An opened adapter with its queue. Cheap to share: everything takes `&Arc<Gpu>`.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) pipelines: PipelineCache,
    pub(super) held_bytes: AtomicU64,
    pub(super) report: AdapterReport,
    pub(super) lost: Arc<Mutex<Option<String>>>,
}

impl Gpu {
    /// The adapter in words and numbers.
    pub fn report(&self) -> &AdapterReport {
        &self.report
    }

    /// What kernels may rely on.
    pub fn capabilities(&self) -> &Capabilities {
        &self.report.capabilities
    }

    /// Bytes of all buffers that are alive.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// Waits until everything submitted has run.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`].
    pub fn wait(&self) -> Result<(), GpuError> {
        self.poll_as(wgpu::PollType::wait_indefinitely())
    }

    /// Waits until one submission has run.
    pub(super) fn wait_for(&self, submission: &wgpu::SubmissionIndex) -> Result<(), GpuError> {
        self.poll_as(wgpu::PollType::Wait { submission_index: Some(submission.clone()), timeout: None })
    }

    /// Lets finished callbacks run without waiting.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`].
    pub fn poll(&self) -> Result<(), GpuError> {
        self.poll_as(wgpu::PollType::Poll)
    }

    fn poll_as(&self, how: wgpu::PollType) -> Result<(), GpuError> {
        let polled = self.device.poll(how);
        self.check_lost()?;
        polled.map(|_| ()).map_err(|error| GpuError::DeviceLost(error.to_string()))
    }

    pub(super) fn check_lost(&self) -> Result<(), GpuError> {
        match self.lost.lock() {
            Ok(slot) => slot.clone().map_or(Ok(()), |reason| Err(GpuError::DeviceLost(reason))),
            Err(_) => Err(GpuError::DeviceLost("the driver's callback panicked".to_string())),
        }
    }

    /// A file of the user's cache folder that belongs to this adapter and driver; `None` where there is no such folder.
    pub fn cache_file(&self, name: &str) -> Option<PathBuf> {
        let mut hasher = DefaultHasher::new();
        self.describe().hash(&mut hasher);
        Some(cache_folder()?.join(format!("{:016x}_{name}", hasher.finish())))
    }

    /// Adapter, interface, driver and its version in a line.
    pub fn describe(&self) -> String {
        let report = self.report();
        format!("{}, {}, {} {}", report.name, report.backend, report.driver, report.driver_info)
    }

    /// Compiles the kernels of `dispatches` that are new, each for its dtypes, on all cores of the host.
    ///
    /// # Errors
    /// [`GpuError::Kernel`] where one does not compile.
    pub fn compile<'a>(&self, dispatches: impl Iterator<Item = (&'a Dispatch, F16Bindings)>) -> Result<(), GpuError> {
        self.pipelines.compile(dispatches)
    }

    /// Keeps the driver's compiled kernels on disk for the next run; without a place to keep them, does nothing.
    pub fn save_pipelines(&self) {
        self.pipelines.save();
    }
}
