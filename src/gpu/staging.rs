//! Memory of the host that the device copies into.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use super::{Gpu, GpuError};

/// Memory of the host that the device writes to, for one copy after the other.
pub struct Staging {
    gpu: Arc<Gpu>,
    raw: wgpu::Buffer,
    /// The copy that is under way.
    copy: Option<Copy>,
}

struct Copy {
    mapped: mpsc::Receiver<Result<(), wgpu::BufferAsyncError>>,
    submission: wgpu::SubmissionIndex,
    bytes: u64,
    arrived: bool,
}

impl Staging {
    /// Room for copies of up to `words` 4-byte words.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`].
    pub fn new(gpu: &Arc<Gpu>, name: &str, words: usize) -> Result<Self, GpuError> {
        Self::with_bytes(gpu, name, 4 * words.max(1) as u64)
    }

    pub(super) fn with_bytes(gpu: &Arc<Gpu>, name: &str, bytes: u64) -> Result<Self, GpuError> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        Ok(Self { gpu: Arc::clone(gpu), raw: gpu.create_buffer(name, bytes, usage)?, copy: None })
    }

    /// Asks for `bytes` bytes of a buffer as they are after everything submitted so far; returns at once.
    pub(super) fn start(
        &mut self,
        name: &str,
        (from, offset): (&wgpu::Buffer, u64),
        bytes: u64,
    ) -> Result<(), GpuError> {
        self.gpu.check_lost()?;
        if bytes > self.raw.size() || self.copy.is_some() {
            let (expected, given) = (self.raw.size() as usize / 4, bytes as usize / 4);
            return Err(GpuError::Length { tensor: name.to_string(), expected, given });
        }
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(from, offset, &self.raw, 0, bytes);
        let submission = self.gpu.queue.submit([encoder.finish()]);
        let (sender, mapped) = mpsc::channel();
        self.raw.slice(..bytes).map_async(wgpu::MapMode::Read, move |result| {
            // The receiver is gone only where nobody wants the result any more.
            let _ = sender.send(result);
        });
        self.copy = Some(Copy { mapped, submission, bytes, arrived: false });
        Ok(())
    }

    /// Whether the copy has arrived; does not wait for it.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`]; [`GpuError::Length`] where no copy has been started.
    pub fn is_there(&mut self) -> Result<bool, GpuError> {
        let Some(copy) = &mut self.copy else { return Err(not_started()) };
        self.gpu.poll()?;
        copy.has_arrived()
    }

    /// Waits for the copy, not for what was submitted after it, and shows its bytes where they lie.
    ///
    /// # Errors
    /// As [`Staging::is_there`].
    pub fn wait<R>(&mut self, look: impl FnOnce(&[u8]) -> R) -> Result<R, GpuError> {
        let Some(mut copy) = self.copy.take() else { return Err(not_started()) };
        while !copy.has_arrived()? {
            self.gpu.wait_for(&copy.submission)?;
        }
        let range = self.raw.slice(..copy.bytes).get_mapped_range();
        let seen = look(&range.map_err(|error| GpuError::DeviceLost(error.to_string()))?);
        self.raw.unmap();
        Ok(seen)
    }
}

fn not_started() -> GpuError {
    GpuError::Length { tensor: "a copy that nobody started".to_string(), expected: 0, given: 0 }
}

impl Copy {
    /// Asks the driver until it has said so once.
    fn has_arrived(&mut self) -> Result<bool, GpuError> {
        if !self.arrived {
            self.arrived = match self.mapped.try_recv() {
                Ok(result) => result.map(|()| true).map_err(|error| GpuError::DeviceLost(error.to_string()))?,
                Err(mpsc::TryRecvError::Empty) => false,
                Err(mpsc::TryRecvError::Disconnected) => {
                    return Err(GpuError::DeviceLost("a read-back was dropped by the driver".to_string()));
                }
            };
        }
        Ok(self.arrived)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.gpu.held_bytes.fetch_sub(self.raw.size(), Ordering::Relaxed);
    }
}
