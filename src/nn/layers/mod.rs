//! The layers: methods of [`Network`](super::Network), one file a kind.
//!
//! What has parameters takes a name and its attributes, `net.conv2d("conv1", x, Conv2dLayer::new(64, 3).stride(2))`; what
//! has none takes its input first. Names, layouts and defaults of parameters are PyTorch's.

mod convolution;
mod elementwise;
mod linear;
mod loss;
mod normalization;
mod pooling;
mod shape;

pub use convolution::Conv2dLayer;
pub use linear::LinearLayer;
pub use normalization::BatchNormLayer;
pub use pooling::Pool2d;
