//! A tensor engine with reverse-mode autodiff whose every operator is a WGSL compute shader, and on it the pose networks
//! HRNet and DITN: built, trained, checked and used.
//!
//! A network is a static graph. It is built once, differentiated as a graph, fused, planned (order, kernels, memory) and
//! then replayed: the whole training step, the optimizer included, is one plan.
//!
//! # A first network
//!
//! ```
//! use ditn::gpu::{AdapterChoice, Gpu};
//! use ditn::nn::{LinearLayer, Mode, Network, Trainer, Training};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Exclusive or: four points and their classes.
//! let points = [0.0_f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
//! let classes = [0_u32, 1, 1, 0];
//!
//! let mut net = Network::new(Mode::Training);
//! let (x, y) = (net.input("points", [4, 2]), net.input("classes", [4]));
//! let hidden = net.linear("hidden", x, LinearLayer::new(16))?;
//! let hidden = net.relu(hidden)?;
//! let logits = net.linear("output", hidden, LinearLayer::new(2))?;
//! let loss = net.softmax_cross_entropy(logits, y)?;
//!
//! let gpu = Gpu::open(&AdapterChoice::default())?;
//! let mut trainer = Trainer::new(&gpu, net, Training::minimize(loss).keep(&[logits]))?;
//! trainer.write(x, &points)?;
//! trainer.write(y, &classes)?;
//! let first = trainer.step(0.03)?;
//! for _ in 0..200 {
//!     trainer.step(0.03)?;
//! }
//! let last = trainer.step(0.03)?;
//! assert!(last < 0.1 * first, "the loss fell from {first} to {last} only");
//! let logits = trainer.read(logits)?;
//! assert!(logits[0] > logits[1] && logits[2] < logits[3]);
//! # Ok(())
//! # }
//! ```
//!
//! `examples/digits.rs` trains and tests a convolutional classifier in 60 lines; `examples/inspect.rs` builds a graph of
//! operators by hand, prints its plan and reads a gradient. To use a trained pose network, see [`predict::Predictor`]; to add
//! an operator, the README and `examples/custom_operator/`, which does so from outside the crate.
//!
//! # Map
//!
//! Each module knows only those above it in this table.
//!
//! | module | what it is for |
//! |---|---|
//! | [`ranks`] | the processes that train one network together, by MPI |
//! | [`ir`] | the vocabulary: shapes, dtypes, graphs, operators, kernels and their dispatches, as data |
//! | [`gpu`] | the only module that names wgpu: adapters, buffers, pipelines, submission |
//! | [`ops`] | the operators, a file each: shape rule, gradient rule, float64 reference, cost, choice of kernels |
//! | [`graph`] | differentiate, fuse, plan (all without a device), run |
//! | [`nn`] | layers, initial values, optimizers, the trainer, checkpoints |
//! | [`data`] | data sets, crop and augmentation, the loader |
//! | [`metrics`] | scores of poses: PCKh, OKS, PCK |
//! | [`models`] | the pose networks, a file each |
//! | [`onnx`] | the pose networks as ONNX files |
//! | [`predict`] | poses from pictures |
//! | [`train`] | a training run: configuration, loop, records |
//! | [`verify`] | comparison with PyTorch and with references: is it right? |
//! | [`mod@bench`] | what adapter, kernels and networks reach, tuning: is it fast? |
//! | [`report`] | all of that in one document, of adapters that nobody here has |
//! | `cli` | the commands, with the default feature `cli` |
//!
//! [`files`] (writing that survives a crash) and [`plot`] (curves as SVG) know none of them. What parses arguments, draws
//! progress bars and catches signals comes with the feature `cli`: `default-features = false` leaves the library alone.

pub mod bench;
#[cfg(feature = "cli")]
pub mod cli;
pub mod data;
pub mod files;
pub mod gpu;
pub mod graph;
pub mod ir;
pub mod metrics;
pub mod models;
pub mod nn;
pub mod onnx;
pub mod ops;
pub mod plot;
pub mod predict;
pub mod ranks;
pub mod report;
pub mod train;
pub mod verify;
pub mod web;
