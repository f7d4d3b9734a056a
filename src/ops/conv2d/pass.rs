//! What a kernel for both y and dx computes, and how its lanes share the work.

use super::geometry::Geometry;
use crate::ir::Argument::Input;
use crate::ir::{Argument, Capabilities};
use crate::ops::Epilogue;

/// What a kernel for both y and dx computes. Its geometry is then the one that the kernel sees: for dx, x is dy.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    pub input_gradient: bool,
    pub bias: Option<Argument>,
    pub residual: Option<Argument>,
    pub relu: bool,
    /// Whether the weight stays the same from run to run, so that it is prepacked once.
    pub prepacked: bool,
    /// Whether the kernels that can also compute mean and biased variance of y's channels, outputs 1 and 2, do so. Their
    /// variants then have another name.
    pub statistics: bool,
    /// Whether x is stored as F16, so that it loses nothing where it is rounded to that.
    pub f16: bool,
}

impl Pass {
    /// That of dx, to which a residual may be added; `f16` says whether dy is stored as F16.
    pub fn input_gradient(residual: Option<Argument>, f16: bool) -> Self {
        Self { input_gradient: true, bias: None, residual, relu: false, prepacked: false, statistics: false, f16 }
    }

    /// What is bound as bias; anything will do where there is none.
    pub fn bias_argument(&self) -> Argument {
        self.bias.unwrap_or(Input(1))
    }

    /// The same for the residual.
    pub fn residual_argument(&self) -> Argument {
        self.residual.unwrap_or(Input(0))
    }

    /// What follows the sums.
    pub fn constants(&self) -> Vec<(&'static str, f64)> {
        let epilogue = Epilogue { residual: self.residual.is_some(), relu: self.relu };
        [&[("HAS_BIAS", flag(self.bias.is_some()))], &epilogue.constants()[..]].concat()
    }

    /// Rows and columns of y from a pixel to the next that meets the same taps: for dx, the stride.
    pub fn output_stride(&self, g: &Geometry) -> [usize; 2] {
        if self.input_gradient { g.stride } else { [1, 1] }
    }
}

/// A truth as an `override` constant.
pub(super) fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// 2 where so many channels fall into pairs, 1 otherwise.
pub(super) fn pairs(channels: usize) -> usize {
    if channels.is_multiple_of(2) { 2 } else { 1 }
}

/// Whether the kernels run that broadcast from lanes 0 to 7 of a subgroup.
pub(super) fn broadcasts(capabilities: &Capabilities) -> bool {
    capabilities.subgroups && capabilities.subgroup_min_size >= 8
}

/// Invocations of a workgroup whose lanes stand for `items` items: a subgroup, or less where that suffices.
pub(super) fn lanes(items: usize, capabilities: &Capabilities) -> usize {
    items.next_multiple_of(8).min(capabilities.subgroup_min_size as usize / 8 * 8)
}
