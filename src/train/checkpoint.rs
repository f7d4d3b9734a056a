//! Checkpoints of a run: everything that it needs to go on to the bit, in one file.
//!
//! The format is [`nn::checkpoint`](crate::nn::checkpoint)'s; the header holds the configuration and the position in the
//! run. There is no further random state: pictures, their order and augmentation follow from seed, epoch and step.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::progress::Progress;
use crate::ir::DType;
use crate::nn::checkpoint::{self, CheckpointError, State};
use crate::nn::pth;
use crate::predict::shipped;

/// What a checkpoint says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The configuration of the run.
    pub config: Config,
    /// How far it had come.
    pub progress: Progress,
}

/// A checkpoint in memory.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Configuration and progress.
    pub header: Header,
    /// All tensors.
    pub state: State,
}

/// Writes `checkpoint` so that `path` always holds a whole one; see [`checkpoint::write`].
///
/// # Errors
/// [`CheckpointError::File`]; the old file is then still in place.
pub fn save(path: &Path, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
    checkpoint::write(path, &checkpoint.header, &checkpoint.state)
}

/// Writes the network of `checkpoint` alone, its numbers stored as `dtype`, as PyTorch's `load_state_dict` takes it; see
/// [`checkpoint::write_network`]. The file that the run began with, a path of this machine, is not named in it.
///
/// # Errors
/// As [`save`]; [`CheckpointError::TooLarge`].
pub fn export(path: &Path, checkpoint: &Checkpoint, dtype: DType) -> Result<(), CheckpointError> {
    let Checkpoint { header, state } = checkpoint;
    let mut header = header.clone();
    header.config.model.init = None;
    checkpoint::write_network(path, &header, state, dtype, header.progress.step)
}

/// Writes the network of `checkpoint` alone as PyTorch's `torch.load` takes it; see [`pth::write_network`].
///
/// # Errors
/// As [`export`].
pub fn export_pth(path: &Path, checkpoint: &Checkpoint, dtype: DType) -> Result<(), CheckpointError> {
    pth::write_network(path, &checkpoint.state, dtype, checkpoint.header.progress.step)
}

/// Reads a checkpoint of a run.
///
/// # Errors
/// A file that is not there, is not safetensors, holds other types than floats, or lacks the header.
pub fn load(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let (header, state) = checkpoint::read(path)?;
    Ok(Checkpoint { header, state })
}

/// The checkpoint of the [network that ships with the program](mod@shipped).
///
/// # Errors
/// None, unless the program was built with a broken file.
pub fn shipped() -> Result<Checkpoint, CheckpointError> {
    let (header, state) = checkpoint::parse(Path::new(shipped::NAME), shipped::FILE)?;
    Ok(Checkpoint { header, state })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;
    use crate::graph::Tensor;
    use crate::nn::checkpoint::network_only;
    use crate::train::progress::Score;

    fn checkpoint() -> Checkpoint {
        let tensor = |shape: &[usize], data: &[f32]| Tensor { shape: shape.to_vec(), data: data.to_vec() };
        let state = BTreeMap::from([
            ("conv1.weight".to_owned(), tensor(&[1, 3], &[0.1, -0.0, f32::MIN_POSITIVE / 2.0])),
            ("optimizer.m.conv1.weight".to_owned(), tensor(&[1, 3], &[1e-30, f32::MAX, -7.25])),
            ("optimizer.step".to_owned(), tensor(&[1], &[12.0])),
        ]);
        let score = Score { epoch: 3, name: "PCK@0.2".into(), value: 100.0 / 3.0 };
        let progress = Progress { step: 12, score: Some(score), adapter: "none".into(), ..Progress::default() };
        Checkpoint { header: Header { config: Config::default(), progress }, state }
    }

    /// A folder of this process's own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ditn-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    #[test]
    fn a_checkpoint_comes_back_bit_for_bit() {
        let folder = Folder::new("round-trip");
        let path = folder.0.join("last.safetensors");
        save(&path, &checkpoint()).unwrap();
        let read = load(&path).unwrap();
        assert_eq!(read.state, checkpoint().state);
        assert_eq!(read.header, checkpoint().header);
    }

    #[test]
    fn an_export_is_a_checkpoint_of_the_network_alone() {
        let folder = Folder::new("export");
        let path = folder.0.join("weights.safetensors");
        let mut begun = checkpoint();
        begun.header.config.model.init = Some("somewhere/body.pth".into());
        export(&path, &begun, DType::F32).unwrap();
        let read = load(&path).unwrap();
        assert_eq!((read.state, read.header), (network_only(&checkpoint().state), checkpoint().header));
    }
}
