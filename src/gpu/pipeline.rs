//! Compiled kernels: each once a process, and on disk where the driver can keep them.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use std::{env, fs, panic, thread};

use super::GpuError;
use super::environment::is_set;
use crate::ir::{Dispatch, F16Bindings, Kernel};

type Key = (&'static str, Vec<(&'static str, u64)>, F16Bindings);

/// Pipelines by kernel, constants and how the tensors are stored.
pub(super) struct PipelineCache {
    device: wgpu::Device,
    pipelines: Mutex<HashMap<Key, Arc<wgpu::ComputePipeline>>>,
    modules: Mutex<HashMap<(&'static str, F16Bindings), Arc<wgpu::ShaderModule>>>,
    driver: Option<wgpu::PipelineCache>,
    path: Option<PathBuf>,
    /// Whether wgpu adds its run-time checks to this crate's shaders too.
    checks: bool,
    /// Whether the driver checks accesses of buffers, which wgpu's run-time checks count on.
    robust: bool,
}

/// The environment variable that keeps wgpu's run-time checks in the shaders where it is 1.
const CHECKS: &str = "DITN_SHADER_CHECKS";

impl PipelineCache {
    /// Reads the driver's cache of earlier runs where there is one; a damaged file counts as none.
    pub(super) fn open(device: &wgpu::Device, adapter: &wgpu::Adapter, supported: bool, robust: bool) -> Self {
        let path = if supported { cache_path(adapter) } else { None };
        let data = path.as_ref().and_then(|path| fs::read(path).ok());
        let driver = supported.then(|| open_driver_cache(device, data.as_deref()));
        let checks = is_set(CHECKS);
        let (pipelines, modules) = (Mutex::default(), Mutex::default());
        Self { device: device.clone(), pipelines, modules, driver, path, checks, robust }
    }

    /// Compiles the kernels of `dispatches`, each with how its tensors are stored, that are new, on all cores of the host.
    ///
    /// # Errors
    /// [`GpuError::Kernel`] where one does not compile.
    pub(super) fn compile<'a>(
        &self,
        dispatches: impl Iterator<Item = (&'a Dispatch, F16Bindings)>,
    ) -> Result<(), GpuError> {
        let start = Instant::now();
        let mut known: HashSet<Key> = lock(&self.pipelines)?.keys().cloned().collect();
        let new: Vec<(&Dispatch, F16Bindings)> =
            dispatches.filter(|&(dispatch, f16)| known.insert(key_of(dispatch, f16))).collect();
        let next = AtomicUsize::new(0);
        let work = || -> Result<(), GpuError> {
            while let Some(&(dispatch, f16)) = new.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.pipeline(dispatch, f16)?;
            }
            Ok(())
        };
        let threads = thread::available_parallelism().map_or(1, usize::from).min(new.len());
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            let joined =
                others.into_iter().map(|other| other.join().unwrap_or_else(|cause| panic::resume_unwind(cause)));
            joined.fold(own, Result::and)
        })?;
        tracing::debug!("{} kernels compiled in {:.2} s", new.len(), start.elapsed().as_secs_f64());
        Ok(())
    }

    /// The compiled pipeline of a dispatch, compiled now if it is new.
    pub(super) fn pipeline(
        &self,
        dispatch: &Dispatch,
        f16: F16Bindings,
    ) -> Result<Arc<wgpu::ComputePipeline>, GpuError> {
        let key = key_of(dispatch, f16);
        if let Some(pipeline) = lock(&self.pipelines)?.get(&key) {
            return Ok(Arc::clone(pipeline));
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = self.module(dispatch.kernel, f16)?;
        let pipeline = Arc::new(self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(dispatch.kernel.name),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &dispatch.constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: self.driver.as_ref(),
        }));
        if let Some(error) = pollster::block_on(scope.pop()) {
            let kernel = format!("{} {:?}", dispatch.kernel.name, dispatch.constants);
            return Err(GpuError::Kernel { kernel, reason: error.to_string() });
        }
        let mut pipelines = lock(&self.pipelines)?;
        Ok(Arc::clone(pipelines.entry(key).or_insert(pipeline)))
    }

    fn module(&self, kernel: &'static Kernel, f16: F16Bindings) -> Result<Arc<wgpu::ShaderModule>, GpuError> {
        if !self.robust && !kernel.is_trusted() {
            return Err(GpuError::Untrusted { kernel: kernel.name });
        }
        let mut modules = lock(&self.modules)?;
        let module = modules.entry((kernel.name, f16)).or_insert_with(|| {
            let source = wgpu::ShaderSource::Wgsl(kernel.source_for(f16));
            let descriptor = wgpu::ShaderModuleDescriptor { label: Some(kernel.name), source };
            Arc::new(if self.checks || !kernel.is_trusted() {
                self.device.create_shader_module(descriptor)
            } else {
                create_unchecked(&self.device, descriptor)
            })
        });
        Ok(Arc::clone(module))
    }

    /// Keeps the driver's compiled kernels on disk for the next run; without a place to keep them, does nothing.
    pub(super) fn save(&self) {
        let (Some(driver), Some(path)) = (&self.driver, &self.path) else { return };
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

/// `create_pipeline_cache` is unsafe because drivers trust the data they are given.
#[allow(unsafe_code)]
fn open_driver_cache(device: &wgpu::Device, data: Option<&[u8]>) -> wgpu::PipelineCache {
    let descriptor = wgpu::PipelineCacheDescriptor { label: Some("ditn"), data, fallback: true };
    // SAFETY: the data is what `get_data` returned for the same adapter and driver (the file's name holds both, and
    // it is written beside and renamed, so never half); wgpu checks its header and falls back to an empty cache.
    unsafe { device.create_pipeline_cache(&descriptor) }
}

/// Without the clamps of indices, bounds of loops and guards of divisions that wgpu otherwise adds to every shader.
#[allow(unsafe_code)]
fn create_unchecked(device: &wgpu::Device, descriptor: wgpu::ShaderModuleDescriptor) -> wgpu::ShaderModule {
    // SAFETY: only kernels of this crate get here (`Kernel::trusted` is private to it). Their loops end and their divisors are not zero; that their indices are in
    // range, the tests of kernels show: all of them pass between guard words without the checks, and with them, where an
    // index out of range would be clamped and give other values.
    unsafe { device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) }
}

fn cache_path(adapter: &wgpu::Adapter) -> Option<PathBuf> {
    let info = adapter.get_info();
    let key = wgpu::util::pipeline_cache_key(&info)?;
    let mut driver = DefaultHasher::new();
    (info.driver, info.driver_info).hash(&mut driver);
    Some(cache_folder()?.join(format!("{key}_{:016x}", driver.finish())))
}

/// The folder of this program in the user's cache folder; `None` where the user has none.
pub(super) fn cache_folder() -> Option<PathBuf> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Some(env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?.join("ditn"))
}

fn lock<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, GpuError> {
    mutex.lock().map_err(|_| GpuError::DeviceLost("another thread panicked while it compiled a kernel".to_string()))
}

/// What tells the pipeline of a dispatch from others.
fn key_of(dispatch: &Dispatch, f16: F16Bindings) -> Key {
    let constants = dispatch.constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
    (dispatch.kernel.name, constants, f16)
}
