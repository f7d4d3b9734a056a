//! What is written as ONNX computes what the network does: read again, checked for form, and run by an interpreter of its
//! operators in float64; and by onnxruntime, where Python has it.

#[path = "../common/mod.rs"]
mod common;
mod interpreter;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use ditn::data::Size;
use ditn::gpu::{AdapterChoice, Gpu};
use ditn::graph::{Choices, Session, Store, Tensor};
use ditn::ir::Operator;
use ditn::models::ModelConfig;
use ditn::nn::checkpoint::State;
use ditn::nn::{Mode, Network};
use ditn::onnx::proto::{Extent, Model};
use ditn::onnx::{BONE_MAPS, COORDINATES, HEAT_MAPS, IMAGE, JOINTS, Options, export};
use ditn::ops::decode::{Decode, hills};
use ditn::predict::TrainedNetwork;
use ditn::verify::Dump;
use interpreter::Array;
use prost::Message;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// A share of the largest number of a heat map. Weights are rounded to float32 once, after batch normalisation went in.
const TOLERANCE: f64 = 1e-5;

fn dumps() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 14, "{files:?}");
    files
}

/// What a reader of the file gets.
fn written(model: &ModelConfig, size: Size, state: &State, decode: bool) -> Model {
    let model = export(
        model,
        size,
        state,
        Options { decode, rule: if model.integral { Decode::Expectation } else { Decode::Quarter } },
    )
    .unwrap();
    Model::decode(&model.encode_to_vec()[..]).unwrap()
}

fn array(tensor: &Tensor) -> Array {
    Array { shape: tensor.shape.clone(), data: tensor.data.iter().map(|&number| f64::from(number)).collect() }
}

fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().fold(0.0, |largest, number| number.abs().max(largest))
}

fn assert_near(what: &str, found: &Array, expected: &Array) {
    assert_eq!(found.shape, expected.shape, "{what}");
    let apart: Vec<f64> = found.data.iter().zip(&expected.data).map(|(a, b)| a - b).collect();
    let allowed = TOLERANCE * largest(&expected.data);
    assert!(largest(&apart) <= allowed && allowed > 0.0, "{what}: {} apart, {allowed} allowed", largest(&apart));
}

/// The dumps hold what PyTorch computes in float64 for two pictures or four; the graph was translated from one of one.
#[test]
fn every_kind_of_network_computes_what_pytorch_does() {
    for path in dumps() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let dump = Dump::open(&path).unwrap();
        let image = &dump.tensors()["input.image"];
        let size = Size::new(image.shape[2] as u32, image.shape[3] as u32);
        let parameters =
            dump.tensors().iter().filter_map(|(name, tensor)| Some((name.strip_prefix("param.")?, tensor)));
        let state: State = parameters.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect();
        let model = written(&dump.model, size, &state, true);
        check_form(&model, &state);
        let graph = model.graph.as_ref().unwrap();
        let found = interpreter::run(graph, HashMap::from([(IMAGE.to_owned(), array(image))]));
        assert_near(&name, &found[HEAT_MAPS], &array(&dump.tensors()["eval.joints"]));
        let bones = dump.tensors().get("eval.bones");
        assert_eq!(bones.is_some(), found.contains_key(BONE_MAPS), "{name}");
        if let Some(bones) = bones {
            assert_near(&name, &found[BONE_MAPS], &array(bones));
        }
        let coordinates = dump.tensors().get("eval.coordinates");
        assert_eq!(coordinates.is_some(), found.contains_key(COORDINATES), "{name}");
        if let Some(coordinates) = coordinates {
            assert_near(&name, &found[COORDINATES], &array(coordinates));
            let places = found[COORDINATES].data.as_chunks::<2>().0;
            let [width, height] = [size.width, size.height].map(f64::from);
            let joints = places.iter().flat_map(|[x, y]| [(x + 0.5) * width, (y + 0.5) * height, 1.0]);
            assert_eq!(found[JOINTS].data, joints.collect::<Vec<f64>>(), "{name}");
        } else {
            assert_eq!(found[JOINTS], decoded(&found[HEAT_MAPS]), "{name}");
        }
    }
}

