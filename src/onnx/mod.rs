//! Networks as ONNX files, which other programs run: onnxruntime, OpenVINO and what builds on them.
//!
//! [`export`] writes set 17 of ONNX's operators. Batch normalisation lies in the convolutions' weights, the number of
//! pictures is left open, and weights keep the names of checkpoints. The input is the picture as the network takes it,
//! cropped and normalised; [`Model::metadata_props`](proto::Model) and its `doc_string` say how, and name the joints.
//!
//! [`proto`] holds the messages of such files; `translate.rs` goes through a network's graph, and `operators.rs` says what
//! each operator becomes.

mod builder;
mod decode;
mod description;
mod operators;
pub mod proto;
mod translate;

use thiserror::Error;

use crate::data::{STRIDE, Size};
use crate::graph::fuse;
use crate::ir::{ShapeError, ValueId};
use crate::models::ModelConfig;
use crate::nn::checkpoint::State;
use crate::nn::{Mode, Network};
use crate::ops::decode::Decode;
use builder::Builder;
use proto::{Model, OperatorSet};
use translate::Translator;

/// Version of the format of files, that of ONNX 1.12: what every reader of set 17 takes.
const IR_VERSION: i64 = 8;

/// Version of ONNX's set of operators.
const OPSET: i64 = 17;

/// Name of the input `[batch, 3, H, W]`.
pub const IMAGE: &str = "image";

/// Name of the output `[batch, J, H / 4, W / 4]`.
pub const HEAT_MAPS: &str = "heat_maps";

/// Name of the output `[batch, B, H / 4, W / 4]` of networks that predict bones.
pub const BONE_MAPS: &str = "bone_maps";

/// Name of the output `[batch, J, 2]` of integral pose regression.
pub const COORDINATES: &str = "coordinates";

/// Name of the output `[batch, J, 3]`, where it is asked for.
pub const JOINTS: &str = "joints";

/// A network that cannot be written as ONNX.
#[derive(Debug, Error)]
pub enum OnnxError {
    /// The input size does not suit the network.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A tensor that is not among the weights.
    #[error("the weights lack `{0}`")]
    Missing(String),
    /// An operator without a translation.
    #[error("the operator {name} of `{place}` has no translation to ONNX")]
    Operator {
        /// The operator.
        name: &'static str,
        /// Where in the network it stands.
        place: String,
    },
}

/// What a file holds besides the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The joints too, in pixels of the input: see [`JOINTS`]. They are found by the quarter-pixel rule, or from the coordinates
    /// where that is the rule.
    pub decode: bool,
    /// How joints are read from the maps, which the file describes.
    pub rule: Decode,
}

impl Default for Options {
    fn default() -> Self {
        Self { decode: false, rule: Decode::Quarter }
    }
}

/// The graph of any network, such as one of one's own in [`Mode::Inference`], with the weights of `state`. The values of
/// `outputs` get these names; inputs keep theirs. The first extent of all of them, the number of pictures, is left open.
///
/// # Errors
/// [`OnnxError`].
pub fn graph(net: Network, outputs: &[(ValueId, &str)], state: &State) -> Result<proto::Graph, OnnxError> {
    Ok(translated(net, outputs, state)?.finish("network"))
}

fn translated(net: Network, outputs: &[(ValueId, &str)], state: &State) -> Result<Builder, OnnxError> {
    let mut graph = net.graph;
    fuse(&mut graph, &outputs.iter().map(|&(value, _)| value).collect::<Vec<_>>());
    let mut translator = Translator::new(&graph, state);
    translator.run(outputs)?;
    let mut builder = translator.builder;
    for &(value, name) in outputs {
        builder.output(name, &graph.shape(value).extents()[1..]);
    }
    Ok(builder)
}

/// The network `model` for an input of `size`, with the weights of `state`, as an ONNX model.
///
/// # Errors
/// [`OnnxError`].
pub fn export(model: &ModelConfig, size: Size, state: &State, options: Options) -> Result<Model, OnnxError> {
    let mut net = Network::new(Mode::Inference);
    let [height, width] = size.extents();
    let image = net.input(IMAGE, [1, 3, height, width]);
    let maps = model.build(&mut net, image)?;
    let mut outputs = vec![(maps.joints, HEAT_MAPS)];
    outputs.extend(maps.bones.map(|bones| (bones, BONE_MAPS)));
    outputs.extend(maps.coordinates.map(|coordinates| (coordinates, COORDINATES)));
    let mut builder = translated(net, &outputs, state)?;
    if options.decode {
        let joints = match maps.coordinates {
            Some(_) if options.rule == Decode::Expectation => {
                decode::of_coordinates(&mut builder, COORDINATES, size.extents())
            }
            _ => decode::decode(&mut builder, HEAT_MAPS, size.heat_map().extents(), STRIDE as usize),
        };
        builder.rename(&joints, JOINTS);
        builder.output(JOINTS, &[model.skeleton.joints.len(), 3]);
    }
    Ok(Model {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: description::text(model, size, options),
        graph: Some(builder.finish("pose")),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        metadata_props: description::metadata(model, size, options.rule),
    })
}
