//! Which adapters the machine has, what each can do, and which one to use.

use std::env;

use serde::{Deserialize, Serialize};

use super::GpuError;
use super::environment::is_set;
use crate::ir::{Capabilities, STORAGE_BUFFERS};

/// Which adapter to use; the default takes the best one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdapterChoice {
    /// Part of the adapter's name (case does not matter) or its number in [`list_adapters`]; or several of these with commas
    /// between. Where it is `None`, the environment variable `WGPU_ADAPTER_NAME` is asked.
    pub name: Option<String>,
    /// The number of this process, from 0, among those of this machine that each want an adapter: of as many as `name` names, or
    /// of the best kind, it takes that one, and where they are fewer begins again with the first.
    pub turn: usize,
    /// No kernels but this crate's will run. Then a Vulkan device is opened without the driver's checks of buffer accesses
    /// (robustBufferAccess), which some GPUs pay for and which these kernels do not need; a kernel of
    /// [one's own](crate::ir::Kernel::new) is refused. The environment variable `DITN_ROBUST=1` keeps the checks.
    pub trusted_kernels_only: bool,
}

/// One adapter of this machine, in words and numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterReport {
    /// Name as the driver gives it.
    pub name: String,
    /// vulkan, metal, dx12 or gl.
    pub backend: String,
    /// "discrete GPU", "integrated GPU", "virtual GPU", "CPU" or "other".
    pub kind: String,
    /// Name of the driver.
    pub driver: String,
    /// Version of the driver, as it describes itself.
    pub driver_info: String,
    /// What kernels may rely on.
    pub capabilities: Capabilities,
}

impl AdapterReport {
    pub(super) fn of(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let features = adapter.features();
        let limits = adapter.limits();
        let subgroups = features.contains(wgpu::Features::SUBGROUP);
        let (subgroup_min_size, subgroup_max_size) =
            if subgroups { (info.subgroup_min_size, info.subgroup_max_size) } else { (0, 0) };
        Self {
            backend: info.backend.to_str().to_string(),
            kind: match info.device_type {
                wgpu::DeviceType::DiscreteGpu => "discrete GPU",
                wgpu::DeviceType::IntegratedGpu => "integrated GPU",
                wgpu::DeviceType::VirtualGpu => "virtual GPU",
                wgpu::DeviceType::Cpu => "CPU",
                wgpu::DeviceType::Other => "other",
            }
            .to_string(),
            capabilities: Capabilities {
                subgroups,
                subgroup_min_size,
                subgroup_max_size,
                shader_f16: features.contains(wgpu::Features::SHADER_F16),
                cooperative_matrix: asks_for_matrices().then(|| cooperative_matrix_size(adapter)).flatten(),
                timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES),
                pipeline_cache: features.contains(wgpu::Features::PIPELINE_CACHE),
                max_binding_bytes: limits.max_storage_buffer_binding_size,
                max_buffer_bytes: limits.max_buffer_size,
                workgroup_memory: limits.max_compute_workgroup_storage_size,
                max_workgroup_invocations: limits.max_compute_invocations_per_workgroup,
                max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
                is_cpu: info.device_type == wgpu::DeviceType::Cpu,
            },
            name: info.name,
            driver: info.driver,
            driver_info: info.driver_info,
        }
    }

    /// A real GPU goes before a CPU, and a modern interface before GL.
    fn rank(&self) -> (u8, u8) {
        let kind = match self.kind.as_str() {
            "discrete GPU" => 0,
            "integrated GPU" => 1,
            "virtual GPU" | "other" => 2,
            _ => 3,
        };
        (kind, u8::from(self.backend == "gl"))
    }
}

/// Whether `DITN_COOPERATIVE_MATRIX` asks for cooperative matrices.
fn asks_for_matrices() -> bool {
    is_set("DITN_COOPERATIVE_MATRIX")
}

/// Rows and columns of the cooperative matrices that kernels can use on an adapter, f16 multiplied into f32 sums: 8 or 16. None
/// unless all subgroups have as many lanes.
pub(super) fn cooperative_matrix_size(adapter: &wgpu::Adapter) -> Option<u32> {
    let info = adapter.get_info();
    let needed =
        wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
    if !adapter.features().contains(needed) || info.subgroup_min_size != info.subgroup_max_size {
        return None;
    }
    let (f16, f32) = (wgpu::CooperativeScalarType::F16, wgpu::CooperativeScalarType::F32);
    let offered = adapter.cooperative_matrix_properties();
    let offers = |size: &u32| {
        offered
            .iter()
            .any(|it| [it.m_size, it.n_size, it.k_size] == [*size; 3] && (it.ab_type, it.cr_type) == (f16, f32))
    };
    [16, 8].into_iter().find(offers)
}

