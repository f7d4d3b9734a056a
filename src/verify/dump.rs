//! Reading a dump: the network that it describes and its tensors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use thiserror::Error;

use super::described::{self, option};
use crate::graph::Tensor;
use crate::ir::ShapeError;
use crate::models::ModelConfig;
use crate::train::objective::Objective;

/// A file that cannot be used as a dump.
#[derive(Debug, Error)]
pub enum DumpError {
    /// The file cannot be read.
    #[error("cannot read '{path}': {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a dump.
    #[error("'{path}' is not a dump of the PyTorch reference: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A dump of the reference.
pub struct Dump {
    /// The network.
    pub model: ModelConfig,
    /// The losses.
    pub objective: Objective,
    /// Kind and factor of the loss of each of the maps in order, where the dump says them: they must be those of `objective`.
    pub(super) terms: Option<Vec<(String, f32)>>,
    /// AdamW steps that all use the dump's gradients.
    pub steps: usize,
    /// True training steps whose losses are dumped.
    pub trajectory: usize,
    /// The orders of summation that the noise is the largest of; 1 in dumps that do not say.
    pub noise_orders: usize,
    tensors: BTreeMap<String, Tensor>,
}

impl Dump {
    /// Reads a dump whole.
    ///
    /// # Errors
    /// [`DumpError`] with the file's name and what is wrong.
    pub fn open(path: &Path) -> Result<Self, DumpError> {
        let bytes = std::fs::read(path).map_err(|source| DumpError::Read { path: path.to_owned(), source })?;
        Self::from_bytes(path, &bytes)
    }

    /// Reads a dump from the bytes of a file; `path` is its name in errors.
    ///
    /// # Errors
    /// [`DumpError::Malformed`] with what is wrong.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, DumpError> {
        Self::parse(bytes).map_err(|reason| DumpError::Malformed { path: path.to_owned(), reason })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let metadata = header.metadata().clone().ok_or("it has no metadata")?;
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(format!("tensor '{name}' is {:?}, not F32", view.dtype()));
            }
            let (words, _) = view.data().as_chunks::<4>();
            let data = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
            tensors.insert(name, Tensor { shape: view.shape().to_vec(), data });
        }
        let (model, objective) = (described::model(&metadata)?, described::objective(&metadata)?);
        let terms = metadata.contains_key("terms").then(|| option(&metadata, "terms")).transpose()?;
        let (steps, trajectory) = (option(&metadata, "steps")?, option(&metadata, "trajectory")?);
        let noise_orders = if metadata.contains_key("noise_orders") { option(&metadata, "noise_orders")? } else { 1 };
        match tensors.get("input.image") {
            None => return Err("it lacks tensor 'input.image'".into()),
            Some(tensor) if tensor.shape.len() != 4 => return Err("tensor 'input.image' has no four extents".into()),
            Some(_) => {}
        }
        Ok(Self { model, objective, terms, steps, trajectory, noise_orders, tensors })
    }

    /// All tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// The pictures `[N, 3, H, W]`, which [`Dump::open`] has seen to be there.
    pub(super) fn image(&self) -> &Tensor {
        &self.tensors["input.image"]
    }

    /// One of its tensors.
    ///
    /// # Errors
    /// [`ShapeError`] where it is not there, or has no extents.
    pub(super) fn required(&self, name: &str) -> Result<&Tensor, ShapeError> {
        let tensor = self.tensors.get(name).filter(|tensor| !tensor.shape.is_empty());
        tensor.ok_or_else(|| ShapeError::new("dump", format!("it lacks tensor '{name}', or that has no extents")))
    }

    /// The tensors whose names start with `prefix`, without it.
    pub(super) fn with_prefix(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let stripped =
            |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_string(), tensor.clone()));
        self.tensors.iter().filter_map(stripped).collect()
    }
}
