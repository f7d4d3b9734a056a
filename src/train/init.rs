//! Initial weights from a file: `model.init` of a configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::Config;
use crate::data::Skeleton;
use crate::ir::ShapeError;
use crate::nn::checkpoint::State;
use crate::nn::{Matching, WeightFile, WeightFileError};

/// Names of each kind that are listed where not all are.
const LISTED: usize = 5;

/// The file of a configuration's `model.init`, of which at least one tensor fits the network.
pub struct InitialWeights {
    file: WeightFile,
    matching: Matching,
}

/// Why a file gives no initial weights.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] WeightFileError),
    /// The input size does not suit the network.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The file is for another network altogether.
    #[error(
        "{} has no tensor of this network by name and shape; is it for another `model`?\n  {}",
        path.display(), matching.lines(LISTED).join("\n  ")
    )]
    NothingFits {
        /// The file.
        path: PathBuf,
        /// What it has instead.
        matching: Box<Matching>,
    },
    /// What is to be frozen would stay random in part.
    #[error(
        "train.freeze = \"backbone\" keeps what {} gives, and it gives {} of the backbone's {tensors} tensors; the first \
         that it lacks is {}",
        path.display(), tensors - lacking.len(), lacking.first().map_or("", String::as_str)
    )]
    Frozen {
        /// The file.
        path: PathBuf,
        /// Tensors of the backbone.
        tensors: usize,
        /// Those that the file does not give.
        lacking: Vec<String>,
    },
}

impl InitialWeights {
    /// Opens the configuration's file, if it names one, and compares it with the network.
    ///
    /// # Errors
    /// [`InitError`].
    pub fn open(config: &Config, skeleton: &Arc<Skeleton>) -> Result<Option<Self>, InitError> {
        let Some(path) = &config.model.init else { return Ok(None) };
        let model = config.model_config(skeleton);
        let network = model.shapes(config.train.size)?;
        let file = WeightFile::open(path)?;
        let matching = Matching::new(&network, &file);
        if matching.loaded.is_empty() {
            return Err(InitError::NothingFits { path: path.clone(), matching: Box::new(matching) });
        }
        if model.frozen_backbone {
            let (backbone, _) = model.backbone_shapes(config.train.size)?;
            let tensors = backbone.len();
            let lacking: Vec<String> = backbone.into_keys().filter(|name| !matching.loaded.contains(name)).collect();
            if !lacking.is_empty() {
                return Err(InitError::Frozen { path: path.clone(), tensors, lacking });
            }
        }
        Ok(Some(Self { file, matching }))
    }

    /// Puts the file's tensors in the place of those of the same name and shape.
    ///
    /// # Errors
    /// [`InitError::File`].
    pub fn replace_in(&self, state: &mut State) -> Result<(), InitError> {
        state.extend(self.matching.read(&self.file)?);
        Ok(())
    }

    /// Which tensors are replaced, and which are not.
    pub fn matching(&self) -> &Matching {
        &self.matching
    }

    /// What people are told; `record` is the file that holds all of it.
    pub fn report(&self, record: &Path) -> String {
        let (file, lines) = (self.file.path().display(), self.matching.lines(LISTED).join("\n  "));
        format!("Initial weights from {file} (all names: {}):\n  {lines}", record.display())
    }
}
