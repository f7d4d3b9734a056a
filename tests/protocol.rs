//! The public HRNet protocol from a picture to joints: crop, targets, flip test and decoding against what OpenCV and NumPy
//! make of the same people (tools/protocol.py, which made tests/protocol/*.json).
//!
//! People of MPII and COCO need their pictures: the environment variable DITN_DATA names the folder with `mpii/` and
//! `coco/`, and without it these tests say that they are skipped. DITN_PROTOCOL may name another folder of such files.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ditn::data::augmentation::Placement;
use ditn::data::{Annotation, Batch, Coco, Dataset, Joint, Mpii, Person, Size, Skeleton};
use ditn::gpu::{AdapterChoice, Gpu};
use ditn::graph::{Plan, Session, Store};
use ditn::ir::Graph;
use ditn::ops::crop::{AffineCrop, Normalization};
use ditn::ops::decode::Decode;
use ditn::ops::flip::FlipMerge;
use ditn::ops::targets::JointTargets;
use ditn::predict::poses_in_pictures;
use image::{Rgb, RgbImage};
use serde::Deserialize;

use common::data;

/// What OpenCV and NumPy make of some people.
#[derive(Deserialize)]
struct Expected {
    skeleton: String,
    /// Width and height of the input.
    size: [u32; 2],
    people: Vec<ExpectedPerson>,
}

#[derive(Deserialize)]
struct ExpectedPerson {
    picture: String,
    center: [f64; 2],
    scale: [f64; 2],
    /// x, y in the picture, and 1 where labelled.
    joints: Vec<[f64; 3]>,
    /// The same in heat-map pixels.
    on_map: Vec<[f64; 3]>,
    /// Weight, rounded x and y, largest value and sum of the target map.
    targets: Vec<[f64; 5]>,
    /// x, y in the picture and score of the joints in maps of noise.
    decoded: Vec<[f64; 3]>,
    /// Colours of the crop at sampled pixels, or at all of them.
    pixels: Vec<u8>,
}

/// Largest difference of targets and joints.
const TOLERANCE: f64 = 1e-4;
/// Largest difference between what two decoders make of a JPEG, in grey levels. Crops of the same pixels are the same.
const OF_JPEG: f64 = 3.0;

fn expected(name: &str) -> Option<Expected> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol");
    let folder = std::env::var_os("DITN_PROTOCOL").map_or(own, PathBuf::from);
    let text = std::fs::read_to_string(folder.join(name)).ok()?;
    Some(serde_json::from_str(&text).expect("the script's file is whole"))
}

/// Numbers from 0 to 1 that are exact in float32, as the script draws them.
fn noise(start: usize, count: usize) -> impl Iterator<Item = f32> {
    (start..start + count).map(|index| {
        let mut word = (index as u32).wrapping_mul(0x9e37_79b1).wrapping_add(0x5bd1_e995);
        word ^= word >> 15;
        word = word.wrapping_mul(0x85eb_ca6b);
        word ^= word >> 13;
        (word >> 8) as f32 / (1 << 24) as f32
    })
}

/// Where the script sampled the crop of person `number`: `pixels` places, or all where there are as many.
fn sampled(number: usize, pixels: usize, size: Size) -> Vec<(u32, u32)> {
    if pixels == (size.width * size.height) as usize {
        return (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y))).collect();
    }
    let numbers: Vec<f32> = noise(number * 2 * pixels, 2 * pixels).collect();
    let (pairs, _) = numbers.as_chunks::<2>();
    let at = |v: f32, extent: u32| (f64::from(v) * f64::from(extent)) as u32;
    pairs.iter().map(|&[x, y]| (at(x, size.width), at(y, size.height))).collect()
}

/// Crop, targets and decoded joints of one person as the kernels make them.
struct Protocol {
    session: Session,
    inputs: [ditn::ir::ValueId; 6],
    outputs: [ditn::ir::ValueId; 4],
}

