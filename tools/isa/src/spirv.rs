//! Shaders as the SPIR-V that wgpu makes of them.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};

/// A shader ready to compile.
pub struct Shader {
    pub spirv: Vec<u32>,
    /// The storage buffers of group 0.
    pub bindings: Vec<u32>,
    pub workgroup: [u32; 3],
}

/// As wgpu's Vulkan backend does for a trusted module: without run-time checks and zeroed workgroup memory.
///
/// Constants that the shader does not have are left out.
pub fn translate(source: &str, constants: &BTreeMap<String, f64>) -> Result<Shader> {
    let module = naga::front::wgsl::parse_str(source).map_err(|error| anyhow!(error.emit_to_string(source)))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module)?;
    let entry = Some((naga::ShaderStage::Compute, "main"));
    let known = |name: &str| module.overrides.iter().any(|(_, it)| it.name.as_deref() == Some(name));
    let constants =
        constants.iter().filter(|(name, _)| known(name)).map(|(name, value)| (name.clone(), *value)).collect();
    let (module, info) = naga::back::pipeline_constants::process_overrides(&module, &info, entry, &constants)
        .map_err(|error| anyhow!("{error}"))?;
    let unchecked = BoundsCheckPolicy::Unchecked;
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::empty(),
        bounds_check_policies: BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..spv::Options::default()
    };
    let pipeline = spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".to_owned() };
    let spirv = spv::write_vec(&module, &info, &options, Some(&pipeline))?;
    let used = info.get_entry_point(0);
    let globals = module.global_variables.iter().filter(|(handle, _)| !used[*handle].is_empty());
    let bindings = globals.filter_map(|(_, variable)| Some(variable.binding.as_ref()?.binding)).collect();
    Ok(Shader { spirv, bindings, workgroup: module.entry_points[0].workgroup_size })
}