/// Joints by the operator's reference, in pixels of the input.
fn decoded(maps: &Array) -> Array {
    let [pictures, joints, height, width] = maps.shape[..] else { panic!("{:?}", maps.shape) };
    let shape = [pictures, joints, height, width].into();
    let mut data = Decode::Quarter.reference(&[&shape], &[&maps.data]).remove(0);
    data.chunks_mut(3).flat_map(|joint| &mut joint[..2]).for_each(|place| *place *= 4.0);
    Array { shape: vec![pictures, joints, 3], data }
}

/// What every reader takes for granted: names that are given once and before they are used, types and extents of inputs and
/// outputs, no batch normalisation, and weights under their own names.
fn check_form(model: &Model, state: &State) {
    let graph = model.graph.as_ref().unwrap();
    assert_eq!((model.ir_version, model.opset_import[0].version, model.opset_import.len()), (8, 17, 1));
    let mut known: HashSet<&str> = HashSet::new();
    let given = graph.input.iter().map(|input| input.name.as_str());
    for name in given.chain(graph.initializer.iter().map(|tensor| tensor.name.as_str())) {
        assert!(known.insert(name), "{name} twice");
    }
    for node in &graph.node {
        assert_ne!(node.op_type, "BatchNormalization", "{}", node.name);
        let unknown = node.input.iter().find(|name| !name.is_empty() && !known.contains(name.as_str()));
        assert_eq!(unknown, None, "{}", node.name);
        for name in &node.output {
            assert!(!name.is_empty() && known.insert(name), "'{name}' is empty or there twice");
        }
    }
    for value in graph.input.iter().chain(&graph.output) {
        assert!(known.contains(value.name.as_str()), "{}", value.name);
        let tensor = value.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref()).unwrap();
        let extents: Vec<_> = tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dim| dim.value.clone()).collect();
        assert_eq!(extents[0], Some(Extent::Named("batch".into())), "{}", value.name);
        assert!(extents[1..].iter().all(|extent| matches!(extent, Some(Extent::Fixed(1..)))), "{}", value.name);
    }
    // Maps that only training judges are not computed.
    let of_sides = |name: &str| {
        let of_stages = name.starts_with("head.predict_layers.") && !name.starts_with("head.predict_layers.7.");
        of_stages || name.starts_with("global_net.predict.")
    };
    for (name, _) in state.iter().filter(|(name, tensor)| tensor.shape.len() == 4 && !of_sides(name)) {
        assert!(known.contains(name.as_str()), "{name}");
    }
}

#[test]
fn joints_follow_the_rule_at_borders_on_ties_and_on_maps_without_anything() {
    let dump = Dump::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps/ditn_mpii.safetensors")).unwrap();
    let state: State =
        dump.tensors().iter().filter_map(|(n, t)| Some((n.strip_prefix("param.")?.into(), t.clone()))).collect();
    let model = written(&dump.model, Size::new(96, 64), &state, true);
    let shape = vec![3, 16, 24, 16];
    let hills: Vec<f64> = hills([3, 16, 24, 16]).into_iter().map(f64::from).collect();
    let mut single = vec![0.0; hills.len()];
    // A pixel a map, from corner to corner: all borders, and the rows and columns beside them.
    single.chunks_mut(24 * 16).enumerate().for_each(|(map, pixels)| pixels[(map * 17).min(24 * 16 - 1)] = 0.5);
    let ties: Vec<f64> = (0..hills.len()).map(|at| [0.25, 1.0, 1.0, 0.5, 1.0][at % 5]).collect();
    let below: Vec<f64> = hills.iter().map(|number| number - 2.0).collect();
    let flat = vec![0.0; hills.len()];
    for (name, data) in [("hills", hills), ("single", single), ("ties", ties), ("below", below), ("flat", flat)] {
        let maps = Array { shape: shape.clone(), data };
        let given = HashMap::from([(HEAT_MAPS.to_owned(), maps.clone())]);
        let found = interpreter::run(model.graph.as_ref().unwrap(), given);
        assert_eq!(found[JOINTS], decoded(&maps), "{name}");
    }
}

