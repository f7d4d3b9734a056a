//! How feature maps are stored.

use serde::{Deserialize, Serialize};

/// How a network stores feature maps, and in training their gradients. Kernels compute in float32 either way; parameters, sums
/// and losses are always float32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As float32.
    #[default]
    F32,
    /// As F16, with [dynamic loss scaling](crate::ops::loss_scale) in training: half the memory and traffic.
    F16,
}
