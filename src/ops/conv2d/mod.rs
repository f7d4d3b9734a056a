//! Two-dimensional convolution (cross-correlation, as PyTorch's) and its gradients.
//!
//! y\[n, o, i, j\] = bias\[o\] + sum over c, u, v of weight\[o, c, u, v\] x\[n, g C/G + c, i SY + u - PY, j SX + v - PX\]
//!
//! with x zero outside the picture and g the group of output o. Kernels, strides and paddings are (vertical,
//! horizontal). [`Conv2d`] is the forward pass, [`Conv2dStatistics`] the same with what a batch normalisation behind it
//! needs; [`Conv2dInputGradient`], [`Conv2dWeightGradient`] and [`Conv2dBiasGradient`] are the backward pass. The input
//! gradient is a transposed convolution and can be differentiated itself.
//!
//! The operators are in `forward`, `backward` and `statistics`; `choice` says which kernels suit which convolution, in
//! order. Below it are the families of kernels: `direct`, `direct_weight`, `shared`, `winograd` and `gemm` with its `tile`
//! and `gemm_tables`. These read what a kernel is to compute from `pass`, `geometry` and `tables` and find it in the
//! `registry`.

mod backward;
mod cases;
mod choice;
mod direct;
mod direct_weight;
mod forward;
mod gemm;
mod gemm_tables;
mod geometry;
mod operators;
mod pass;
mod reference;
mod registry;
mod shared;
mod splits;
mod statistics;
mod tables;
mod tile;
mod winograd;

pub use cases::cases;
pub use operators::{Conv2d, Conv2dBiasGradient, Conv2dInputGradient, Conv2dStatistics, Conv2dWeightGradient};
pub use registry::kernels;
pub(super) use tables::TABLES;
