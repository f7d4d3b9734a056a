//! A network on a device: from a batch of people to joints in heat-map pixels.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pose::{Pose, poses_in_pictures};
use crate::data::{Batch, Size, Skeleton};
use crate::gpu::Gpu;
use crate::graph::{Choices, Session, SessionError, Store, Tensor};
use crate::ir::{ShapeError, ValueId};
use crate::models::{HeatMaps, ModelConfig};
use crate::nn::{Mode, Network, NetworkError, PictureInputs};
use crate::ops::decode::Decode;
use crate::ops::flip::{FlipHorizontal, FlipMerge, FlipMergePoints};
use crate::ops::targets::PEAK;

/// How joints are read from a network's heat maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DecodeOptions {
    /// The heat maps are the mean of the picture's and the mirrored picture's.
    pub flip_test: bool,
    /// How a map becomes a point.
    pub decode: Decode,
}

impl Default for DecodeOptions {
    /// As the papers are scored: with the flip test, a quarter of a pixel towards the larger neighbours.
    fn default() -> Self {
        Self { flip_test: true, decode: Decode::Quarter }
    }
}

impl DecodeOptions {
    /// What joint heat maps are drawn from and to. Those that are decoded by their expectation are logits: they are drawn
    /// as their softmax over its maximum.
    pub(crate) fn heat_range(self) -> [f32; 2] {
        match self.decode {
            Decode::SecondMaximum(_) => [0.0, PEAK],
            Decode::Quarter | Decode::QuarterFloor | Decode::Dark | Decode::Expectation => [0.0, 1.0],
        }
    }
}

/// A network with running statistics between its crop and its decoding, on no device yet.
pub(crate) struct PoseGraph {
    pub net: Network,
    pub pictures: PictureInputs,
    /// `[N, J, 3]`.
    pub decoded: ValueId,
    pub maps: HeatMaps,
}

impl PoseGraph {
    /// # Errors
    /// [`ShapeError`] where the network does not fit the size.
    pub fn new(model: &ModelConfig, size: Size, batch: usize, options: DecodeOptions) -> Result<Self, ShapeError> {
        let mut net = Network::new(Mode::Inference);
        let (pictures, image) = net.pictures(batch, size.extents(), model.normalization.constants())?;
        let mut maps = model.build(&mut net, image)?;
        let partner = model.skeleton.flipped_joints();
        let mirrored = if options.flip_test && model.skeleton.mirrors {
            let mirrored = net.graph.apply_one(FlipHorizontal, &[image])?;
            Some(model.build(&mut net, mirrored)?.joints)
        } else {
            None
        };
        let graph = &mut net.graph;
        let decoded = match mirrored {
            // The mean of two maps has another expectation than the mean of theirs.
            Some(mirrored) if options.decode == Decode::Expectation => {
                let points = graph.apply_one(options.decode, &[maps.joints])?;
                let mirrored = graph.apply_one(options.decode, &[mirrored])?;
                let width = size.heat_map().width as f32;
                graph.apply_one(FlipMergePoints { partner, width }, &[points, mirrored])?
            }
            Some(mirrored) => {
                let shift = options.decode.shifts_mirrored_maps();
                maps.joints = graph.apply_one(FlipMerge { partner, shift }, &[maps.joints, mirrored])?;
                graph.apply_one(options.decode, &[maps.joints])?
            }
            None => graph.apply_one(options.decode, &[maps.joints])?,
        };
        Ok(Self { net, pictures, decoded, maps })
    }

    /// What can be read after a run, with its name for other programs.
    pub fn outputs(decoded: ValueId, maps: &HeatMaps) -> Vec<(&'static str, ValueId)> {
        let of_some =
            [("bone_maps", maps.bones), ("channel_gate", maps.gates.channel), ("spatial_gate", maps.gates.spatial)];
        let of_some = of_some.into_iter().filter_map(|(name, id)| Some((name, id?)));
        [("joints", decoded), ("heat_maps", maps.joints)].into_iter().chain(of_some).collect()
    }
}

