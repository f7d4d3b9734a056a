//! Weight gradients in splits: sums over some of the pixels each, added up by a kernel of its own.

use super::geometry::Geometry;
use super::registry::SUM_SPLITS;
use crate::ir::Argument::{Output, Scratch};
use crate::ir::{Argument, Capabilities, Dispatch, Variant, folded};

/// Additions in a row that do float32 no harm.
pub(super) const ADDITIONS: usize = 4096;

/// Workgroups that keep the adapter busy.
pub(super) fn busy(capabilities: &Capabilities) -> usize {
    if capabilities.is_cpu { 16 } else { 1024 }
}

/// Where the splits of dw go: a single one is dw itself.
pub(super) fn target(splits: usize) -> Argument {
    if splits == 1 { Output(0) } else { Scratch(0) }
}

/// `compute`, and the sum of its splits where there are several.
pub(super) fn summed(name: &'static str, g: &Geometry, splits: usize, compute: Dispatch) -> Variant {
    if splits == 1 {
        return Variant::new(name, vec![compute]);
    }
    let weights = g.weight().elements();
    let sum = Dispatch {
        kernel: &SUM_SPLITS,
        constants: vec![("SPLITS", splits as f64), ("ELEMENTS", weights as f64)],
        bindings: vec![Scratch(0), Output(0)],
        workgroups: folded(weights.div_ceil(64)),
    };
    Variant::new(name, vec![compute, sum]).with_scratch(vec![splits * weights])
}
