//! GPUs that Mesa compiles for without having them, and the environment that makes it.
//!
//! RADV of Debian 12 takes `RADV_FORCE_FAMILY` and needs nothing else. For the other targets a newer Mesa runs on a stub of the
//! kernel's interface to GPUs (`mesa-drm-shim`), as `tools/newer_lavapipe.sh DIR` installs it into a folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use ditn::ir::Capabilities;

/// Who makes the GPU: what its planner is told, and what its compiler reports.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    Amd,
    Nvidia,
}

/// How the driver is brought to compile for it.
#[derive(Clone, Copy)]
enum Driver {
    /// The system's RADV, told a family.
    Family(&'static str),
    /// Mesa's stub of a kernel driver: its library, and the variable that names the GPU.
    Stub { library: &'static str, icd: &'static str, variables: &'static [(&'static str, &'static str)] },
}

/// A GPU to compile for.
pub struct Target {
    pub name: &'static str,
    pub about: &'static str,
    pub vendor: Vendor,
    driver: Driver,
}

const fn amd(name: &'static str, about: &'static str, variables: &'static [(&'static str, &'static str)]) -> Target {
    let driver = Driver::Stub { library: "libamdgpu_noop_drm_shim.so", icd: "radeon_icd", variables };
    Target { name, about, vendor: Vendor::Amd, driver }
}

const fn nvidia(name: &'static str, about: &'static str, variables: &'static [(&'static str, &'static str)]) -> Target {
    let driver = Driver::Stub { library: "libnouveau_noop_drm_shim.so", icd: "nouveau_icd", variables };
    Target { name, about, vendor: Vendor::Nvidia, driver }
}

/// NVK says of itself that it does not conform for old chips, and wants to be asked.
const NVK: (&str, &str) = ("NVK_I_WANT_A_BROKEN_VULKAN_DRIVER", "1");

/// All targets, those that need least first.
pub const TARGETS: [Target; 8] = [
    Target {
        name: "gfx1100",
        about: "AMD RDNA3 (RX 7900) by the system's RADV",
        vendor: Vendor::Amd,
        driver: Driver::Family("gfx1100"),
    },
    amd("navi31", "AMD RDNA3 (RX 7900) by a newer RADV", &[("AMDGPU_GPU_ID", "navi31")]),
    amd("navi21", "AMD RDNA2 (RX 6800)", &[("AMDGPU_GPU_ID", "navi21")]),
    amd("gfx1201", "AMD RDNA4 (RX 9070)", &[("AMDGPU_GPU_ID", "gfx1201")]),
    amd("vega20", "AMD GCN (Radeon VII)", &[("AMDGPU_GPU_ID", "vega20")]),
    nvidia("turing", "NVIDIA Turing by Mesa's NVK", &[("NOUVEAU_CHIPSET", "164"), NVK]),
    nvidia("ga100", "NVIDIA A100 by Mesa's NVK", &[("NOUVEAU_CHIPSET", "170"), NVK]),
    nvidia("ga102", "NVIDIA RTX 30 by Mesa's NVK", &[("NOUVEAU_CHIPSET", "172"), NVK]),
];

/// Where Debian installs Vulkan's driver manifests and libraries.
const MANIFESTS: &str = "usr/share/vulkan/icd.d";
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

impl Target {
    pub fn named(name: &str) -> Result<&'static Target> {
        let known = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
        TARGETS
            .iter()
            .find(|target| target.name == name)
            .with_context(|| format!("no target '{name}'; known are {}", known()))
    }

    /// This program as a process whose Vulkan driver compiles for the target; arguments are to be added.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub fn command(&self, mesa: Option<&Path>) -> Result<Command> {
        let program = std::env::current_exe().context("this program's own file")?;
        let mut command = match self.driver {
            Driver::Family(family) => {
                let manifest = manifest(Path::new("/"), "radeon_icd").context(
                    "the system has no RADV (Debian's package mesa-vulkan-drivers, which tools/setup.sh installs)",
                )?;
                let mut command = Command::new(program);
                command.env("RADV_FORCE_FAMILY", family).env("VK_ICD_FILENAMES", manifest);
                command
            }
            Driver::Stub { library, icd, variables } => {
                let folder = mesa.context("it needs Mesa's stubs: tools/newer_lavapipe.sh DIR, then --mesa DIR")?;
                let root = folder
                    .join("root")
                    .canonicalize()
                    .with_context(|| format!("{} is not of newer_lavapipe.sh", folder.display()))?;
                let (libraries, loader) = (root.join(LIBRARIES), root.join("lib64/ld-linux-x86-64.so.2"));
                let stub = libraries.join(library);
                ensure!(stub.exists(), "{} is missing: install mesa-drm-shim there", stub.display());
                let manifest = rooted_manifest(&root, icd)?;
                let mut command = Command::new(loader);
                command.arg("--library-path").arg(&libraries).arg("--preload").arg(stub).arg(program);
                command.env("VK_ICD_FILENAMES", manifest).envs(variables.iter().copied());
                command
            }
        };
        command.env("MESA_SHADER_CACHE_DISABLE", "true").env("NODEVICE_SELECT", "1").env_remove("VK_DRIVER_FILES");
        Ok(command)
    }

