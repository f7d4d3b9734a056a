//! A trained network in a graph of one's own: the crops of people, the heat maps and the joints that a checkpoint gives for
//! them, in one safetensors file for other programs.
//! `cargo run --release --example heat_maps -- CHECKPOINT OUT.safetensors PICTURE...`, a person a picture.

use std::error::Error;
use std::path::{Path, PathBuf};

use ditn::data::augmentation::Placement;
use ditn::data::{Batch, ExifOrientation, STRIDE};
use ditn::gpu::{AdapterChoice, Gpu};
use ditn::graph::{Choices, Session, Store};
use ditn::nn::{Mode, Network};
use ditn::ops::decode::Decode;
use ditn::predict::{PersonBox, TrainedNetwork, network::upload, pictures};
use safetensors::{Dtype, tensor::TensorView};

/// Writes `image` `[N, 3, H, W]`, the normalised crops; `heat_maps` `[N, J, H / 4, W / 4]` and, of networks that
/// predict bones, `bone_maps`, of those that learn coordinates, `coordinates` `[N, J, 2]`; and `joints` `[N, J, 3]`: x
/// and y in pixels of the crop and a score, as the checkpoint says that they are decoded. Without the mean with the
/// mirrored crop that `ditn predict` takes.
pub fn run(trained: &TrainedNetwork, out: &Path, paths: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    // 1. The people: each picture is the box of one.
    let skeleton = &trained.model.skeleton;
    let mut batch = Batch::default();
    for path in paths {
        let picture = pictures::open(path, ExifOrientation::Apply)?;
        let person = PersonBox::whole(&picture).annotation(path.display().to_string(), skeleton);
        let placement = Placement::upright_at(person.center, person.scale, trained.size);
        batch.push_from(0, person, &picture, &placement, skeleton, trained.size)?;
    }

    // 2. The network, from pixels to joints. What is kept can be read after a run.
    let mut net = Network::new(Mode::Inference);
    let (inputs, image) = net.pictures(batch.len(), trained.size.extents(), trained.model.normalization.constants())?;
    let maps = trained.model.build(&mut net, image)?;
    // By the checkpoint's rule; ONNX files have the quarter of a pixel for Newton's step.
    let rule = if trained.decode.decode == Decode::Dark { Decode::Quarter } else { trained.decode.decode };
    let joints = net.graph.apply_one(rule, &[maps.joints])?;
    let mut kept = vec![("image", image), ("heat_maps", maps.joints), ("joints", joints)];
    kept.extend(maps.bones.map(|bones| ("bone_maps", bones)));
    kept.extend(maps.coordinates.map(|coordinates| ("coordinates", coordinates)));
    let outputs: Vec<_> = kept.iter().map(|&(_, value)| value).collect();

    // 3. A run with the weights of the checkpoint.
    let gpu = Gpu::open(&AdapterChoice::default())?;
    let mut store = Store::new(&gpu);
    let plan = net.plan(&outputs, gpu.capabilities(), &Choices::of(&gpu)?)?;
    let mut session = Session::new(&gpu, plan, &mut store)?;
    store.load(&trained.state)?;
    upload(&mut session, &inputs, &batch)?;
    session.run()?;

    // 4. What came out.
    let mut tensors = Vec::new();
    for (name, value) in kept {
        let mut numbers = session.read(value)?;
        if name == "joints" {
            // From pixels of the heat maps to those of the crop.
            numbers.chunks_exact_mut(3).flat_map(|joint| &mut joint[..2]).for_each(|place| *place *= STRIDE as f32);
        }
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        tensors.push((name, session.plan().graph.shape(value).extents().to_vec(), bytes));
    }
    let views =
        tensors.iter().map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    Ok(std::fs::write(out, safetensors::serialize(views, None)?)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [checkpoint, out, pictures @ ..] = &arguments[..] else {
        return Err("arguments: CHECKPOINT OUT.safetensors PICTURE...".into());
    };
    if pictures.is_empty() {
        return Err("name at least one picture".into());
    }
    run(&TrainedNetwork::load(checkpoint)?, out, pictures)
}