/// A network with running statistics, its crop and its decoding, planned for one batch size.
pub struct PoseNetwork {
    session: Session,
    store: Option<Store>,
    pictures: PictureInputs,
    decoded: ValueId,
    maps: HeatMaps,
    batch: usize,
    input: Size,
    skeleton: Arc<Skeleton>,
    options: DecodeOptions,
}

/// What a network computed on the way to the joints, for all pictures of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Joint heat maps as decoded `[N, J, H / 4, W / 4]`; of [`Decode::Expectation`] the softmax of each over its maximum.
    pub joints: Tensor,
    /// What the joint heat maps are drawn from and to: 0 to 255 of [`Decode::SecondMaximum`], otherwise 0 to 1.
    pub joint_range: [f32; 2],
    /// Bone heat maps `[N, B, H / 4, W / 4]`, where the network predicts bones.
    pub bones: Option<Tensor>,
    /// What DITN's channel attention multiplied the two channels of each bone by, 1 to 2: `[N, 2B, 1, 1]`.
    pub channel_attention: Option<Tensor>,
    /// What DITN's spatial attention multiplied the joint features by, 1 to 2: `[N, J, H / 4, W / 4]`.
    pub spatial_attention: Option<Tensor>,
}

impl PoseNetwork {
    /// A network with weights of its own, zero until [`PoseNetwork::load`]. `size` is the network's input.
    ///
    /// # Errors
    /// [`NetworkError`] where the network does not fit the size or the adapter.
    pub fn new(
        gpu: &Arc<Gpu>,
        model: &ModelConfig,
        size: Size,
        batch: usize,
        options: DecodeOptions,
    ) -> Result<Self, NetworkError> {
        let mut store = Store::new(gpu);
        let network = Self::sharing(gpu, model, size, batch, options, &mut store)?;
        gpu.save_pipelines();
        Ok(Self { store: Some(store), ..network })
    }

    /// A network with the weights of `store`, as they are at each prediction.
    ///
    /// # Errors
    /// As [`PoseNetwork::new`].
    pub fn sharing(
        gpu: &Arc<Gpu>,
        model: &ModelConfig,
        size: Size,
        batch: usize,
        options: DecodeOptions,
        store: &mut Store,
    ) -> Result<Self, NetworkError> {
        let PoseGraph { net, pictures, decoded, maps } = PoseGraph::new(model, size, batch, options)?;
        let outputs: Vec<ValueId> = PoseGraph::outputs(decoded, &maps).into_iter().map(|(_, id)| id).collect();
        let plan = net.plan(&outputs, gpu.capabilities(), &Choices::of(gpu)?)?;
        let session = Session::new(gpu, plan, store)?;
        Ok(Self {
            session,
            store: None,
            pictures,
            decoded,
            maps,
            batch,
            input: size,
            skeleton: Arc::clone(&model.skeleton),
            options,
        })
    }

    /// The joints that it finds.
    pub fn skeleton(&self) -> &Arc<Skeleton> {
        &self.skeleton
    }

    /// The size of its input.
    pub fn input(&self) -> Size {
        self.input
    }

    /// People of a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Loads weights and running statistics by name; tensors that the network does not have (the optimizer's) are
    /// ignored.
    ///
    /// # Errors
    /// [`NetworkError::Missing`] or [`SessionError::OtherShape`] for the state of another network.
    pub fn load(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), NetworkError> {
        match &self.store {
            Some(store) => Ok(store.load(state)?),
            None => Ok(()),
        }
    }

