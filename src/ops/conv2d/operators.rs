//! The operators, as what tells them apart.

use crate::ops::Epilogue;

/// (x `[N, C, H, W]`, weight `[O, C / groups, KH, KW]`\[, bias `[O]`\]\[, residual `[N, O, OH, OW]`\]) -> y
/// `[N, O, OH, OW]` with OH = floor((H + 2 padding - KH) / stride) + 1. With an epilogue it is not differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Pixels of x from the window of an output to that of the next.
    pub stride: [usize; 2],
    /// Zeros on each side of the input.
    pub padding: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
    /// What follows.
    pub epilogue: Epilogue,
}

/// The inputs of a [`Conv2d`] without epilogue -> (y `[N, O, OH, OW]`, mean `[O]`, biased variance `[O]` of y's channels).
///
/// Kernels that hold many pixels of a channel at a time write the moments of these, from which the statistics follow
/// without reading y again; behind all others y is read once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dStatistics {
    /// What computes y.
    pub convolution: Conv2d,
}

/// (dy `[N, O, OH, OW]`, weight `[O, C / groups, KH, KW]`\[, residual `[N, C, H, W]`\]) -> dx \[+ residual\]
/// `[N, C, H, W]`. The residual is what else is already known of the gradient for x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dInputGradient {
    /// Of the forward pass.
    pub stride: [usize; 2],
    /// Of the forward pass.
    pub padding: [usize; 2],
    /// Of the forward pass.
    pub groups: usize,
    /// H and W of x, which dy alone does not tell with a stride.
    pub size: [usize; 2],
    /// Whether there is a residual.
    pub residual: bool,
}

/// (dy `[N, O, OH, OW]`, x `[N, C, H, W]`) -> dweight `[O, C / groups, KH, KW]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dWeightGradient {
    /// Of the forward pass.
    pub stride: [usize; 2],
    /// Of the forward pass.
    pub padding: [usize; 2],
    /// Of the forward pass.
    pub groups: usize,
    /// KH and KW.
    pub kernel: [usize; 2],
}

/// dy `[N, O, OH, OW]` -> dbias `[O]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dBiasGradient;