/// A network of resized maps whose channels are joined and split, on this machine's adapter and by the interpreter, for
/// another number of pictures.
#[test]
fn resized_joined_and_split_maps_are_those_of_the_adapter() {
    const PICTURES: usize = 3;
    // Up and down, by factors that no float is, and to one pixel.
    for (align_corners, size) in [(true, [13, 10]), (false, [13, 10]), (true, [3, 4]), (false, [2, 3]), (true, [1, 1])]
    {
        let build = |pictures: usize| {
            let mut net = Network::new(Mode::Inference);
            let (x, other) = (net.input("x", [pictures, 5, 6, 7]), net.input("other", [pictures, 2, size[0], size[1]]));
            let resized = net.resize(x, size, align_corners).unwrap();
            let all = net.concat(&[resized, other, resized]).unwrap();
            let parts = net.split(all, &[4, 1, 3, 4]).unwrap();
            let back = net.concat(&[parts[3], parts[0]]).unwrap();
            // The second part is an output itself, and of the third nobody reads.
            (net, [x, other], [(back, "back"), (parts[1], "part"), (resized, "resized")])
        };
        let (net, _, outputs) = build(1);
        let graph = ditn::onnx::graph(net, &outputs, &State::new()).unwrap();

        let (net, inputs, outputs) = build(PICTURES);
        let gpu = Gpu::open(&AdapterChoice::default()).unwrap_or_else(|error| panic!("{error}"));
        let values = outputs.map(|(value, _)| value);
        let plan = net.plan(&values, gpu.capabilities(), &Choices::default()).unwrap();
        let session = Session::new(&gpu, plan, &mut Store::new(&gpu)).unwrap();
        let mut given = HashMap::new();
        for (value, name) in inputs.into_iter().zip(["x", "other"]) {
            let shape = session.plan().graph.shape(value).extents().to_vec();
            let data: Vec<f32> = (0..shape.iter().product()).map(|at: usize| (at as f32 * 12.9).sin()).collect();
            session.write(value, &data).unwrap();
            given.insert(name.to_owned(), array(&Tensor { shape, data }));
        }
        session.run().unwrap();
        let found = interpreter::run(&graph, given);
        for (value, name) in outputs {
            let shape = session.plan().graph.shape(value).extents().to_vec();
            let expected = array(&Tensor { shape, data: session.read(value).unwrap() });
            assert_near(&format!("{name} {size:?} {align_corners}"), &found[name], &expected);
        }
    }
}

#[test]
fn a_model_says_how_its_input_is_made_and_what_its_outputs_are() {
    let trained = TrainedNetwork::shipped().unwrap();
    let model = written(&trained.model, trained.size, &trained.state, false);
    let entries: BTreeMap<_, _> = model.metadata_props.iter().map(|e| (e.key.as_str(), e.value.as_str())).collect();
    assert_eq!((entries["size"], entries["mean"], entries["stride"]), ("[128,128]", "[0.485,0.456,0.406]", "4"));
    let joints: Vec<String> = serde_json::from_str(entries["joints"]).unwrap();
    assert_eq!((joints.len(), joints[13].as_str()), (14, "head top"));
    assert!(model.doc_string.contains("`image` [batch, 3, 128, 128]") && !model.doc_string.contains("`joints`"));
    let outputs: Vec<&str> = model.graph.as_ref().unwrap().output.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(outputs, [HEAT_MAPS, BONE_MAPS]);
}

