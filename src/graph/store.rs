//! Parameters and state on the GPU, by name: what sessions share and checkpoints hold.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::gpu::{Buffer, Gpu, GpuError};
use crate::ir::Shape;

use super::SessionError;

/// How names of state begin that connects the sessions of a step and means nothing between steps: no part of what is read and
/// loaded as a whole.
pub const TEMPORARY: &str = "temporary.";

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

/// Where a tensor lies on the device.
#[derive(Clone)]
pub(super) struct Place {
    pub buffer: Arc<Buffer>,
    /// Its first 4-byte word there.
    pub first: usize,
}

impl Place {
    /// All of a buffer.
    pub fn whole(buffer: Buffer) -> Self {
        Self { buffer: Arc::new(buffer), first: 0 }
    }
}

/// Named tensors that outlive sessions. A training and an evaluation session that share a store share the weights.
///
/// A training session lays tensors that it updates together into one buffer, where they stay for all later sessions.
pub struct Store {
    gpu: Arc<Gpu>,
    tensors: BTreeMap<String, (Shape, Place)>,
    /// Counts changes, so that sessions know when to compute again what depends on the tensors alone.
    changes: Arc<AtomicU64>,
}

impl Store {
    /// An empty store.
    pub fn new(gpu: &Arc<Gpu>) -> Self {
        Self { gpu: Arc::clone(gpu), tensors: BTreeMap::new(), changes: Arc::default() }
    }

    /// The place of a name, made and zeroed where it is new.
    ///
    /// # Errors
    /// [`SessionError::OtherShape`] where the name is there with another shape.
    pub(super) fn entry(&mut self, name: &str, shape: &Shape) -> Result<Place, SessionError> {
        if let Some(place) = self.known(name, shape)? {
            return Ok(place.clone());
        }
        let place = Place::whole(Buffer::new(&self.gpu, name, shape.elements())?);
        self.tensors.insert(name.to_string(), (shape.clone(), place.clone()));
        Ok(place)
    }

    /// One buffer of `words` words that holds `parts`, names with shapes and first words, zeros elsewhere. Parts that lie
    /// elsewhere are moved there with what they hold.
    ///
    /// # Errors
    /// [`SessionError::OtherShape`] where a name is there with another shape, [`SessionError::InUse`] where another session
    /// uses it at another place; then nothing is changed.
    pub(super) fn flat(
        &mut self,
        name: &str,
        words: usize,
        parts: &[(&str, &Shape, usize)],
    ) -> Result<Arc<Buffer>, SessionError> {
        let mut known = Vec::with_capacity(parts.len());
        for &(part, shape, _) in parts {
            known.push(self.known(part, shape)?.cloned());
        }
        if let Some(Some(Place { buffer, .. })) = known.first() {
            let lies_there = |(place, part): (&Option<Place>, &(_, _, usize))| {
                place.as_ref().is_some_and(|place| Arc::ptr_eq(&place.buffer, buffer) && place.first == part.2)
            };
            if buffer.bytes() == 4 * words as u64 && known.iter().zip(parts).all(lies_there) {
                return Ok(Arc::clone(buffer));
            }
        }
        drop(known);
        // What only the store itself refers to is moved without anybody noticing.
        let mut entries: HashMap<*const Buffer, usize> = HashMap::new();
        for (_, place) in self.tensors.values() {
            *entries.entry(Arc::as_ptr(&place.buffer)).or_default() += 1;
        }
        for &(part, ..) in parts {
            let place = self.tensors.get(part).map(|(_, place)| &place.buffer);
            if place.is_some_and(|buffer| Arc::strong_count(buffer) > entries[&Arc::as_ptr(buffer)]) {
                return Err(SessionError::InUse(part.to_string()));
            }
        }
        let buffer = Arc::new(Buffer::new(&self.gpu, name, words)?);
        for &(part, shape, first) in parts {
            if self.tensors.contains_key(part) {
                self.gpu.write(buffer.part(first, shape.elements())?, &self.read(part)?.data)?;
            }
            let place = Place { buffer: Arc::clone(&buffer), first };
            self.tensors.insert(part.to_string(), (shape.clone(), place));
        }
        Ok(buffer)
    }

    /// The place of a name, if it is there.
    fn known(&self, name: &str, shape: &Shape) -> Result<Option<&Place>, SessionError> {
        let Some((held, place)) = self.tensors.get(name) else { return Ok(None) };
        if held != shape {
            return Err(SessionError::OtherShape {
                tensor: name.to_string(),
                held: held.to_string(),
                wanted: shape.to_string(),
            });
        }
        Ok(Some(place))
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

    /// The names of all that stays: not of what is [temporary](TEMPORARY).
    fn lasting(&self) -> impl Iterator<Item = (&String, &Shape)> {
        let all = self.tensors.iter().map(|(name, (shape, _))| (name, shape));
        all.filter(|(name, _)| !name.starts_with(TEMPORARY))
    }

    /// Overwrites every tensor of the store with that of the same name; what the store does not hold is ignored.
    ///
    /// # Errors
    /// [`SessionError::Missing`] or [`SessionError::OtherShape`] where `state` does not fit; then nothing is changed.
    pub fn load(&self, state: &BTreeMap<String, Tensor>) -> Result<(), SessionError> {
        for (name, shape) in self.lasting() {
            let tensor = state.get(name).ok_or_else(|| SessionError::Missing(name.clone()))?;
            if tensor.shape != shape.extents() {
                return Err(SessionError::OtherShape {
                    tensor: name.clone(),
                    held: shape.to_string(),
                    wanted: tensor.shape().to_string(),
                });
            }
        }
        for (name, _) in self.lasting() {
            self.write(name, &state[name].data)?;
        }
        Ok(())
    }

    /// Overwrites one tensor.
    ///
    /// # Errors
    /// [`SessionError::Unknown`] where there is no such tensor, [`GpuError::Length`] where `data` is not as long.
    pub fn write(&self, name: &str, data: &[f32]) -> Result<(), SessionError> {
        let (shape, place) = self.tensors.get(name).ok_or_else(|| SessionError::Unknown(name.to_string()))?;
        if data.len() != shape.elements() {
            let (expected, given) = (shape.elements(), data.len());
            return Err(GpuError::Length { tensor: name.to_string(), expected, given }.into());
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
        Ok(self.gpu.write(place.buffer.part(place.first, data.len())?, data)?)
    }

    /// Waits for submitted work and copies one tensor to the host.
    ///
    /// # Errors
    /// [`SessionError::Unknown`], or as [`Gpu::read`].
    pub fn read(&self, name: &str) -> Result<Tensor, SessionError> {
        let (shape, place) = self.tensors.get(name).ok_or_else(|| SessionError::Unknown(name.to_string()))?;
        let mut data: Vec<f32> = self.gpu.read(place.buffer.part(place.first, shape.elements())?)?;
        data.truncate(shape.elements());
        Ok(Tensor { shape: shape.extents().to_vec(), data })
    }

    /// Waits for submitted work and copies everything to the host.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_all(&self) -> Result<BTreeMap<String, Tensor>, SessionError> {
        self.lasting().map(|(name, _)| Ok((name.clone(), self.read(name)?))).collect()
    }
}
