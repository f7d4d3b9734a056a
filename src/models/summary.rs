//! What a network consists of: parameters and multiply-adds, block by block.

use serde::Serialize;

use super::model::ModelConfig;
use crate::data::Size;
use crate::ir::{Graph, Node, Role, ShapeError};
use crate::nn::{Mode, Network};

/// A part of a network: the stem, a stage, a decoder, a module of the transfer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Block {
    /// What the names of its tensors begin with.
    pub name: String,
    /// Trained numbers.
    pub parameters: usize,
    /// Multiply-adds of its convolutions for one picture.
    pub multiply_adds: u64,
    /// Those of its transposed convolutions, which published figures count at their output size, four times as many.
    pub transposed_multiply_adds: u64,
    /// Extents of what it computes last, `[C, H, W]`.
    pub output: Vec<usize>,
}

/// The blocks of a network in the order in which they run.
pub fn blocks(model: &ModelConfig, size: Size) -> Result<Vec<Block>, ShapeError> {
    let mut net = Network::new(Mode::Inference);
    let [height, width] = size.extents();
    let image = net.graph.input("image", [1, 3, height, width]);
    model.build(&mut net, image)?;
    let graph = &net.graph;
    let mut blocks: Vec<Block> = Vec::new();
    for node in graph.nodes() {
        let name = block_of(&node.name);
        let known = blocks.iter().position(|block| block.name == name).unwrap_or_else(|| {
            let name = name.to_string();
            let (parameters, multiply_adds, transposed_multiply_adds) = (0, 0, 0);
            blocks.push(Block { name, parameters, multiply_adds, transposed_multiply_adds, output: Vec::new() });
            blocks.len() - 1
        });
        let block = &mut blocks[known];
        let parameters = node.inputs.iter().map(|&id| graph.value(id)).filter(|value| value.role == Role::Parameter);
        block.parameters += parameters.map(|value| value.shape.elements()).sum::<usize>();
        let (multiply_adds, is_transposed) = convolution(graph, node);
        block.multiply_adds += multiply_adds;
        block.transposed_multiply_adds += if is_transposed { multiply_adds } else { 0 };
        block.output = graph.shape(node.outputs[0]).extents()[1..].to_vec();
    }
    Ok(blocks)
}

/// Multiply-adds of a node that is a convolution, and whether it is a transposed one. What is not a convolution counts
/// nothing, as in the papers.
fn convolution(graph: &Graph, node: &Node) -> (u64, bool) {
    let counts = ["conv2d", "conv2d_backward_input", "dynamic_conv"].contains(&node.operator.name());
    let (inputs, outputs) = (graph.shapes(&node.inputs), graph.shapes(&node.outputs));
    let flops = if counts { node.operator.cost(&inputs, &outputs).flops } else { 0.0 };
    ((flops / 2.0) as u64, node.name.starts_with("deconv_layers"))
}

/// The block that a node belongs to: the first part of its name, or more of those that hold the whole network; `stem` for what
/// stands before the first stage.
fn block_of(name: &str) -> &str {
    let inside = |scope: &str| name.strip_prefix(scope).is_some_and(|rest| rest.starts_with('.'));
    let parts = match () {
        () if inside("backbone.multi_stage_rsn") => 4,
        () if inside("head.predict_layers") => 3,
        () if ["transfer", "hg", "resnet", "global_net", "refine_net", "backbone"].into_iter().any(inside) => 2,
        () => 1,
    };
    let end = name.match_indices('.').nth(parts - 1).map_or(name.len(), |(at, _)| at);
    match &name[..end] {
        "" | "conv1" | "bn1" | "conv2" | "bn2" => "stem",
        block => block,
    }
}

#[cfg(test)]
mod tests {
    use super::super::NAMES;
    use super::*;
    use crate::data::Skeleton;

    fn summed(name: &str, skeleton: &str, size: impl Into<Size>) -> (usize, f64, f64) {
        let skeleton = Skeleton::by_name(skeleton).expect("a known skeleton");
        let model = ModelConfig::named(name, skeleton).expect("a known name");
        let blocks = blocks(&model, size.into()).expect("a size that fits");
        let gibi = |count: u64| count as f64 / (1u64 << 30) as f64;
        let multiply_adds: u64 = blocks.iter().map(|block| block.multiply_adds).sum();
        let transposed: u64 = blocks.iter().map(|block| block.transposed_multiply_adds).sum();
        (blocks.iter().map(|block| block.parameters).sum(), gibi(multiply_adds), gibi(multiply_adds + 3 * transposed))
    }

    #[test]
    fn the_networks_have_the_parameters_of_the_reference() {
        let expected = [
            28_536_080, 63_595_696, 33_999_440, 52_991_568, 68_635_216, 28_584_498, 63_695_746, 36_634_386, 3_586_960,
            6_730_912, 25_594_624, 27_395_296, 46_387_424, 9_135_712, 19_319_360, 39_243_456, 59_167_552, 33_999_440,
            52_991_568,
        ];
        let found: Vec<usize> = NAMES.iter().map(|name| summed(name, "mpii", [256, 256]).0).collect();
        assert_eq!(found, expected);
        assert_eq!(summed("simplebaseline-152", "coco", [256, 192]).0, 68_635_473);
    }

    #[test]
    fn the_multiply_adds_are_the_published_ones() {
        let published = [
            ("hrnet-w32", 7.12),
            ("hrnet-w48", 14.61),
            ("ditn-w32", 7.26),
            // Those of the checkpoints' own code; the papers count other networks so.
            ("hourglass-8", 19.635),
            ("cpn-50", 6.813),
            ("rsn-18", 2.091),
            ("rsn-50", 3.788),
            ("2xrsn-50", 7.651),
        ];
        for (name, expected) in published {
            let (_, multiply_adds, _) = summed(name, "coco", [256, 192]);
            assert!((multiply_adds - expected).abs() < 0.005, "{name}: {multiply_adds}");
        }
        // Printed as 8.90, 12.4 and 15.7, with each transposed convolution counted at its output size.
        let counted_so = [("simplebaseline-50", 8.99), ("simplebaseline-101", 12.38), ("simplebaseline-152", 15.76)];
        for (name, expected) in counted_so {
            let (_, _, as_published) = summed(name, "coco", [256, 192]);
            assert!((as_published - expected).abs() < 0.005, "{name}: {as_published}");
        }
    }
}