impl Protocol {
    fn new(gpu: &Arc<Gpu>, skeleton: &Skeleton, size: Size) -> Protocol {
        let joints = skeleton.joints.len();
        let [height, width] = [size.height as usize, size.width as usize];
        let (rows, columns) = (height / 4, width / 4);
        let mut graph = Graph::new();
        let pixels = graph.input("pixels", [1]);
        let pictures = graph.input("pictures", [1, 4]);
        let lattice = graph.input("lattice", [1, width + height, 2]);
        let on_map = graph.input("joints", [1, joints, 3]);
        let maps = graph.input("maps", [1, joints, rows, columns]);
        let mirrored = graph.input("mirrored", [1, joints, rows, columns]);
        let fits = "the shapes fit";
        let crop = AffineCrop { height, width, normalization: Normalization::UNIT };
        let image = graph.apply_one(crop, &[pixels, pictures, lattice]).expect(fits);
        let targets = JointTargets { height: rows, width: columns, sigma: 2.0 };
        let targets = graph.apply(targets, &[on_map]).expect(fits);
        let merged = graph
            .apply_one(FlipMerge { partner: skeleton.flipped_joints(), shift: true }, &[maps, mirrored])
            .expect(fits);
        let decoded = graph.apply_one(Decode::Quarter, &[merged]).expect(fits);
        let outputs = [image, targets[0], targets[1], decoded];
        let plan = Plan::new(graph, &outputs, gpu.capabilities()).expect("it fits the adapter");
        let session = Session::new(gpu, plan, &mut Store::new(gpu)).expect("it fits the adapter");
        Protocol { session, inputs: [pixels, pictures, lattice, on_map, maps, mirrored], outputs }
    }

    /// Image, target maps, their weights, decoded joints in heat-map pixels.
    fn run(&mut self, batch: &Batch, maps: &[f32], mirrored: &[f32]) -> [Vec<f32>; 4] {
        let works = "the device works";
        let [pixels, pictures, lattice, on_map, maps_input, mirrored_input] = self.inputs;
        self.session.grow(pixels, batch.pixels.len()).expect(works);
        self.session.write(pixels, &batch.pixels).expect(works);
        self.session.write(pictures, batch.pictures.as_flattened()).expect(works);
        self.session.write(lattice, batch.lattice.as_flattened()).expect(works);
        self.session.write(on_map, batch.joints.as_flattened()).expect(works);
        self.session.write(maps_input, maps).expect(works);
        self.session.write(mirrored_input, mirrored).expect(works);
        self.session.run().expect(works);
        self.outputs.map(|output| self.session.read(output).expect(works))
    }
}

