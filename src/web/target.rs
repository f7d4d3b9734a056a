//! What plans in a browser may rely on.

use std::collections::BTreeMap;

use crate::ir::{Capabilities, STORAGE_BUFFERS};

/// Invocations of a workgroup that WebGPU guarantees.
const INVOCATIONS: u32 = 256;
/// Bytes of workgroup memory that WebGPU guarantees.
const WORKGROUP_MEMORY: u32 = 16 << 10;
/// Lanes of a subgroup on the software adapters of x86 with AVX, which gain most from subgroups.
const CPU_SUBGROUP: u32 = 8;

/// A kind of browser and adapter that plans are made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What plans and people call it.
    pub name: &'static str,
    /// What files that are for it alone end in.
    pub suffix: &'static str,
    /// Features that the adapter must have, by WebGPU's names.
    pub features: Vec<&'static str>,
    /// How many lanes its subgroups must have.
    pub subgroup_size: Option<u32>,
    /// The same for the planner.
    pub capabilities: Capabilities,
}

impl Target {
    /// Every adapter: WebGPU's default limits, no features.
    pub fn default_limits() -> Self {
        let capabilities = Capabilities {
            subgroups: false,
            subgroup_min_size: 0,
            subgroup_max_size: 0,
            shader_f16: false,
            cooperative_matrix: None,
            timestamps: false,
            pipeline_cache: false,
            max_binding_bytes: 128 << 20,
            max_buffer_bytes: 256 << 20,
            workgroup_memory: WORKGROUP_MEMORY,
            max_workgroup_invocations: INVOCATIONS,
            max_storage_buffers: STORAGE_BUFFERS,
            is_cpu: false,
        };
        Self { name: "default", suffix: "", features: Vec::new(), subgroup_size: None, capabilities }
    }

    /// Adapters on a CPU that show subgroups of 8: the kernels that broadcast from lane to lane are four times as fast there.
    pub fn subgroups_of_8() -> Self {
        let of_all = Self::default_limits().capabilities;
        let capabilities = Capabilities {
            subgroups: true,
            subgroup_min_size: CPU_SUBGROUP,
            subgroup_max_size: CPU_SUBGROUP,
            is_cpu: true,
            ..of_all
        };
        Self {
            name: "subgroups of 8",
            suffix: "_subgroups_8",
            features: vec!["subgroups"],
            subgroup_size: Some(CPU_SUBGROUP),
            capabilities,
        }
    }

    /// The limits that a plan needs whose largest binding and buffer have these bytes and whose kernels bind at most so many
    /// storage buffers, by WebGPU's names.
    pub(super) fn limits(&self, binding: u64, buffer: u64, storage_buffers: usize) -> BTreeMap<&'static str, u64> {
        BTreeMap::from([
            ("maxBufferSize", buffer),
            ("maxStorageBufferBindingSize", binding),
            ("maxStorageBuffersPerShaderStage", storage_buffers as u64),
            ("maxComputeInvocationsPerWorkgroup", u64::from(self.capabilities.max_workgroup_invocations)),
            ("maxComputeWorkgroupStorageSize", u64::from(self.capabilities.workgroup_memory)),
        ])
    }
}
