//! The pose networks, each to be read beside its paper's figures. Training, prediction and verification build them into
//! a [`Network`](crate::nn::Network); a model adds layers and says what it predicts, and knows no device, loss or
//! optimizer.
//!
//! A network is a body (features at a quarter of the input's size) with a head (heat maps). [`ModelConfig::named`] knows
//! those of the papers.

mod blocks;
mod config;
mod cpn;
mod ditn;
mod fit;
mod found;
mod hourglass;
mod hrnet;
mod maps;
mod model;
mod normalization;
mod resnet;
mod rsn;
mod summary;

pub use config::{Layers, NetworkConfig, NetworkKind};
pub use cpn::Cpn;
pub use ditn::Ditn;
pub use fit::{Fit, has_row_a_joint};
pub use hourglass::Hourglass;
pub use hrnet::HrNet;
pub use maps::{AttentionGates, HeatMaps, SideMaps};
pub use model::{Body, Head, ModelConfig, NAMES};
pub use normalization::InputNormalization;
pub use resnet::{Depth, ResNet};
pub use rsn::Rsn;
pub use summary::{Block, blocks};
