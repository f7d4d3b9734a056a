//! Initial weights from a file: `model.init` of a configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::Config;
use crate::data::Skeleton;
use crate::ir::ShapeError;
use crate::models::Fit;
use crate::nn::checkpoint::State;
use crate::nn::{Matching, WeightCopy, WeightFile, WeightFileError};

/// Names of each kind that are listed where not all are.
const LISTED: usize = 5;

/// The file of a configuration's `model.init`, of which at least one tensor fits the network.
pub struct InitialWeights {
    path: PathBuf,
    matching: Matching,
    fit: Fit,
    loaded: State,
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
    /// A frozen backbone is to come from a file of another network.
    #[error("{}: {wrong}; a frozen backbone needs its own weights", path.display())]
    OtherBackbone {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        wrong: String,
    },
}

impl InitialWeights {
    /// Reads the configuration's file, if it names one, and compares it with the network.
    ///
    /// # Errors
    /// [`InitError`].
    pub fn open(config: &Config, skeleton: &Arc<Skeleton>) -> Result<Option<Self>, InitError> {
        let Some(path) = &config.model.init else { return Ok(None) };
        let model = config.model_config(skeleton);
        let network = model.shapes(config.train.size)?;
        let file = WeightFile::open(path)?;
        let matching = Matching::new(&network, &file, &WeightCopy::Main)?;
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
        let fit = Fit::new(&model, &matching);
        if let Some(wrong) = fit.wrong.clone().filter(|_| model.frozen_backbone) {
            return Err(InitError::OtherBackbone { path: path.clone(), wrong });
        }
        let loaded = matching.read(&file)?;
        Ok(Some(Self { path: path.clone(), matching, fit, loaded }))
    }

    /// Puts the file's tensors in the place of those of the same name and shape.
    pub fn replace_in(&self, state: &mut State) {
        state.extend(self.loaded.iter().map(|(name, tensor)| (name.clone(), tensor.clone())));
    }

    /// Which tensors are replaced, and which are not.
    pub fn matching(&self) -> &Matching {
        &self.matching
    }

    /// What people are told; `record` is the file that holds all of it.
    pub fn report(&self, record: &Path) -> String {
        let (file, lines) = (self.path.display(), self.matching.lines(LISTED).join("\n  "));
        let mut report = format!("Initial weights from {file} (all names: {}):\n  {lines}", record.display());
        if let Some(wrong) = &self.fit.wrong {
            report += &format!("\nWarning: {wrong}. Only what fits is used.");
        }
        for remark in &self.fit.remarks {
            report += &format!("\n{remark}");
        }
        report
    }
}