#[test]
fn weights_that_lack_a_tensor_are_refused_by_its_name() {
    let mut trained = TrainedNetwork::shipped().unwrap();
    trained.state.remove("transfer.mix.weight");
    let error = export(&trained.model, trained.size, &trained.state, Options::default()).unwrap_err();
    assert!(error.to_string().contains("transfer.mix.weight"), "{error}");
}

/// The network that ships, on a picture of noise and one of a few areas: what this machine's adapter computes, what the
/// interpreter does, and onnxruntime.
#[test]
fn a_trained_network_computes_what_it_does_on_the_adapter() {
    let trained = TrainedNetwork::shipped().unwrap();
    let mut image = Tensor { shape: vec![2, 3, 128, 128], data: Vec::new() };
    let mut state = 1_u32;
    image.data = (0..2 * 3 * 128 * 128)
        .map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            if at < 3 * 128 * 128 { 2.0 * noise } else { ((at / 40 % 3) as f32 - 1.0) * ((at / 4000 % 2) as f32) }
        })
        .collect();
    let expected = on_the_adapter(&trained, &image);
    let model = written(&trained.model, trained.size, &trained.state, true);
    let found = interpreter::run(model.graph.as_ref().unwrap(), HashMap::from([(IMAGE.to_owned(), array(&image))]));
    for name in [HEAT_MAPS, BONE_MAPS] {
        assert_near(name, &found[name], &array(&expected[name]));
    }
    onnxruntime_agrees(&model, &expected);
}

/// The outputs of the network by name, the image among them, and the joints in pixels of the input.
fn on_the_adapter(trained: &TrainedNetwork, image: &Tensor) -> BTreeMap<String, Tensor> {
    let gpu = Gpu::open(&AdapterChoice::default()).unwrap_or_else(|error| panic!("{error}"));
    let mut net = Network::new(Mode::Inference);
    let input = net.input(IMAGE, image.shape());
    let maps = trained.model.build(&mut net, input).unwrap();
    let joints = net.graph.apply_one(Decode::Quarter, &[maps.joints]).unwrap();
    let outputs = [(HEAT_MAPS, maps.joints), (BONE_MAPS, maps.bones.unwrap()), (JOINTS, joints)];
    let plan = net.plan(&outputs.map(|(_, value)| value), gpu.capabilities(), &Choices::default()).unwrap();
    let mut store = Store::new(&gpu);
    let session = Session::new(&gpu, plan, &mut store).unwrap();
    store.load(&trained.state).unwrap();
    session.write(input, &image.data).unwrap();
    session.run().unwrap();
    let read = |(name, value): (&str, _)| {
        let shape = session.plan().graph.shape(value).extents().to_vec();
        (name.to_owned(), Tensor { shape, data: session.read(value).unwrap() })
    };
    let mut found = BTreeMap::from(outputs.map(read));
    let joints = found.get_mut(JOINTS).unwrap();
    joints.data.chunks_mut(3).flat_map(|joint| &mut joint[..2]).for_each(|place| *place *= 4.0);
    found.insert(IMAGE.to_owned(), image.clone());
    found
}

/// Runs `tools/check_onnx.py`, if Python and onnxruntime are there.
fn onnxruntime_agrees(model: &Model, expected: &BTreeMap<String, Tensor>) {
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let has_it = Command::new(&python).args(["-c", "import onnxruntime"]).output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        return common::skipped("onnxruntime, as python3 (or $PYTHON) does not have it; the interpreter has agreed");
    }
    let folder = std::env::temp_dir().join(format!("ditn-onnx-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (file, maps) = (folder.join("pose.onnx"), folder.join("maps.safetensors"));
    std::fs::write(&file, model.encode_to_vec()).unwrap();
    let bytes: Vec<(&String, &Tensor, Vec<u8>)> = expected
        .iter()
        .map(|(name, tensor)| (name, tensor, tensor.data.iter().flat_map(|number| number.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, tensor, bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).unwrap())
    });
    std::fs::write(&maps, safetensors::serialize(views, None).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/check_onnx.py");
    let output = Command::new(&python).arg(script).args([&file, &maps]).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
}
