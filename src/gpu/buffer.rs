//! Buffers with names, sizes and, in tests, guard words on both sides.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Gpu, GpuError, Staging};

/// Bytes of guard words on each side of a guarded buffer: the alignment that every adapter accepts for a binding.
const GUARD_BYTES: u64 = 256;
const GUARD_WORD: u32 = 0x6a7d_5eed;

/// A piece of GPU memory that holds one tensor or, one after the other, the tensors of one memory slot.
pub struct Buffer {
    pub(super) raw: wgpu::Buffer,
    /// Where the data starts: 0, or behind the guard words.
    pub(super) offset: u64,
    bytes: u64,
    name: String,
    gpu: Arc<Gpu>,
}

impl Buffer {
    /// Reserves `words` 4-byte words, zeroed.
    ///
    /// # Errors
    /// [`GpuError::BindingTooLarge`] over the adapter's limit, [`GpuError::OutOfMemory`] where the driver has none left.
    pub fn new(gpu: &Arc<Gpu>, name: &str, words: usize) -> Result<Self, GpuError> {
        Self::allocate(gpu, name, words, 0)
    }

    /// As [`Buffer::new`], with guard words before and after that [`Buffer::check_guards`] inspects.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn guarded(gpu: &Arc<Gpu>, name: &str, words: usize) -> Result<Self, GpuError> {
        let buffer = Self::allocate(gpu, name, words, GUARD_BYTES)?;
        let guard = [GUARD_WORD; GUARD_BYTES as usize / 4];
        gpu.queue.write_buffer(&buffer.raw, 0, bytemuck::cast_slice(&guard));
        gpu.queue.write_buffer(&buffer.raw, GUARD_BYTES + buffer.bytes, bytemuck::cast_slice(&guard));
        Ok(buffer)
    }

    fn allocate(gpu: &Arc<Gpu>, name: &str, words: usize, guard: u64) -> Result<Self, GpuError> {
        let bytes = (words.max(1) * 4) as u64;
        let limit = gpu.capabilities().max_binding_bytes.min(gpu.capabilities().max_buffer_bytes);
        if bytes > limit {
            return Err(GpuError::BindingTooLarge { tensor: name.to_string(), wanted: bytes, limit });
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let raw = gpu.create_buffer(name, bytes + 2 * guard, usage)?;
        Ok(Self { raw, offset: guard, bytes, name: name.to_string(), gpu: Arc::clone(gpu) })
    }

    /// Bytes of data, guards not counted.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The name that messages use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All of it.
    pub fn whole(&self) -> View<'_> {
        View { buffer: self, first: 0, bytes: self.bytes }
    }

    /// `words` words from word number `first` on, which must be a multiple of 64 (256 bytes).
    ///
    /// # Errors
    /// [`GpuError::Length`] where the buffer ends before.
    pub fn part(&self, first: usize, words: usize) -> Result<View<'_>, GpuError> {
        let view = View { buffer: self, first: 4 * first as u64, bytes: 4 * words.max(1) as u64 };
        if view.first + view.bytes > self.bytes {
            let (expected, given) = (self.bytes as usize / 4, first + words);
            return Err(GpuError::Length { tensor: self.name.clone(), expected, given });
        }
        Ok(view)
    }

    /// Whether the guard words around a guarded buffer are as they were; a buffer without guards passes.
    ///
    /// # Errors
    /// [`GpuError::GuardBroken`] where they are not.
    pub fn check_guards(&self) -> Result<(), GpuError> {
        if self.offset == 0 {
            return Ok(());
        }
        let all: Vec<u32> = Readback::start_range(&self.gpu, self, 0, self.bytes + 2 * GUARD_BYTES)?.wait()?;
        let guard_words = GUARD_BYTES as usize / 4;
        for (side, words) in [("before", &all[..guard_words]), ("after", &all[all.len() - guard_words..])] {
            if words.iter().any(|&word| word != GUARD_WORD) {
                return Err(GpuError::GuardBroken { tensor: self.name.clone(), side });
            }
        }
        Ok(())
    }
}