    /// Joints of each sample of the batch, padding included: x and y in heat-map pixels, and the score, which is of the
    /// rule that decodes as [`Keypoint::score`](super::Keypoint::score) says. `[N][J]`.
    ///
    /// # Errors
    /// [`NetworkError::Batch`] for a batch of another size; device errors.
    pub fn predict(&mut self, batch: &Batch) -> Result<Vec<Vec<[f32; 3]>>, NetworkError> {
        if batch.len() != self.batch {
            return Err(NetworkError::Batch { expected: self.batch, given: batch.len() });
        }
        upload(&mut self.session, &self.pictures, batch)?;
        self.session.run()?;
        let decoded = self.session.read(self.decoded)?;
        let (points, _) = decoded.as_chunks::<3>();
        Ok(points.chunks(self.skeleton.joints.len()).map(<[_]>::to_vec).collect())
    }

    /// The poses of a batch's people, padding left out, in the pixels of their pictures.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn poses(&mut self, batch: &Batch) -> Result<Vec<Pose>, NetworkError> {
        Ok(poses_in_pictures(&self.predict(batch)?, &batch.people, self.input))
    }

    /// What lies behind the last prediction. Bones and attention are those of the picture as it is, not mirrored.
    ///
    /// # Errors
    /// Device errors.
    pub fn explain(&self) -> Result<Explanation, SessionError> {
        let read = |value: ValueId| -> Result<Tensor, SessionError> {
            let shape = self.session.plan().graph.shape(value).extents().to_vec();
            Ok(Tensor { shape, data: self.session.read(value)? })
        };
        let attention = |gate: ValueId| -> Result<Tensor, SessionError> {
            let Tensor { shape, data } = read(gate)?;
            Ok(Tensor { shape, data: data.into_iter().map(|gate| 1.0 + 1.0 / (1.0 + (-gate).exp())).collect() })
        };
        let HeatMaps { joints, bones, gates, .. } = &self.maps;
        let mut joints = read(*joints)?;
        if self.options.decode == Decode::Expectation {
            let area = joints.shape[2] * joints.shape[3];
            joints.data.chunks_mut(area).for_each(softmax_over_its_maximum);
        }
        Ok(Explanation {
            joints,
            joint_range: self.options.heat_range(),
            bones: bones.map(read).transpose()?,
            channel_attention: gates.channel.map(attention).transpose()?,
            spatial_attention: gates.spatial.map(attention).transpose()?,
        })
    }

    /// Runs the last batch once more with time stamps: seconds of each dispatch.
    ///
    /// # Errors
    /// Device errors.
    pub fn profile(&self) -> Result<Vec<(String, f64)>, SessionError> {
        self.session.profile()
    }
}

/// Logits to their softmax over its maximum: 1 where they are largest.
fn softmax_over_its_maximum(map: &mut [f32]) {
    let largest = map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    map.iter_mut().for_each(|value| *value = (*value - largest).exp());
}

/// Uploads the pictures of a batch.
///
/// # Errors
/// Device errors, among them pictures that are too large for the adapter together.
pub fn upload(session: &mut Session, inputs: &PictureInputs, batch: &Batch) -> Result<(), SessionError> {
    session.grow(inputs.pixels, batch.pixels.len())?;
    session.write(inputs.pixels, &batch.pixels)?;
    session.write(inputs.pictures, batch.pictures.as_flattened())?;
    session.write(inputs.lattice, batch.lattice.as_flattened())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_are_drawn_as_their_softmax_over_its_maximum() {
        let mut map = [90.0, 91.0, -500.0];
        softmax_over_its_maximum(&mut map);
        assert!((map[0] - 0.36788).abs() < 1e-5, "{map:?}");
        assert_eq!(map[1..], [1.0, 0.0]);
    }

    #[test]
    fn only_the_maps_of_the_second_maximum_reach_255() {
        let range = |decode| DecodeOptions { flip_test: false, decode }.heat_range();
        assert_eq!(range(Decode::SecondMaximum(5)), [0.0, 255.0]);
        assert_eq!([Decode::QuarterFloor, Decode::Expectation].map(range), [[0.0, 1.0]; 2]);
    }
}
