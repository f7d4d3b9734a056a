//! Everything that can go wrong between this program and a GPU.

use thiserror::Error;

/// An error of the adapter, the device, a buffer or a kernel.
#[derive(Debug, Error)]
pub enum GpuError {
    /// No adapter is there at all, or none fits the choice.
    #[error("no GPU adapter {wanted}; found: {found}. {advice}")]
    NoAdapter {
        /// What was asked for, as the user wrote it.
        wanted: String,
        /// The adapters that are there.
        found: String,
        /// What to do about it.
        advice: String,
    },
    /// The adapter is there but gives no device.
    #[error("cannot open a device on adapter '{adapter}': {reason}")]
    NoDevice {
        /// Name of the adapter.
        adapter: String,
        /// The driver's words.
        reason: String,
    },
    /// A tensor does not fit into one binding of this adapter.
    #[error(
        "tensor '{tensor}' needs {wanted} bytes, but this adapter binds at most {limit} bytes at a time; \
         use a smaller batch or input size"
    )]
    BindingTooLarge {
        /// Name of the tensor.
        tensor: String,
        /// Bytes it needs.
        wanted: u64,
        /// Bytes the adapter allows.
        limit: u64,
    },
    /// The device has no memory left.
    #[error(
        "out of GPU memory: '{tensor}' needs {wanted} bytes, {held} bytes are already allocated; \
         use a smaller batch or input size"
    )]
    OutOfMemory {
        /// Name of the tensor.
        tensor: String,
        /// Bytes wanted.
        wanted: u64,
        /// Bytes that this device already held.
        held: u64,
    },
    /// The driver took the device away.
    #[error("the GPU device was lost: {0}")]
    DeviceLost(String),
    /// A kernel was refused by the compiler or the driver.
    #[error("kernel '{kernel}' does not compile or bind: {reason}")]
    Kernel {
        /// Name of the kernel.
        kernel: String,
        /// The compiler's words.
        reason: String,
    },
    /// A kernel that is not this crate's on a device that checks no accesses.
    #[error(
        "kernel '{kernel}' needs a device that checks accesses of buffers: open it with \
         AdapterChoice {{ trusted_kernels_only: false, .. }}"
    )]
    Untrusted {
        /// Name of the kernel.
        kernel: &'static str,
    },
    /// A transfer has another length than the buffer.
    #[error("'{tensor}' has {expected} 4-byte words, but {given} were given")]
    Length {
        /// Name of the tensor.
        tensor: String,
        /// Words that the buffer holds.
        expected: usize,
        /// Words that were given.
        given: usize,
    },
    /// A kernel wrote outside its tensor (found by the guard words of a test run).
    #[error("a kernel wrote out of bounds of tensor '{tensor}', {side} it")]
    GuardBroken {
        /// Name of the tensor.
        tensor: String,
        /// "before" or "after".
        side: &'static str,
    },
}