/// Compares everyone with a person of ours; `person` gives those by the picture's name and the number in the file. No
/// value of a crop may differ by more than `most` grey levels.
fn compare(expected: &Expected, most: f64, person: impl Fn(usize, &ExpectedPerson) -> Person) {
    let skeleton = Skeleton::by_name(&expected.skeleton).expect("it is one of ours");
    let size = Size { width: expected.size[0], height: expected.size[1] };
    let heat_map = size.heat_map();
    let area = (heat_map.width * heat_map.height) as usize;
    let count = skeleton.joints.len() * area;
    let gpu = Gpu::open(&AdapterChoice::default()).expect("there is an adapter");
    let mut protocol = Protocol::new(&gpu, skeleton, size);
    let (mut compared, mut different, mut sum, mut largest) = (0, 0, 0.0, 0.0_f64);
    let mut worst_joint = 0.0_f64;
    for (number, truth) in expected.people.iter().enumerate() {
        let who = &truth.picture;
        let person = person(number, truth);
        let placement = Placement::upright(&person, size);
        let mut batch = Batch::default();
        batch.push(0, person, &placement, skeleton, size).expect("the box has an extent");
        let maps: Vec<f32> = noise(2 * count * number, count).collect();
        let mirrored: Vec<f32> = noise(2 * count * number + count, count).collect();
        let [image, targets, weights, decoded] = protocol.run(&batch, &maps, &mirrored);

        let places = sampled(number, truth.pixels.len() / 3, size);
        for (place, colours) in places.into_iter().zip(truth.pixels.as_chunks::<3>().0) {
            for (channel, colour) in colours.iter().enumerate() {
                let at = (channel * size.height as usize + place.1 as usize) * size.width as usize + place.0 as usize;
                let level = f64::from(image[at]) * 255.0;
                let difference = (level - f64::from(*colour)).abs();
                (compared, sum, largest) = (compared + 1, sum + difference, largest.max(difference));
                different += i32::from(difference > 0.5);
            }
        }
        for (joint, (&[x, y, flag], truth)) in batch.joints.iter().zip(&truth.on_map).enumerate() {
            // The script tells labelled joints from others, and no hidden ones.
            for (ours, truth) in [x, y, flag.min(1.0)].iter().zip(truth) {
                worst_joint = worst_joint.max((f64::from(*ours) - truth).abs());
                assert!((f64::from(*ours) - truth).abs() < TOLERANCE, "{who}, joint {joint}: {ours}, not {truth}");
            }
        }
        for (joint, &[weight, x, y, peak, total]) in truth.targets.iter().enumerate() {
            assert_eq!(f64::from(weights[joint]), weight, "{who}, joint {joint}");
            let map = &targets[joint * area..(joint + 1) * area];
            let sum: f64 = map.iter().map(|v| f64::from(*v)).sum();
            let highest = map.iter().fold(0.0_f32, |a, b| a.max(*b));
            assert!((f64::from(highest) - peak).abs() < TOLERANCE, "{who}, joint {joint}: {highest}, not {peak}");
            assert!((sum - total).abs() < TOLERANCE, "{who}, joint {joint}: {sum}, not {total}");
            if peak == 1.0 {
                assert_eq!(map[(y * f64::from(heat_map.width) + x) as usize], 1.0, "{who}, joint {joint}");
            }
        }
        let peaks = vec![decoded.as_chunks::<3>().0.to_vec()];
        let pose = poses_in_pictures(&peaks, &batch.people, size).remove(0);
        for (joint, (ours, &[x, y, score])) in pose.iter().zip(&truth.decoded).enumerate() {
            let [dx, dy, ds] = [(ours.x, x), (ours.y, y), (ours.score, score)].map(|(a, b)| (f64::from(a) - b).abs());
            worst_joint = worst_joint.max(dx).max(dy);
            assert!(dx.max(dy).max(ds) < TOLERANCE, "{who}, joint {joint}: {ours:?}, not {:?}", [x, y, score]);
        }
    }
    let mean = sum / f64::from(compared);
    println!(
        "{} people: {different} of {compared} values of the crops differ, by {mean:.4} grey levels on average and \
         {largest:.2} at most; joints by {worst_joint:.1e}",
        expected.people.len()
    );
    assert!(mean < 0.1 && largest < most + 0.01, "{mean} grey levels on average, {largest} at most");
}

/// What OpenCV and NumPy decode from noisy hills.
#[derive(Deserialize)]
struct Decoded {
    /// Width and height of the maps.
    size: [usize; 2],
    /// x, y in pixels of the map, and the largest value.
    points: Vec<[f64; 3]>,
}

/// Gaussians anywhere on the map under a little noise, as the script makes them.
fn noisy_hills(count: usize, [width, height]: [usize; 2]) -> Vec<f32> {
    let numbers: Vec<f64> = noise(0, 3 * count).map(f64::from).collect();
    let (tops, _) = numbers.as_chunks::<3>();
    let rough = noise(3 * count, count * width * height).map(f64::from);
    let place = |index: usize| (index / (width * height), index / width % height, index % width);
    let value = |(index, rough): (usize, f64)| {
        let (map, row, column) = place(index);
        let [x, y, top] = tops[map];
        let (dx, dy) = (column as f64 - x * width as f64, row as f64 - y * height as f64);
        ((0.2 + 0.8 * top) * (-(dx * dx + dy * dy) / 8.0).exp() + 0.02 * rough) as f32
    };
    rough.enumerate().map(value).collect()
}

