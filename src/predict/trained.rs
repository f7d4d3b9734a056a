//! What inference needs of a checkpoint: the network, its input size, how it is decoded, and the tensors.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::network::DecodeOptions;
use crate::data::{DataKind, Size};
use crate::models::{ModelConfig, NetworkConfig};
use crate::nn::checkpoint::{self, CheckpointError, State};

/// A trained network as a checkpoint holds it, on no device yet.
#[derive(Clone, Debug)]
pub struct TrainedNetwork {
    /// The network, with the skeleton of the people that it was trained on.
    pub model: ModelConfig,
    /// The size of its input.
    pub size: Size,
    /// How joints are read from its heat maps; a checkpoint says how its run was evaluated.
    pub decode: DecodeOptions,
    /// Parameters and running statistics by name; a checkpoint of a run has the optimizer's tensors too.
    pub state: State,
    /// The file, for messages.
    pub path: PathBuf,
}

impl TrainedNetwork {
    /// Reads a checkpoint that `ditn train`, `ditn import` or `ditn export` wrote.
    ///
    /// # Errors
    /// As [`checkpoint::read`].
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        let (header, state) = checkpoint::read::<Header>(path)?;
        let Config { data, model, train, evaluate } = header.config;
        Ok(Self {
            model: model.model(data.kind.skeleton()),
            size: train.size,
            decode: evaluate,
            state,
            path: path.to_owned(),
        })
    }
}

/// The parts of a checkpoint's header that are read here; a run writes more.
#[derive(Deserialize)]
struct Header {
    config: Config,
}

#[derive(Deserialize)]
struct Config {
    data: Data,
    model: NetworkConfig,
    train: Train,
    evaluate: DecodeOptions,
}

#[derive(Deserialize)]
struct Data {
    kind: DataKind,
}

#[derive(Deserialize)]
struct Train {
    size: Size,
}
