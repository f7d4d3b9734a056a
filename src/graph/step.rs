//! One node of a plan with the kernels chosen for it.

use crate::ir::{Cost, DTypes, Dispatch, F16Bindings, Node, Variant};

/// One node of a plan with the kernels chosen for it.
#[derive(Debug)]
pub struct Step {
    /// The node.
    pub node: Node,
    /// How it is computed.
    pub variant: Variant,
    /// How its tensors are stored.
    pub dtypes: DTypes,
    /// How many of the variant's dispatches, from the first on, depend on nothing but [`Plan::constants`](super::Plan):
    /// they run again only where those have changed.
    pub once: usize,
    /// What it costs.
    pub cost: Cost,
}

impl Step {
    /// Its dispatches, with the bindings of each that are F16.
    pub fn dispatches(&self) -> impl Iterator<Item = (&Dispatch, F16Bindings)> {
        self.variant.dispatches.iter().map(|dispatch| (dispatch, dispatch.f16_bindings(&self.dtypes)))
    }

    /// Whether all of it depends on constants alone.
    pub fn is_constant(&self) -> bool {
        self.once > 0 && self.once == self.variant.dispatches.len()
    }
}
