//! Mixed precision: feature maps and their gradients stored as F16, at half the memory and traffic.
//!
//! Kernels still compute and sum in float32. Parameters, statistics, losses, what the host reads and whatever a kernel
//! cannot take as F16 stay float32, so no value is ever converted for the conversion's sake. What is below 6e-8 is lost in
//! F16: gradients need a loss scale (Micikevicius et al., "Mixed precision training", 2018).

use std::collections::HashSet;

use crate::ir::{Capabilities, Case, DType, Graph, Node, Role, ValueId, Variant};

/// Stores as F16 what can be: computed `[N, C, H, W]` tensors not in `keep` for which every node that writes or reads them
/// has a kernel.
pub fn store_activations_as_f16(graph: &mut Graph, keep: &[ValueId], capabilities: &Capabilities) {
    if !capabilities.shader_f16 {
        return;
    }
    let maps = |id: &ValueId| {
        let value = graph.value(*id);
        value.role == Role::Computed && value.shape.extents().len() == 4 && !keep.contains(id)
    };
    let computed: Vec<ValueId> = graph.nodes().iter().flat_map(|node| &node.outputs).copied().filter(maps).collect();
    for &id in &computed {
        graph.set_dtype(id, DType::F16);
    }
    // What one node refuses may have been the reason why another has no kernel: until nobody refuses any more.
    loop {
        let refused: HashSet<ValueId> =
            graph.nodes().iter().flat_map(|node| refused(graph, node, capabilities)).collect();
        if refused.is_empty() {
            return;
        }
        for id in refused {
            graph.set_dtype(id, DType::F32);
        }
    }
}

/// The node's tensors that must not be F16 for one of its variants to take the others; none where one takes all.
fn refused(graph: &Graph, node: &Node, capabilities: &Capabilities) -> Vec<ValueId> {
    let dtypes = graph.dtypes(node);
    let (inputs, outputs) = (graph.shapes(&node.inputs), graph.shapes(&node.outputs));
    let constant = vec![false; inputs.len()];
    let case = Case { inputs: &inputs, outputs: &outputs, constant: &constant, dtypes: &dtypes, capabilities };
    let refused_by = |variant: &Variant| -> Vec<ValueId> {
        let taken = variant.supported_dtypes(&dtypes);
        let inputs = node.inputs.iter().zip(dtypes.inputs.iter().zip(taken.inputs));
        let outputs = node.outputs.iter().zip(dtypes.outputs.iter().zip(taken.outputs));
        inputs.chain(outputs).filter(|&(_, (&wanted, taken))| wanted != taken).map(|(&id, _)| id).collect()
    };
    node.operator.variants(&case).iter().map(refused_by).min_by_key(Vec::len).unwrap_or_default()
}
