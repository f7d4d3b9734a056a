//! Compiled kernels: each once a process, and on disk where the driver can keep them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::{env, fs};

use super::{Dispatch, Gpu, GpuError, Kernel};

type Key = (&'static str, Vec<(&'static str, u64)>);

/// Pipelines by kernel and constants.
pub(super) struct PipelineCache {
    pipelines: Mutex<HashMap<Key, Arc<wgpu::ComputePipeline>>>,
    modules: Mutex<HashMap<&'static str, Arc<wgpu::ShaderModule>>>,
    driver: Option<wgpu::PipelineCache>,
    path: Option<PathBuf>,
}

impl PipelineCache {
    /// Reads the driver's cache of earlier runs where there is one; a damaged file counts as none.
    pub(super) fn open(device: &wgpu::Device, adapter: &wgpu::Adapter, supported: bool) -> Self {
        let path = if supported { cache_path(adapter) } else { None };
        let data = path.as_ref().and_then(|path| fs::read(path).ok());
        let driver = supported.then(|| open_driver_cache(device, data.as_deref()));
        Self { pipelines: Mutex::default(), modules: Mutex::default(), driver, path }
    }
}

/// `create_pipeline_cache` is unsafe because drivers trust the data they are given.
#[allow(unsafe_code)]
fn open_driver_cache(device: &wgpu::Device, data: Option<&[u8]>) -> wgpu::PipelineCache {
    let descriptor = wgpu::PipelineCacheDescriptor { label: Some("ditn"), data, fallback: true };
    // SAFETY: the data is what `get_data` returned for the same adapter and driver (the file's name holds both, and
    // it is written beside and renamed, so never half); wgpu checks its header and falls back to an empty cache.
    unsafe { device.create_pipeline_cache(&descriptor) }
}

fn cache_path(adapter: &wgpu::Adapter) -> Option<PathBuf> {
    let info = adapter.get_info();
    let key = wgpu::util::pipeline_cache_key(&info)?;
    let mut driver = DefaultHasher::new();
    (info.driver, info.driver_info).hash(&mut driver);
    Some(cache_folder()?.join(format!("{key}_{:016x}", driver.finish())))
}

fn cache_folder() -> Option<PathBuf> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Some(env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?.join("ditn"))
}

fn lock<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, GpuError> {
    mutex.lock().map_err(|_| GpuError::DeviceLost("another thread panicked while it compiled a kernel".to_string()))
}

impl Gpu {
    /// The compiled pipeline of a dispatch, compiled now if it is new.
    pub(super) fn pipeline(&self, dispatch: &Dispatch) -> Result<Arc<wgpu::ComputePipeline>, GpuError> {
        let constants = dispatch.constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
        let key: Key = (dispatch.kernel.name, constants);
        if let Some(pipeline) = lock(&self.pipelines.pipelines)?.get(&key) {
            return Ok(Arc::clone(pipeline));
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = self.module(dispatch.kernel)?;
        let pipeline = Arc::new(self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(dispatch.kernel.name),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &dispatch.constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: self.pipelines.driver.as_ref(),
        }));
        if let Some(error) = pollster::block_on(scope.pop()) {
            let kernel = format!("{} {:?}", dispatch.kernel.name, dispatch.constants);
            return Err(GpuError::Kernel { kernel, reason: error.to_string() });
        }
        let mut pipelines = lock(&self.pipelines.pipelines)?;
        Ok(Arc::clone(pipelines.entry(key).or_insert(pipeline)))
    }

    fn module(&self, kernel: &'static Kernel) -> Result<Arc<wgpu::ShaderModule>, GpuError> {
        let mut modules = lock(&self.pipelines.modules)?;
        let module = modules.entry(kernel.name).or_insert_with(|| {
            Arc::new(self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(kernel.name),
                source: wgpu::ShaderSource::Wgsl(kernel.source.into()),
            }))
        });
        Ok(Arc::clone(module))
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

    /// Keeps the driver's compiled kernels on disk for the next run; without a place to keep them, does nothing.
    pub fn save_pipelines(&self) {
        let (Some(driver), Some(path)) = (&self.pipelines.driver, &self.pipelines.path) else { return };
        let (Some(data), Some(folder)) = (driver.get_data(), path.parent()) else { return };
        let beside = path.with_extension(std::process::id().to_string());
        // A cache that cannot be written costs the next start some seconds and nothing else.
        let written =
            fs::create_dir_all(folder).and_then(|()| fs::write(&beside, data)).and_then(|()| fs::rename(&beside, path));
        if let Err(error) = written {
            tracing::debug!("pipeline cache not kept: {error}");
        }
    }
}