/// A stretch of a buffer: what a dispatch binds and the host writes and reads.
#[derive(Clone, Copy)]
pub struct View<'a> {
    buffer: &'a Buffer,
    /// Bytes of the buffer's data before it.
    first: u64,
    bytes: u64,
}

impl View<'_> {
    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The name of the buffer, for messages.
    pub fn name(&self) -> &str {
        &self.buffer.name
    }

    /// Asks for a copy of what it holds after everything submitted so far in `staging`; returns at once.
    ///
    /// # Errors
    /// [`GpuError::Length`] where `staging` has less room or another copy is on its way there; [`GpuError::DeviceLost`].
    pub fn copy_to(&self, staging: &mut Staging) -> Result<(), GpuError> {
        staging.start(self.name(), (self.raw(), self.offset()), self.bytes)
    }

    pub(super) fn raw(&self) -> &wgpu::Buffer {
        &self.buffer.raw
    }

    /// Where it starts in the raw buffer.
    pub(super) fn offset(&self) -> u64 {
        self.buffer.offset + self.first
    }

    pub(super) fn binding(&self) -> wgpu::BindingResource<'_> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: &self.buffer.raw,
            offset: self.offset(),
            size: std::num::NonZeroU64::new(self.bytes),
        })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.gpu.held_bytes.fetch_sub(self.raw.size(), Ordering::Relaxed);
    }
}

impl Gpu {
    /// Copies 4-byte `words` to the start of `buffer` before whatever is submitted next.
    ///
    /// # Errors
    /// [`GpuError::Length`] where more words are given than the buffer holds.
    pub fn write<T: bytemuck::NoUninit>(&self, view: View, words: &[T]) -> Result<(), GpuError> {
        let bytes: &[u8] = bytemuck::cast_slice(words);
        if bytes.len() > view.bytes() as usize || !bytes.len().is_multiple_of(4) {
            return Err(GpuError::Length {
                tensor: view.name().to_string(),
                expected: view.bytes() as usize / 4,
                given: bytes.len() / 4,
            });
        }
        self.queue.write_buffer(view.raw(), view.offset(), bytes);
        Ok(())
    }

    /// Waits for all submitted work and reads the whole of `view`.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`], [`GpuError::OutOfMemory`].
    pub fn read<T: bytemuck::Pod>(self: &Arc<Self>, view: View) -> Result<Vec<T>, GpuError> {
        Readback::start(self, view)?.wait()
    }

    pub(super) fn create_buffer(
        &self,
        name: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, GpuError> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let raw = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(name),
            size: bytes,
            usage,
            mapped_at_creation: false,
        });
        if pollster::block_on(scope.pop()).is_some() {
            return Err(GpuError::OutOfMemory { tensor: name.to_string(), wanted: bytes, held: self.held_bytes() });
        }
        self.held_bytes.fetch_add(raw.size(), Ordering::Relaxed);
        Ok(raw)
    }
}

/// A copy of a buffer on its way to the host; the GPU goes on meanwhile.
pub struct Readback {
    staging: Staging,
}

impl Readback {
    /// Asks for the contents that `view` has after everything submitted so far.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`], [`GpuError::DeviceLost`].
    pub fn start(gpu: &Arc<Gpu>, view: View) -> Result<Self, GpuError> {
        Self::start_range(gpu, view.buffer, view.offset(), view.bytes)
    }

    fn start_range(gpu: &Arc<Gpu>, buffer: &Buffer, offset: u64, bytes: u64) -> Result<Self, GpuError> {
        gpu.check_lost()?;
        let mut staging = Staging::with_bytes(gpu, buffer.name(), bytes)?;
        staging.start(buffer.name(), (&buffer.raw, offset), bytes)?;
        Ok(Self { staging })
    }

    /// Waits for the copy (not for what was submitted after it) and returns its words.
    ///
    /// # Errors
    /// [`GpuError::DeviceLost`].
    pub fn wait<T: bytemuck::Pod>(mut self) -> Result<Vec<T>, GpuError> {
        self.staging.wait(bytemuck::pod_collect_to_vec)
    }
}