/// The adapters that can run kernels, best first.
///
/// `WGPU_BACKEND` says which interfaces to ask (vulkan, metal, dx12, gl). Without it GL is asked only where the modern
/// ones have no adapter: it is the same hardware again, with fewer features.
fn adapters() -> Vec<(wgpu::Adapter, AdapterReport)> {
    match wgpu::Backends::from_env() {
        Some(backends) => adapters_of(backends),
        None => Some(adapters_of(wgpu::Backends::PRIMARY))
            .filter(|found| !found.is_empty())
            .unwrap_or_else(|| adapters_of(wgpu::Backends::GL)),
    }
}

fn adapters_of(backends: wgpu::Backends) -> Vec<(wgpu::Adapter, AdapterReport)> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    let instance = wgpu::Instance::new(descriptor);
    let mut found: Vec<_> = pollster::block_on(instance.enumerate_adapters(backends))
        .into_iter()
        .filter(|adapter| {
            adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
                && adapter.limits().max_storage_buffers_per_shader_stage >= STORAGE_BUFFERS
        })
        .map(|adapter| {
            let report = AdapterReport::of(&adapter);
            (adapter, report)
        })
        .collect();
    found.sort_by_key(|(_, report)| report.rank());
    found
}

/// Reports every adapter of this machine that can run compute kernels, best first.
pub fn list_adapters() -> Vec<AdapterReport> {
    adapters().into_iter().map(|(_, report)| report).collect()
}

/// The places of the adapters that `wanted` names among these names, in its order; without it the first `best` of them.
fn suitable(names: &[&str], best: usize, wanted: Option<&str>) -> Vec<usize> {
    let matching = |name: &str| -> Vec<usize> {
        let name = name.trim().to_lowercase();
        match name.parse::<usize>() {
            Ok(number) => (number < names.len()).then_some(number).into_iter().collect(),
            Err(_) => (0..names.len()).filter(|&place| names[place].to_lowercase().contains(&name)).collect(),
        }
    };
    match wanted {
        None => (0..best).collect(),
        // Names have commas too.
        Some(name) => match matching(name) {
            some if !some.is_empty() => some,
            _ => {
                let each: Vec<_> = name.split(',').map(|name| matching(name).first().copied()).collect();
                each.into_iter().collect::<Option<Vec<_>>>().unwrap_or_default()
            }
        },
    }
}

/// Picks the adapter that `choice` (or the environment) names, else the best.
pub(super) fn choose(choice: &AdapterChoice) -> Result<(wgpu::Adapter, AdapterReport), GpuError> {
    let mut found = adapters();
    let wanted = choice.name.clone().or_else(|| env::var("WGPU_ADAPTER_NAME").ok()).filter(|name| !name.is_empty());
    let names: Vec<&str> = found.iter().map(|(_, report)| report.name.as_str()).collect();
    // They are in order of their kinds.
    let best = found.iter().take_while(|(_, report)| report.rank() == found[0].1.rank()).count();
    let suitable = suitable(&names, best, wanted.as_deref());
    let position = suitable.get(choice.turn % suitable.len().max(1)).copied();
    match position {
        Some(position) => Ok(found.swap_remove(position)),
        None => Err(GpuError::NoAdapter {
            wanted: wanted.map_or_else(|| "is there".to_string(), |name| format!("matches '{name}'")),
            found: if found.is_empty() {
                "none".to_string()
            } else {
                found.iter().map(|(_, report)| report.name.clone()).collect::<Vec<_>>().join(", ")
            },
            advice: missing_driver_advice(),
        }),
    }
}

/// What a machine without an adapter lacks, in words that say what to do.
pub fn missing_driver_advice() -> String {
    if cfg!(target_os = "linux") {
        "On Linux a Vulkan driver is needed: the GPU vendor's (for NVIDIA also its ICD file in \
         /usr/share/vulkan/icd.d and libEGL/libGLX), or the software driver lavapipe, which tools/setup.sh installs"
            .to_string()
    } else {
        "Install the graphics driver of your GPU's vendor; `ditn devices` lists what is found".to_string()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn processes_take_turns_with_what_is_named_or_of_the_best_kind() {
        // Three GPUs and a CPU.
        let names = ["NVIDIA H100", "NVIDIA H100", "Radeon", "llvmpipe (LLVM 15, 256 bits)"];
        let suitable = |wanted| super::suitable(&names, 3, wanted);
        assert_eq!(suitable(None), [0, 1, 2]);
        assert_eq!(suitable(Some("h100")), [0, 1]);
        assert_eq!(suitable(Some("2,0")), [2, 0]);
        assert_eq!(suitable(Some("radeon, 3")), [2, 3]);
        assert_eq!(suitable(Some("llvmpipe (LLVM 15, 256 bits)")), [3]);
        for missing in ["4", "0,4", "Arc"] {
            assert!(suitable(Some(missing)).is_empty(), "{missing}");
        }
        assert!(super::suitable(&[], 0, None).is_empty());
    }
}
