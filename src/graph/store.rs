//! Parameters and state on the GPU, by name: what sessions share and checkpoints hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::gpu::{Buffer, Gpu, GpuError};
use crate::ir::Shape;

use super::SessionError;

/// A tensor on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Extents.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub data: Vec<f32>,
}

impl Tensor {
    /// The extents as a shape.
    pub fn shape(&self) -> Shape {
        Shape::new(self.shape.clone())
    }
}

/// Named tensors that outlive sessions. A training and an evaluation session that share a store share the weights.
pub struct Store {
    gpu: Arc<Gpu>,
    tensors: BTreeMap<String, (Shape, Arc<Buffer>)>,
    /// Counts changes, so that sessions know when to compute again what depends on the tensors alone.
    changes: Arc<AtomicU64>,
}

impl Store {
    /// An empty store.
    pub fn new(gpu: &Arc<Gpu>) -> Self {
        Self { gpu: Arc::clone(gpu), tensors: BTreeMap::new(), changes: Arc::default() }
    }

    /// The buffer of a name, made and zeroed where it is new.
    ///
    /// # Errors
    /// [`SessionError::OtherShape`] where the name is there with another shape.
    pub(super) fn entry(&mut self, name: &str, shape: &Shape) -> Result<Arc<Buffer>, SessionError> {
        if let Some((held, buffer)) = self.tensors.get(name) {
            if held != shape {
                return Err(SessionError::OtherShape {
                    tensor: name.to_string(),
                    held: held.to_string(),
                    wanted: shape.to_string(),
                });
            }
            return Ok(Arc::clone(buffer));
        }
        let buffer = Arc::new(Buffer::new(&self.gpu, name, shape.elements())?);
        self.tensors.insert(name.to_string(), (shape.clone(), Arc::clone(&buffer)));
        Ok(buffer)
    }

    /// The number of changes so far, to be counted up by whoever overwrites a tensor.
    pub(super) fn changes(&self) -> &Arc<AtomicU64> {
        &self.changes
    }

    /// Names and shapes, in the order of the names.
    pub fn shapes(&self) -> impl Iterator<Item = (&str, &Shape)> {
        self.tensors.iter().map(|(name, (shape, _))| (name.as_str(), shape))
    }

    /// Number of elements of a tensor.
    ///
    /// # Errors
    /// [`SessionError::Unknown`] where there is no such tensor.
    pub fn elements(&self, name: &str) -> Result<usize, SessionError> {
        let entry = self.tensors.get(name).ok_or_else(|| SessionError::Unknown(name.to_string()))?;
        Ok(entry.0.elements())
    }

    /// Overwrites every tensor of the store with that of the same name; what the store does not hold is ignored.
    ///
    /// # Errors
    /// [`SessionError::Missing`] or [`SessionError::OtherShape`] where `state` does not fit; then nothing is changed.
    pub fn load(&self, state: &BTreeMap<String, Tensor>) -> Result<(), SessionError> {
        for (name, (shape, _)) in &self.tensors {
            let tensor = state.get(name).ok_or_else(|| SessionError::Missing(name.clone()))?;
            if tensor.shape != shape.extents() {
                return Err(SessionError::OtherShape {
                    tensor: name.clone(),
                    held: shape.to_string(),
                    wanted: tensor.shape().to_string(),
                });
            }
        }
        for name in self.tensors.keys() {
            self.write(name, &state[name].data)?;
        }
        Ok(())
    }

    /// Overwrites one tensor.
    ///
    /// # Errors
    /// [`SessionError::Unknown`] where there is no such tensor, [`GpuError::Length`] where `data` is not as long.
    pub fn write(&self, name: &str, data: &[f32]) -> Result<(), SessionError> {
        let (shape, buffer) = self.tensors.get(name).ok_or_else(|| SessionError::Unknown(name.to_string()))?;
        if data.len() != shape.elements() {
            let (expected, given) = (shape.elements(), data.len());
            return Err(GpuError::Length { tensor: name.to_string(), expected, given }.into());
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
        Ok(self.gpu.write(buffer.whole(), data)?)
    }

    /// Waits for submitted work and copies one tensor to the host.
    ///
    /// # Errors
    /// [`SessionError::Unknown`], or as [`Gpu::read`].
    pub fn read(&self, name: &str) -> Result<Tensor, SessionError> {
        let (shape, buffer) = self.tensors.get(name).ok_or_else(|| SessionError::Unknown(name.to_string()))?;
        let mut data: Vec<f32> = self.gpu.read(buffer.whole())?;
        data.truncate(shape.elements());
        Ok(Tensor { shape: shape.extents().to_vec(), data })
    }

    /// Waits for submitted work and copies everything to the host.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_all(&self) -> Result<BTreeMap<String, Tensor>, SessionError> {
        self.tensors.keys().map(|name| Ok((name.clone(), self.read(name)?))).collect()
    }
}
