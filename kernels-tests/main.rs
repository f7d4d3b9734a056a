//! Every operator on every adapter of this machine: values against the float64 reference, gradients against numeric ones.

#[path = "../tests/common/mod.rs"]
mod common;
mod harness;

mod accumulate;
mod adam;
mod adamw;
mod add;
mod avg_pool;
mod batch_norm;
mod concat;
mod conv2d;
mod coordinate_loss;
mod crop;
mod decode;
mod dynamic_conv;
mod expectation;
mod flatten;
mod flip;
mod fusion;
mod gate;
mod gather_channels;
mod global_average_pool;
mod headers;
mod linear;
mod loss;
mod loss_scale;
mod magnitudes;
mod max_pool;
mod over_ranks;
mod portability;
mod recompute;
mod reflection;
mod relu;
mod reshape;
mod resize;
mod rmsprop;
mod roofline;
mod scale;
mod sgd;
mod softmax_cross_entropy;
mod targets;
mod trusted;
mod tune;
mod updates;
mod upsample;