    /// What the planner is told about a GPU of this vendor.
    pub fn capabilities(&self) -> Capabilities {
        let ([subgroup_min_size, subgroup_max_size], workgroup_memory) = match self.vendor {
            Vendor::Nvidia => ([32, 32], 48 << 10),
            Vendor::Amd => ([32, 64], 64 << 10),
        };
        Capabilities {
            subgroups: true,
            subgroup_min_size,
            subgroup_max_size,
            shader_f16: true,
            cooperative_matrix: None,
            timestamps: true,
            pipeline_cache: true,
            max_binding_bytes: (1 << 31) - 4,
            max_buffer_bytes: 1 << 32,
            workgroup_memory,
            max_workgroup_invocations: 1024,
            max_storage_buffers: 16,
            is_cpu: false,
        }
    }
}

/// The first target that can be compiled for here.
pub fn first_here(mesa: Option<&Path>) -> Result<&'static Target> {
    match TARGETS.iter().find(|target| target.command(mesa).is_ok()) {
        Some(target) => Ok(target),
        None => bail!("no driver here compiles for GPUs that are not there; `isa targets` says what each target needs"),
    }
}

/// Prints all targets and what each needs.
pub fn list(mesa: Option<&Path>) {
    for target in &TARGETS {
        let state = match target.command(mesa) {
            Ok(_) => "here".to_owned(),
            Err(error) => format!("not here: {error}"),
        };
        println!("{:<8}  {:<40}  {state}", target.name, target.about);
    }
}

/// The manifest of a driver, whose name may be followed by the architecture's.
fn manifest(root: &Path, name: &str) -> Option<PathBuf> {
    [format!("{name}.json"), format!("{name}.x86_64.json")]
        .into_iter()
        .map(|file| root.join(MANIFESTS).join(file))
        .find(|path| path.exists())
}

/// A copy beside `root` of the manifest of the driver there, with the library's path as it is from outside.
fn rooted_manifest(root: &Path, name: &str) -> Result<PathBuf> {
    let original = manifest(root, name).with_context(|| format!("{} has no {name}", root.join(MANIFESTS).display()))?;
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&original)?)?;
    let library = json["ICD"]["library_path"].as_str().context("a manifest without library_path")?.to_owned();
    let file = Path::new(&library).file_name().context("a manifest without library_path")?;
    json["ICD"]["library_path"] = root.join(LIBRARIES).join(file).to_string_lossy().into();
    let path = root.with_file_name(format!("{name}.json"));
    std::fs::write(&path, json.to_string())?;
    Ok(path)
}
