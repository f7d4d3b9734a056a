//! Initial weights from a file: `model.init` of a configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::Config;
use crate::data::Skeleton;
use crate::ir::ShapeError;
use crate::models::{Body, Cpn, Fit, ModelConfig, has_row_a_joint};
use crate::nn::checkpoint::State;
use crate::nn::{Matching, WeightCopy, WeightFile, WeightFileError};
use crate::predict::TrainedNetwork;

/// Names of each kind that are listed where not all are.
const LISTED: usize = 5;

/// The file of a configuration's `model.init`, of which at least one tensor fits the network.
pub struct InitialWeights {
    path: PathBuf,
    matching: Matching,
    fit: Fit,
    loaded: State,
    heads: Option<Heads>,
}

/// The rows of the last layers that a network of another skeleton has for the same joints and bones.
struct Heads {
    /// The other network's tensors.
    state: State,
    /// For each joint its place in the other skeleton, by name.
    joints: Vec<Option<usize>>,
    /// For each bone that of the two joints of these names.
    bones: Vec<Option<usize>>,
}

/// What stands in front of the names of a pyramid network's ResNet.
const PYRAMIDS_RESNET: &str = "resnet.";

/// Layers with a map a bone.
const OF_BONES: &str = "bone_decoder.head.";

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
        let (matching, scope) = match (Matching::new(&network, &file, &WeightCopy::Main)?, model.body) {
            // Files of ResNets have at the top what a pyramid network has in a scope.
            (matching, Body::Cpn(_)) if matching.loaded.is_empty() => {
                let inside = |(name, shape): (&String, &Vec<usize>)| {
                    Some((name.strip_prefix(PYRAMIDS_RESNET)?.to_owned(), shape.clone()))
                };
                let resnet = network.iter().filter_map(inside).collect();
                (Matching::new(&resnet, &file, &WeightCopy::Main)?, PYRAMIDS_RESNET)
            }
            (matching, _) => (matching, ""),
        };
        if matching.loaded.is_empty() {
            return Err(InitError::NothingFits { path: path.clone(), matching: Box::new(matching) });
        }
        if model.frozen_backbone {
            let (backbone, _) = model.backbone_shapes(config.train.size)?;
            let tensors = backbone.len();
            let loaded = |name: &str| {
                name.strip_prefix(scope).is_some_and(|name| matching.loaded.iter().any(|loaded| loaded == name))
            };
            let lacking: Vec<String> = backbone.into_keys().filter(|name| !loaded(name)).collect();
            if !lacking.is_empty() {
                return Err(InitError::Frozen { path: path.clone(), tensors, lacking });
            }
        }
        let fit = match model.body {
            Body::Cpn(Cpn { resnet, .. }) if !scope.is_empty() => {
                Fit::new(&ModelConfig { body: Body::ResNet(resnet), ..model.clone() }, &matching)
            }
            _ => Fit::new(&model, &matching),
        };
        if let Some(wrong) = fit.wrong.clone().filter(|_| model.frozen_backbone) {
            return Err(InitError::OtherBackbone { path: path.clone(), wrong });
        }
        let loaded =
            matching.read(&file)?.into_iter().map(|(name, tensor)| (format!("{scope}{name}"), tensor)).collect();
        let heads = Heads::of(path, skeleton);
        Ok(Some(Self { path: path.clone(), matching, fit, loaded, heads }))
    }

    /// Puts the file's tensors in the place of those of the same name and shape. From a network of another skeleton the
    /// last layers are taken over joint by joint, by name.
    pub fn replace_in(&self, state: &mut State) {
        // What takes the maps of one stack into the next sees the joints in its file's order.
        let sees_maps = |name: &str| name.starts_with("score_.");
        let of_body =
            |name: &str| self.heads.as_ref().is_none_or(|heads| heads.rows_of(name).is_none() && !sees_maps(name));
        let loaded = self.loaded.iter().filter(|(name, _)| of_body(name));
        state.extend(loaded.map(|(name, tensor)| (name.clone(), tensor.clone())));
        if let Some(heads) = &self.heads {
            heads.take_over(state);
        }
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
        if let Some(heads) = &self.heads {
            let taken = heads.joints.iter().flatten().count();
            report += &format!(
                "\nLast layers: {taken} of {} joints taken over by name, the others are new.",
                heads.joints.len()
            );
        }
        report
    }
}

impl Heads {
    /// `None` where the file is no checkpoint, or one of the same joints.
    fn of(path: &Path, skeleton: &Skeleton) -> Option<Heads> {
        let TrainedNetwork { model, state, .. } = TrainedNetwork::load(path).ok()?;
        let from = model.skeleton;
        if skeleton.names_equal(&from.joints) {
            return None;
        }
        let joints: Vec<Option<usize>> = skeleton.joints.iter().map(|name| from.joint(name)).collect();
        let bone = |&(a, b): &(usize, usize)| {
            let (a, b) = (joints[a]?, joints[b]?);
            from.bones.iter().position(|&bone| bone == (a, b) || bone == (b, a))
        };
        let bones = skeleton.bones.iter().map(bone).collect();
        Some(Heads { state, joints, bones })
    }

    /// Which rows of the other network's tensor are which of this one's, where it is one of a last layer.
    fn rows_of(&self, name: &str) -> Option<&[Option<usize>]> {
        match name {
            _ if has_row_a_joint(name) => Some(&self.joints),
            _ if name.starts_with(OF_BONES) => Some(&self.bones),
            _ => None,
        }
    }

    fn take_over(&self, state: &mut State) {
        for (name, tensor) in state.iter_mut() {
            let (Some(rows), Some(from)) = (self.rows_of(name), self.state.get(name)) else { continue };
            if tensor.shape.first() != Some(&rows.len()) || tensor.shape.get(1..) != from.shape.get(1..) {
                continue;
            }
            let length = tensor.data.len() / rows.len().max(1);
            for (row, source) in tensor.data.chunks_mut(length.max(1)).zip(rows) {
                let source = source.and_then(|source| from.data.get(source * length..(source + 1) * length));
                if let Some(source) = source {
                    row.copy_from_slice(source);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::graph::Tensor;

    #[test]
    fn rows_of_joints_with_the_same_name_are_taken_over() {
        let tensor = |shape: &[usize], data: &[f32]| Tensor { shape: shape.to_vec(), data: data.to_vec() };
        let state = BTreeMap::from([
            ("final_layer.weight".to_owned(), tensor(&[3, 2, 1, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
            ("final_layer.bias".to_owned(), tensor(&[3], &[7.0, 8.0, 9.0])),
        ]);
        let heads = Heads { state, joints: vec![Some(2), None], bones: Vec::new() };
        let mut new = BTreeMap::from([
            ("conv1.weight".to_owned(), tensor(&[2], &[0.5; 2])),
            ("final_layer.weight".to_owned(), tensor(&[2, 2, 1, 1], &[0.5; 4])),
            ("final_layer.bias".to_owned(), tensor(&[2], &[0.5; 2])),
        ]);
        heads.take_over(&mut new);
        assert_eq!(new["final_layer.weight"].data, [5.0, 6.0, 0.5, 0.5]);
        assert_eq!(
            (&new["final_layer.bias"].data[..], &new["conv1.weight"].data[..]),
            (&[9.0, 0.5][..], &[0.5; 2][..])
        );
    }
}
