//! What inference needs of a checkpoint: the network, its input size, how it is decoded, and the tensors.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::network::DecodeOptions;
use super::shipped;
use crate::data::{DataKind, Size, SkeletonTable};
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
    /// As [`checkpoint::read`], and where its skeleton is broken.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        Self::new(path, checkpoint::read(path)?)
    }

    /// The [network that ships with the program](shipped).
    ///
    /// # Errors
    /// None, unless the program was built with a broken file.
    pub fn shipped() -> Result<Self, CheckpointError> {
        let name = Path::new(shipped::NAME);
        Self::new(name, checkpoint::parse(name, shipped::FILE)?)
    }

    fn new(path: &Path, (header, state): (Header, State)) -> Result<Self, CheckpointError> {
        let Config { data, skeleton, model, train, evaluate } = header.config;
        let skeleton = SkeletonTable::skeleton_of(skeleton.as_ref(), data.kind)
            .map_err(|error| CheckpointError::NoHeader { path: path.to_owned(), message: error.to_string() })?;
        Ok(Self { model: model.model(&skeleton), size: train.size, decode: evaluate, state, path: path.to_owned() })
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
    skeleton: Option<SkeletonTable>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::checkpoint::network_of;

    #[test]
    fn the_network_that_ships_is_whole_and_what_its_line_says() {
        let TrainedNetwork { model, size, state, path, .. } = TrainedNetwork::shipped().unwrap();
        let network = network_of(&path, &model.shapes(size).unwrap(), &state).unwrap();
        assert_eq!(network.len(), state.len(), "a tensor that is not the network's");
        assert!(network.values().all(|tensor| tensor.data.iter().all(|number| number.is_finite())));
        assert_eq!((model.skeleton.name.as_str(), size), ("lsp", Size::new(128, 128)));
        assert!(shipped::WORTH.contains("128x128") && shipped::WORTH.contains("14 joints"));
    }
}
