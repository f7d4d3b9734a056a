//! Which kernels suit which convolution.
//!
//! The first variant that takes a convolution computes it unless `ditn tune` found another to be faster: on GPUs those that
//! end in `_shared`, then `gemm`, then as the table says. All but those and the plain ones are made for CPU adapters, where
//! each lane of each load costs as much as eight multiply-adds of the whole subgroup; all but `grouped` need subgroups of 8
//! lanes or more.
//!
//! | pass | kernels, the one to prefer first |
//! |---|---|
//! | y of an inference, dx | `winograd_*`: 3x3, stride 1, padding 1, one group, width a multiple of 4, where it pays |
//! | y, dx | `forward_3x3`: 3x3, stride 1, one group |
//! | | `grouped_3x3`: 3x3, stride 1, several groups |
//! | | `pointwise`: 1x1, stride 1, no padding, one group, channels and pixels multiples of 4 |
//! | | `depthwise_9x9`: 9x9, stride 1, a group a channel |
//! | | `tiled`: one group |
//! | | `gemm` in several tiles: one group; `gemm_cooperative`: as well x stored as F16, where the adapter has such matrices |
//! | | `grouped`: several groups |
//! | | `forward`, `backward_input`: any |
//! | | `grouped_3x3_shared`, `depthwise_9x9_shared`: as those of the name without `_shared` |
//! | dw | `winograd_*`, `backward_weight_3x3`, `backward_weight_grouped_3x3`, `backward_weight_depthwise_9x9`, `backward_weight_tiled`: as above |
//! | | `gemm_weight` in several tiles: one group; `gemm_weight_cooperative`: as well dy and x stored as F16 |
//! | | `backward_weight`: any |
//! | | `backward_weight_grouped_3x3_shared`, `backward_weight_depthwise_9x9_shared`: as above |
//! | db | `backward_bias`: any |
//!
//! `forward_3x3`, `pointwise`, `tiled` and `gemm` can also compute mean and variance of y's channels, from the moments of the pixels
//! that an invocation holds.

use super::geometry::Geometry;
use super::pass::{Pass, broadcasts};
use super::{direct, direct_weight, gemm, shared, winograd};
use crate::ir::{Capabilities, Shape, Variant};

/// y.
pub(super) fn forward(g: &Geometry, pass: &Pass, capabilities: &Capabilities) -> Vec<Variant> {
    let with_stride_1 = (g.stride == [1, 1]).then_some(*g);
    let mut variants = tuned(pass, with_stride_1.as_ref(), g, capabilities);
    variants.push(direct::plain(g, pass));
    with_shared(&mut variants, with_stride_1.and_then(|g| shared::forward(&g, pass)), capabilities);
    variants
}

/// dx; `g` is the geometry of the convolution.
pub(super) fn backward_input(g: &Geometry, pass: &Pass, capabilities: &Capabilities) -> Vec<Variant> {
    let rotated = g.rotated();
    let mut variants = tuned(pass, rotated.as_ref(), &g.transposed(), capabilities);
    variants.push(direct::plain_input_gradient(g, pass));
    with_shared(&mut variants, rotated.and_then(|g| shared::forward(&g, pass)), capabilities);
    variants
}

/// The kernels for both y and dx. `with_stride_1` is the geometry as that of a convolution with stride 1, where it is one;
/// `g` is as the kernel sees it: for dx, transposed.
fn tuned(pass: &Pass, with_stride_1: Option<&Geometry>, g: &Geometry, capabilities: &Capabilities) -> Vec<Variant> {
    let mut variants = Vec::new();
    if broadcasts(capabilities) {
        if let Some(g) = with_stride_1 {
            // No two of these take one convolution.
            let of_one_size = direct::conv_3x3(g, pass, capabilities)
                .or_else(|| direct::pointwise(g, pass, capabilities))
                .or_else(|| direct::grouped_3x3(g, pass, capabilities))
                .or_else(|| direct::depthwise_9x9(g, pass, capabilities));
            let winograd = winograd::forward(g, pass, capabilities);
            variants.extend(in_order(winograd::pays(g, pass, capabilities), winograd, of_one_size));
        }
        variants.extend(direct::tiled(g, pass, capabilities));
    }
    variants.extend(direct::grouped(g, pass, capabilities));
    with_gemm(&mut variants, gemm::forward(g, pass, capabilities), capabilities);
    variants
}

/// dw; `f16` says whether both dy and x are stored as F16.
pub(super) fn backward_weight(g: &Geometry, f16: bool, capabilities: &Capabilities) -> Vec<Variant> {
    let mut variants = Vec::new();
    if broadcasts(capabilities) {
        if g.stride == [1, 1] {
            // No two of these take one convolution.
            let of_one_size = direct_weight::conv_3x3(g, capabilities)
                .or_else(|| direct_weight::grouped_3x3(g, capabilities))
                .or_else(|| direct_weight::depthwise_9x9(g, capabilities));
            let winograd = winograd::backward_weight(g, capabilities);
            variants.extend(in_order(winograd::pays_for_weight(g, capabilities), winograd, of_one_size));
        }
        variants.extend(direct_weight::tiled(g, capabilities));
    }
    with_gemm(&mut variants, gemm::backward_weight(g, f16, capabilities), capabilities);
    variants.push(direct_weight::plain(g, capabilities));
    with_shared(&mut variants, shared::backward_weight(g, capabilities), capabilities);
    variants
}

/// db, of dy of this shape.
pub(super) fn backward_bias(dy: &Shape) -> Vec<Variant> {
    vec![direct_weight::bias(dy)]
}

/// Adds the products of matrices: before all others on a GPU, after them on a CPU.
fn with_gemm(variants: &mut Vec<Variant>, gemm: Vec<Variant>, capabilities: &Capabilities) {
    let place = if capabilities.is_cpu { variants.len() } else { 0 };
    variants.splice(place..place, gemm);
}

/// Adds the kernel with tiles in workgroup memory: before all others on a GPU, after them on a CPU.
fn with_shared(variants: &mut Vec<Variant>, shared: Option<Variant>, capabilities: &Capabilities) {
    let place = if capabilities.is_cpu { variants.len() } else { 0 };
    variants.splice(place..place, shared);
}

/// `a` before `b` if `a_first`, else after.
fn in_order(a_first: bool, a: Option<Variant>, b: Option<Variant>) -> Vec<Variant> {
    let (first, second) = if a_first { (a, b) } else { (b, a) };
    first.into_iter().chain(second).collect()
}
