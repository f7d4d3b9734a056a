//! Reading a dump: the network that it describes and its tensors.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::data::Skeleton;
use crate::graph::Tensor;
use crate::models::{Body, Depth, Ditn, Head, HrNet, ModelConfig, ResNet};
use crate::nn::WeightInit;
use crate::ops::loss::LossKind;
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
        let skeleton: String = option(&metadata, "skeleton")?;
        let on = |name| Ok::<bool, String>(!option::<bool>(&metadata, name)?);
        let ditn = || {
            Ok::<_, String>(Head::Ditn(Ditn {
                transfer: on("no_transfer")?,
                channel_attention: on("no_cab")?,
                spatial_attention: on("no_sab")?,
            }))
        };
        let hrnet = || {
            Ok::<_, String>(Body::HrNet(HrNet {
                width: option(&metadata, "width")?,
                stem: option(&metadata, "stem")?,
                blocks: option(&metadata, "blocks")?,
                modules: option(&metadata, "modules")?,
            }))
        };
        let resnet = || {
            let layers = option(&metadata, "depth")?;
            let depth = Depth::of_layers(layers).ok_or_else(|| format!("its depth {layers} is not 50, 101 or 152"))?;
            // Our own small dumps say it; the reference has one stem for all.
            let stem =
                if metadata.contains_key("resnet_stem") { option(&metadata, "resnet_stem")? } else { ResNet::STEM };
            Ok::<_, String>(Body::ResNet(ResNet { depth, stem }))
        };
        let (body, head) = match option::<String>(&metadata, "model")?.as_str() {
            "hrnet" => (hrnet()?, Head::Convolution),
            "resnet" => (resnet()?, Head::Convolution),
            "ditn" => (hrnet()?, ditn()?),
            "ditn-resnet" => (resnet()?, ditn()?),
            other => return Err(format!("its network '{other}' is not one of: hrnet, resnet, ditn, ditn-resnet")),
        };
        let model = ModelConfig {
            skeleton: Skeleton::by_name(&skeleton)
                .ok_or_else(|| format!("its skeleton '{skeleton}' is unknown"))?
                .clone(),
            body,
            head,
            body_weights: WeightInit::default(),
            frozen_backbone: false,
        };
        let objective = Objective {
            loss: loss(&option::<String>(&metadata, "loss")?)?,
            bone_loss: loss(&option::<String>(&metadata, "bone_loss")?)?,
            bone_weight: option(&metadata, "bone_weight")?,
        };
        let (steps, trajectory) = (option(&metadata, "steps")?, option(&metadata, "trajectory")?);
        let noise_orders = if metadata.contains_key("noise_orders") { option(&metadata, "noise_orders")? } else { 1 };
        for name in ["input.image", "target.joints", "target.bones", "weight.joints", "weight.bones"] {
            match tensors.get(name) {
                None => return Err(format!("it lacks tensor '{name}'")),
                Some(tensor) if tensor.shape.len() != 4 => return Err(format!("tensor '{name}' has no four extents")),
                Some(_) => {}
            }
        }
        Ok(Self { model, objective, steps, trajectory, noise_orders, tensors })
    }

    /// All tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// One of the tensors that [`Dump::open`] has seen to be there.
    pub(super) fn required(&self, name: &str) -> &Tensor {
        &self.tensors[name]
    }

    /// The tensors whose names start with `prefix`, without it.
    pub(super) fn with_prefix(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        let stripped =
            |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_string(), tensor.clone()));
        self.tensors.iter().filter_map(stripped).collect()
    }
}

/// One of the dump's options, a JSON value.
fn option<T: DeserializeOwned>(metadata: &HashMap<String, String>, name: &str) -> Result<T, String> {
    let text = metadata.get(name).ok_or_else(|| format!("its metadata lacks '{name}'"))?;
    serde_json::from_str(text).map_err(|error| format!("its metadata '{name}' = {text}: {error}"))
}

fn loss(name: &str) -> Result<LossKind, String> {
    Ok(match name {
        "focal-l2" => LossKind::FocalL2,
        "focal-l2-printed" => LossKind::FocalL2Printed,
        "mse" => LossKind::Mse,
        "ohkm" => LossKind::Ohkm { hardest: 8 },
        "smooth-l1" => LossKind::SmoothL1,
        other => return Err(format!("its loss '{other}' is unknown")),
    })
}
