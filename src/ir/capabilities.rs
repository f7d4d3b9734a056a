//! What an adapter can do, as far as kernels and plans depend on it.

use serde::{Deserialize, Serialize};

/// Storage buffers that a kernel may bind on every adapter: what WebGPU guarantees. A test holds the kernels to it; the
/// variants of those that bind more are offered where [`Capabilities::max_storage_buffers`] allows it.
pub const STORAGE_BUFFERS: u32 = 8;

/// What kernels and plans may rely on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Subgroup operations work in compute shaders.
    pub subgroups: bool,
    /// Fewest lanes of a subgroup; 0 without subgroups.
    pub subgroup_min_size: u32,
    /// Most lanes of a subgroup; 0 without subgroups.
    pub subgroup_max_size: u32,
    /// `f16` in shaders.
    pub shader_f16: bool,
    /// Rows and columns of cooperative matrices, f16 multiplied into f32 sums: 8 or 16. Only where `DITN_COOPERATIVE_MATRIX`
    /// is 1, and of an opened device where they were found right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooperative_matrix: Option<u32>,
    /// Time stamps can be written between the dispatches of a pass.
    pub timestamps: bool,
    /// Compiled pipelines can be kept on disk.
    pub pipeline_cache: bool,
    /// Bytes that one storage binding may span.
    pub max_binding_bytes: u64,
    /// Bytes that one buffer may have.
    pub max_buffer_bytes: u64,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Invocations of one workgroup.
    pub max_workgroup_invocations: u32,
    /// Storage buffers that one kernel may bind.
    pub max_storage_buffers: u32,
    /// The adapter runs on the CPU (lavapipe, SwiftShader, WARP).
    pub is_cpu: bool,
}

impl Capabilities {
    /// Bytes that one tensor may have: it must fit a buffer and a binding.
    pub fn max_tensor_bytes(&self) -> u64 {
        self.max_binding_bytes.min(self.max_buffer_bytes)
    }
}
