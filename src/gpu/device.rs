//! The opened device: memory, kernels, submission.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::adapter::{self, AdapterChoice, AdapterReport};
use super::pipeline::PipelineCache;
use super::{GpuError, View, cooperative};
use crate::ir::Capabilities;

/// An opened adapter with its queue. Cheap to share: everything takes `&Arc<Gpu>`.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) pipelines: PipelineCache,
    pub(super) held_bytes: AtomicU64,
    report: AdapterReport,
    lost: Arc<Mutex<Option<String>>>,
}

impl Gpu {
    /// Opens the adapter that `choice` names with all features that the kernels can use and the adapter's own limits.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] where none fits, [`GpuError::NoDevice`] where the driver refuses.
    pub fn open(choice: &AdapterChoice) -> Result<Arc<Self>, GpuError> {
        let (adapter, mut report) = adapter::choose(choice)?;
        let matrices = report.capabilities.cooperative_matrix.take();
        let mut useful = wgpu::Features::SUBGROUP
            | wgpu::Features::SHADER_F16
            | wgpu::Features::TIMESTAMP_QUERY
            | wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES
            | wgpu::Features::PIPELINE_CACHE;
        let mut experimental_features = wgpu::ExperimentalFeatures::disabled();
        if matrices.is_some() {
            useful |= wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
            experimental_features = cooperative::experimental_features();
        }
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("ditn"),
            required_features: adapter.features() & useful,
            required_limits: adapter.limits(),
            experimental_features,
            ..Default::default()
        }))
        .map_err(|error| GpuError::NoDevice { adapter: report.name.clone(), reason: error.to_string() })?;
        let lost = Arc::new(Mutex::new(None));
        let on_lost = Arc::clone(&lost);
        device.set_device_lost_callback(move |reason, message| {
            if let Ok(mut slot) = on_lost.lock() {
                *slot = Some(format!("{reason:?}: {message}"));
            }
        });
        let pipelines = PipelineCache::open(&device, &adapter, report.capabilities.pipeline_cache);
        let mut gpu = Arc::new(Self { device, queue, pipelines, held_bytes: AtomicU64::new(0), report, lost });
        if let Some(size) = matrices {
            match cooperative::is_right(&gpu, size) {
                // Nothing else holds the device yet.
                Ok(true) => {
                    if let Some(gpu) = Arc::get_mut(&mut gpu) {
                        gpu.report.capabilities.cooperative_matrix = matrices;
                    }
                }
                Ok(false) => {
                    tracing::warn!("cooperative matrices of {size}x{size} give wrong sums here and are not used")
                }
                Err(error) => tracing::warn!("cooperative matrices of {size}x{size} are not used: {error}"),
            }
        }
        Ok(gpu)
    }

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

    /// Copies 4-byte `words` to the start of `buffer` before whatever is submitted next.
    ///
    /// # Errors
    /// [`GpuError::Length`] where more words are given than the buffer holds.
    pub fn write<T: bytemuck::NoUninit>(&self, view: View, words: &[T]) -> Result<(), GpuError> {
        let bytes: &[u8] = bytemuck::cast_slice(words);
        if bytes.len() > view.bytes() as usize || !bytes.len().is_multiple_of(4) {
            return Err(GpuError::Length {
                tensor: view.name().to_string(),
                expected: view.bytes() as usize / 4,
                given: bytes.len() / 4,
            });
        }
        self.queue.write_buffer(view.raw(), view.offset(), bytes);
        Ok(())
    }

    /// Waits for all submitted work and reads the whole of `view`.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`], [`GpuError::OutOfMemory`].
    pub fn read<T: bytemuck::Pod>(self: &Arc<Self>, view: View) -> Result<Vec<T>, GpuError> {
        super::Readback::start(self, view)?.wait()
    }
}