#[test]
fn dark_decodes_noisy_hills_as_opencv_and_numpy_do() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol/dark.json");
    let text = std::fs::read_to_string(path).expect("the file is part of the project");
    let Decoded { size, points } = serde_json::from_str(&text).expect("the script's file is whole");
    let gpu = Gpu::open(&AdapterChoice::default()).expect("there is an adapter");
    let mut graph = Graph::new();
    let maps = graph.input("maps", [1, points.len(), size[1], size[0]]);
    let decoded = graph.apply_one(Decode::Dark, &[maps]).expect("the shapes fit");
    let plan = Plan::new(graph, &[decoded], gpu.capabilities()).expect("it fits the adapter");
    let session = Session::new(&gpu, plan, &mut Store::new(&gpu)).expect("it fits the adapter");
    session.write(maps, &noisy_hills(points.len(), size)).expect("the device works");
    session.run().expect("the device works");
    let ours = session.read(decoded).expect("the device works");
    let mut worst = 0.0_f64;
    for (map, (ours, truth)) in ours.as_chunks::<3>().0.iter().zip(&points).enumerate() {
        for (ours, truth) in ours.iter().zip(truth) {
            worst = worst.max((f64::from(*ours) - truth).abs());
            assert!((f64::from(*ours) - truth).abs() < TOLERANCE, "map {map}: {ours}, not {truth}");
        }
    }
    println!("{} maps: points differ by {worst:.1e} at most", points.len());
}

/// The person of a set with this box, with the picture.
fn person_of(set: &dyn Dataset, number: usize, truth: &ExpectedPerson) -> Person {
    let agrees = |annotation: &Annotation| {
        let [x, y] = [0, 1].map(|axis| (f64::from(annotation.center[axis]) - truth.center[axis]).abs());
        annotation.name.contains(&truth.picture) && x < 1e-3 && y < 1e-3
    };
    let annotations = (0..set.len()).map(|index| (index, set.annotation(0, index).expect("it is in range")));
    let found = annotations.filter(|(_, annotation)| agrees(annotation)).map(|(index, _)| index).next();
    let index = found.unwrap_or_else(|| panic!("nobody of {} is person {number}, {}", set.name(), truth.picture));
    let person = set.load(0, index).expect("the picture is there");
    for (joint, &[x, y, flag]) in person.joints.iter().zip(&truth.joints) {
        assert_eq!(joint.labelled, flag == 1.0, "{}", truth.picture);
        assert!(!joint.labelled || ((f64::from(joint.x) - x).abs() < 1e-3 && (f64::from(joint.y) - y).abs() < 1e-3));
    }
    person
}

#[test]
fn generated_pictures_become_what_opencv_and_numpy_make_of_them() {
    let expected = expected("synthetic.json").expect("the file is part of the project");
    let wave = |v: u32| (255 - (v % 510).abs_diff(255)) as u8;
    let colours = |x: u32, y: u32| [x * y / 400, 3 * x + y, x + 2 * y].map(wave);
    let picture = RgbImage::from_fn(640, 480, |x, y| Rgb(colours(x, y)));
    compare(&expected, 0.0, |_, truth| Person {
        name: truth.picture.clone(),
        picture: picture.clone(),
        joints: truth
            .joints
            .iter()
            .map(|&[x, y, flag]| Joint { x: x as f32, y: y as f32, labelled: flag == 1.0, visible: true })
            .collect(),
        center: truth.center.map(|v| v as f32),
        scale: truth.scale,
        head_size: None,
    });
}

#[test]
fn people_of_mpii_become_what_opencv_and_numpy_make_of_them() {
    let (Some(folder), Some(expected)) = (data("mpii"), expected("mpii.json")) else { return };
    let set = Mpii::open(&folder, Path::new("annot/sample.json")).expect("the sample is whole");
    compare(&expected, OF_JPEG, |number, truth| person_of(&set, number, truth));
}

#[test]
fn people_of_coco_become_what_opencv_and_numpy_make_of_them() {
    let Some(folder) = data("coco") else { return };
    for split in ["val2017", "train2017"] {
        let Some(expected) = expected(&format!("coco_{split}.json")) else { continue };
        let file = format!("annotations/person_keypoints_{split}.json");
        let set = Coco::open(&folder, Path::new(&file), None).expect("the split is whole");
        compare(&expected, OF_JPEG, |number, truth| person_of(&set, number, truth));
    }
}
