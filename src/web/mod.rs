//! Plans for browsers: a folder with a network, the kernels as they are and pages that replay them through WebGPU. `ditn web`
//! writes it; `web/README.md` says what is in it.
//!
//! A plan leaves the program as a list of dispatches ([`PlanFile`]) whose memory [`Plan::dispatches`](crate::graph::Plan)
//! resolves, as for a [`Session`](crate::graph::Session). Weights of float32 are computed as far as they depend on nothing else
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

use std::path::PathBuf;
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
use crate::ops::decode::Decode;
use crate::predict::TrainedNetwork;
use crate::train::config::{ConfigError, OptimizerName, embedded};
use bundle::CONTENTS;
use examples::Examples;

pub use bundle::Bundle;
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
    /// A weight is too large for 16 bits.
    #[error(
        "the weights of '{name}' have the number {number}, which 16 bits cannot hold; store them with --weights f32"
    )]
    TooLarge {
        /// The tensor.
        name: String,
        /// The number.
        number: f32,
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
    /// The embedded configuration has an optimizer that the pages do not know.
    #[error(
        "the pages train by AdamW and not by {0:?}: let the embedded configuration have optimizer.kind = \"adamw\""
    )]
    Optimizer(OptimizerName),
    /// The people's picture cannot be encoded.
    #[error(transparent)]
    Image(#[from] image::ImageError),
}

/// How much a bundle holds.
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
    /// Of all other files: pages ask for them by it, so that no cache gives those of another bundle.
    id: String,
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
    decode: Decode,
    heat_range: [f32; 2],
    joints: Vec<String>,
    bones: Vec<(usize, usize)>,
}

/// Makes a bundle with a network, its weights stored as `weights`; `progress` hears what comes next.
///
/// # Errors
/// [`WebError`] where the network does not fit WebGPU's default limits or the device fails.
pub fn bundle(
    gpu: &Arc<Gpu>,
    trained: &TrainedNetwork,
    description: &str,
    weights: Precision,
    mut progress: impl FnMut(&str),
) -> Result<Bundle, WebError> {
    const KERNELS: &str = "kernels.json";
    const BENCHMARK: &str = "benchmark.json";
    let mut bundle = Bundle::default();
    let examples = Examples::new(&embedded()?)?;
    pages::add(&mut bundle);
    progress("inference");
    let inference = inference::add(&mut bundle, gpu, trained, weights, &examples)?;
    progress("training");
    let training = training::add(&mut bundle, gpu, &examples)?;
    progress("kernels");
    bundle.kernel_cases = cases::add(&mut bundle, KERNELS)?;
    progress("benchmark");
    benchmark::add(&mut bundle, BENCHMARK)?;
    let name = trained.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let network = NetworkInfo {
        name,
        description: description.to_owned(),
        size: trained.size.extents(),
        heat_map: trained.size.heat_map().extents(),
        parameters: inference.parameters,
        flip_test: trained.decode.flip_test && trained.model.skeleton.mirrors,
        decode: trained.decode.decode,
        heat_range: trained.decode.heat_range(),
        joints: trained.model.skeleton.joints.clone(),
        bones: trained.model.skeleton.bones.clone(),
    };
    let ditn = env!("CARGO_PKG_VERSION");
    let id = bundle.id();
    let contents =
        Contents { format: FORMAT, ditn, id, network, inference, training, kernels: KERNELS, benchmark: BENCHMARK };
    bundle.json(CONTENTS, &contents)?;
    Ok(bundle)
}
