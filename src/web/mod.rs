//! Plans for browsers: a folder with a network, the kernels as they are and pages that replay them through WebGPU. `ditn web`
//! writes it; `web/README.md` says what is in it.
//!
//! A plan leaves the program as a list of dispatches ([`PlanFile`]) whose memory [`Plan::dispatches`](crate::graph::Plan)
//! resolves, as for a [`Session`](crate::graph::Session). Weights are computed as far as they depend on nothing else
//! ([`freeze`](crate::graph::freeze)). Numbers to compare with are computed on a device of this machine with the kernels that
//! the pages run.

mod benchmark;
mod bundle;
mod cases;
mod examples;
mod inference;
mod numbers;
mod pages;
mod plan;
mod references;
mod serve;
mod target;
mod training;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

use crate::bench::BenchError;
use crate::data::DataError;
use crate::gpu::Gpu;
use crate::graph::{GraphError, PlanError, SessionError};
use crate::ir::ShapeError;
use crate::nn::checkpoint::CheckpointError;
use crate::nn::{NetworkError, Precision};
use crate::predict::TrainedNetwork;
use crate::train::config::{ConfigError, embedded};
use bundle::{Bundle, CONTENTS};
use examples::Examples;

pub use plan::{FORMAT, PlanFile};
pub use serve::Server;
pub use target::Target;

/// A bundle that could not be made.
#[derive(Debug, Error)]
pub enum WebError {
    /// A file cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The folder holds files of something else.
    #[error("{} is not empty and holds no bundle; choose another folder", path.display())]
    OtherFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The network does not fit WebGPU's default limits, or the device failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A plan does not fit WebGPU's default limits.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An operator refused its inputs.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A kernel cannot be run on its own.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The device failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A benchmark cannot be planned.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The checkpoint is not the network's.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The synthetic people cannot be drawn.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The embedded configuration is broken.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The people's picture cannot be encoded.
    #[error(transparent)]
    Image(#[from] image::ImageError),
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Variants of kernels' cases among them.
    pub kernel_cases: usize,
}

#[derive(Serialize)]
struct Contents {
    format: u32,
    ditn: &'static str,
    network: NetworkInfo,
    inference: inference::Inference,
    training: training::Training,
    kernels: &'static str,
    benchmark: &'static str,
}

#[derive(Serialize)]
struct NetworkInfo {
    name: String,
    description: String,
    size: [usize; 2],
    heat_map: [usize; 2],
    parameters: usize,
    flip_test: bool,
    joints: Vec<String>,
    bones: Vec<(usize, usize)>,
}

/// Writes a bundle with a network to `folder`, its weights stored as `weights`; `progress` hears what comes next. What an
/// earlier bundle left there is replaced.
///
/// # Errors
/// [`WebError`] where the network does not fit WebGPU's default limits, the device fails or the folder cannot be written.
pub fn export(
    gpu: &Arc<Gpu>,
    trained: &TrainedNetwork,
    description: &str,
    weights: Precision,
    folder: &Path,
    mut progress: impl FnMut(&str),
) -> Result<Summary, WebError> {
    const KERNELS: &str = "kernels.json";
    const BENCHMARK: &str = "benchmark.json";
    check_folder(folder)?;
    let mut bundle = Bundle::default();
    let examples = Examples::new(&embedded()?)?;
    pages::add(&mut bundle);
    progress("inference");
    let inference = inference::add(&mut bundle, gpu, trained, weights, &examples)?;
    progress("training");
    let training = training::add(&mut bundle, gpu, &examples)?;
    progress("kernels");
    let kernel_cases = cases::add(&mut bundle, KERNELS)?;
    progress("benchmark");
    benchmark::add(&mut bundle, BENCHMARK)?;
    let name = trained.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let network = NetworkInfo {
        name,
        description: description.to_owned(),
        size: trained.size.extents(),
        heat_map: trained.size.heat_map().extents(),
        parameters: inference.parameters,
        flip_test: trained.decode.flip_test,
        joints: trained.model.skeleton.joints.clone(),
        bones: trained.model.skeleton.bones.clone(),
    };
    let ditn = env!("CARGO_PKG_VERSION");
    let contents =
        Contents { format: FORMAT, ditn, network, inference, training, kernels: KERNELS, benchmark: BENCHMARK };
    bundle.json(CONTENTS, &contents)?;
    progress("files");
    let (files, bytes) = bundle.write(folder)?;
    Ok(Summary { files, bytes, kernel_cases })
}

/// That a folder is new, empty or holds a bundle.
fn check_folder(folder: &Path) -> Result<(), WebError> {
    let failed = |error| WebError::File { path: folder.to_owned(), error };
    let mut entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    let is_ours = entries.next().is_none() || folder.join(CONTENTS).is_file();
    if is_ours { Ok(()) } else { Err(WebError::OtherFolder { path: folder.to_owned() }) }
}
