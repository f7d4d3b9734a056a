//! Opening a device: the adapter, the features and limits that kernels use, the test of what is experimental.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use super::environment::is_set;
use super::pipeline::PipelineCache;
use super::{AdapterChoice, AdapterReport, Gpu, GpuError, adapter, cooperative, unchecked};

impl Gpu {
    /// Opens the adapter that `choice` names with all features that the kernels can use and the adapter's own limits.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] where none fits, [`GpuError::NoDevice`] where the driver refuses.
    pub fn open(choice: &AdapterChoice) -> Result<Arc<Self>, GpuError> {
        let (adapter, mut report) = adapter::choose(choice)?;
        let matrices = report.capabilities.cooperative_matrix.take();
        Self::request(choice, adapter, report, matrices)
    }

    /// As [`Gpu::open`], with cooperative matrices where the adapter offers them and they pass the test, whatever
    /// `DITN_COOPERATIVE_MATRIX` says.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub fn open_with_matrices(choice: &AdapterChoice) -> Result<Arc<Self>, GpuError> {
        let (adapter, mut report) = adapter::choose(choice)?;
        report.capabilities.cooperative_matrix = None;
        let matrices = adapter::cooperative_matrix_size(&adapter);
        Self::request(choice, adapter, report, matrices)
    }

    /// Requests the device; the report gets `matrices` where they pass the test.
    fn request(
        choice: &AdapterChoice,
        adapter: wgpu::Adapter,
        report: AdapterReport,
        matrices: Option<u32>,
    ) -> Result<Arc<Self>, GpuError> {
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
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("ditn"),
            required_features: adapter.features() & useful,
            required_limits: adapter.limits(),
            experimental_features,
            ..Default::default()
        };
        let unchecked = if choice.trusted_kernels_only && !is_set("DITN_ROBUST") {
            unchecked::open(&adapter, &report.name, &descriptor)?
        } else {
            None
        };
        let robust = unchecked.is_none();
        let (device, queue) = match unchecked {
            Some(opened) => opened,
            None => pollster::block_on(adapter.request_device(&descriptor))
                .map_err(|error| GpuError::NoDevice { adapter: report.name.clone(), reason: error.to_string() })?,
        };
        let lost = Arc::new(Mutex::new(None));
        let on_lost = Arc::clone(&lost);
        device.set_device_lost_callback(move |reason, message| {
            if let Ok(mut slot) = on_lost.lock() {
                *slot = Some(format!("{reason:?}: {message}"));
            }
        });
        let pipelines = PipelineCache::open(&device, &adapter, report.capabilities.pipeline_cache, robust);
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
}
