use std::sync::Arc;

use ditn::data::augmentation::Placement;
use ditn::data::crop::Crop;
use ditn::data::skeleton::LSP;
use ditn::data::{Batch, Joint, Person, Size};
use ditn::gpu::Gpu;
use ditn::graph::{Plan, Session, Store};
use ditn::ir::{Graph, Shape};
use ditn::ops::crop::{self, AffineCrop, Normalization, lattice};
use ditn::ops::{Fill, OperatorCase};
use image::{Rgb, RgbImage};
use proptest::prelude::*;

use crate::harness::{folded_values_agree, gpus, table_agrees, values_agree};

const NORMALIZATIONS: [Normalization; 5] = [
    Normalization::IMAGENET,
    Normalization::IMAGENET_BGR,
    Normalization::MPII_MEAN,
    Normalization::CPN_MEAN,
    Normalization::UNIT,
];

/// The lattices of some maps as words.
fn lattices(maps: &[[f64; 6]], height: usize, width: usize) -> Fill {
    let points = maps.iter().flat_map(|map| lattice(*map, width as u32, height as u32).into_flattened());
    Fill::Words(points.map(i32::cast_unsigned).collect())
}

#[test]
fn the_table_of_cases_agrees_with_the_reference() {
    table_agrees(&crop::cases(), &[]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_pictures_and_transforms_agree_with_the_reference(
        (height, width) in (1..30_usize, 1..30_usize),
        sizes in prop::collection::vec((1..20_u32, 1..20_u32), 1..4),
        maps in prop::collection::vec(prop::array::uniform6(-2.0..2.0), 3),
        words in prop::collection::vec(any::<u32>(), 3 * 400),
        normalization in prop::sample::select(NORMALIZATIONS.to_vec()),
    ) {
        let mut pictures = Vec::new();
        let mut offset = 0;
        for (columns, rows) in sizes {
            pictures.push([offset, columns, rows, 0]);
            offset += columns * rows;
        }
        let samples = pictures.len();
        let shapes: [Shape; 3] = [[words.len()].into(), [samples, 4].into(), [samples, width + height, 2].into()];
        let case = OperatorCase::new(AffineCrop { height, width, normalization }, &shapes)
            .fill(0, Fill::Words(words))
            .fill(1, Fill::Words(pictures.concat()))
            .fill(2, lattices(&maps[..samples], height, width));
        values_agree(&case, 0);
    }
}

#[test]
fn crops_are_those_of_opencv() {
    const SAMPLES: usize = 6;
    let expected = image::load_from_memory(include_bytes!("crop_opencv.png")).expect("it is a PNG").into_rgb8();
    let (height, width) = (expected.height() as usize / SAMPLES, expected.width() as usize);
    // As in crop_opencv.py, in 4096ths.
    let maps: [[i32; 6]; SAMPLES] = [
        [4096, 0, 0, 0, 4096, 0],
        [2901, -2897, 40_961, 2897, 2901, -20_483],
        [-3547, 2051, 81_937, 2049, 3551, -10_001],
        [7001, 333, -30_011, -1235, 6007, 8_191],
        [911, 1501, 20_477, -1499, 913, 70_003],
        [-4096, 0, 126_976, 0, 4096, -2048],
    ];
    let pixels = (0..32 * 28).map(|index: u32| index.wrapping_mul(0x9e37_79b1) ^ 0x5bd1_e995).collect();
    let shapes: [Shape; 3] = [[32 * 28].into(), [SAMPLES, 4].into(), [SAMPLES, width + height, 2].into()];
    let maps = maps.map(|map| map.map(|numerator| f64::from(numerator) / 4096.0));
    let normalization = Normalization::IMAGENET;
    let case = OperatorCase::new(AffineCrop { height, width, normalization }, &shapes)
        .fill(0, Fill::Words(pixels))
        .fill(1, Fill::Words([[0, 32, 28, 0]; SAMPLES].concat()))
        .fill(2, lattices(&maps, height, width));
    values_agree(&case, 0);

    let inputs = case.exact(&case.draw(0));
    let inputs: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
    let reference = case.operator.reference(&shapes.each_ref(), &inputs).remove(0);
    for (x, y, Rgb(colours)) in expected.enumerate_pixels() {
        let (sample, y) = (y as usize / height, y as usize % height);
        for (channel, colour) in colours.iter().enumerate() {
            let value = reference[((sample * 3 + channel) * height + y) * width + x as usize];
            let [mean, deviation] = [normalization.mean, normalization.deviation].map(|of| f64::from(of[channel]));
            let level = ((value * deviation + mean) * 255.0).round();
            assert_eq!(level, f64::from(*colour), "sample {sample}, ({x}, {y}), channel {channel}");
        }
    }
}

#[test]
fn every_level_of_every_normalisation_agrees_with_the_reference() {
    for normalization in NORMALIZATIONS {
        let shapes: [Shape; 3] = [[256].into(), [1, 4].into(), [1, 257, 2].into()];
        let case = OperatorCase::new(AffineCrop { height: 1, width: 256, normalization }, &shapes)
            .fill(0, Fill::Words((0..256).map(|level| level * 0x0001_0101).collect()))
            .fill(1, Fill::Words(vec![0, 256, 1, 0]))
            .fill(2, lattices(&[[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]], 1, 256));
        values_agree(&case, 0);
        let inputs = case.exact(&case.draw(0));
        let inputs: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
        let reference = case.operator.reference(&shapes.each_ref(), &inputs).remove(0);
        for (number, found) in reference.into_iter().enumerate() {
            let Normalization { mean, deviation, bgr } = normalization;
            let colour = if bgr { 2 - number / 256 } else { number / 256 };
            let [mean, deviation] = [mean, deviation].map(|of| f64::from(of[colour]));
            assert!((255.0 * (found * deviation + mean) - (number % 256) as f64).abs() < 1e-9, "{number}: {found}");
        }
    }
}

#[test]
fn more_than_65535_workgroups_fold_into_y() {
    let (height, width) = (2048, 2049);
    let shapes = [[12_usize].into(), [1, 4].into(), Shape::from([1, width + height, 2])];
    let normalization = Normalization::CPN_MEAN;
    let case = OperatorCase::new(AffineCrop { height, width, normalization }, &shapes)
        .fill(0, Fill::Words((0..12).map(|word| word * 0x0015_1107).collect()))
        .fill(1, Fill::Words(vec![0, 4, 3, 0]))
        .fill(2, lattices(&[[1.0 / 1024.0, 0.0, 0.5, 0.0, 1.0 / 1024.0, 0.25]], height, width));
    folded_values_agree(&case, 0);
}

/// A picture whose every pixel differs from its neighbours.
fn noisy_picture(seed: u32) -> RgbImage {
    RgbImage::from_fn(120, 90, |x, y| {
        let [red, green, blue, _] = (seed + 120 * y + x).wrapping_mul(0x9e37_79b1).to_le_bytes();
        Rgb([red, green, blue])
    })
}

/// The network's input for a batch.
fn on_device(gpu: &Arc<Gpu>, batch: &Batch, size: Size) -> Vec<f32> {
    let (height, width) = (size.height as usize, size.width as usize);
    let mut graph = Graph::new();
    let pixels = graph.input("pixels", [1]);
    let pictures = graph.input("pictures", [batch.len(), 4]);
    let lattice = graph.input("lattice", [batch.len(), width + height, 2]);
    let crop = AffineCrop { height, width, normalization: Normalization::IMAGENET };
    let image = graph.apply_one(crop, &[pixels, pictures, lattice]).expect("they fit");
    let plan = Plan::new(graph, &[image], gpu.capabilities()).expect("it fits");
    let mut session = Session::new(gpu, plan, &mut Store::new(gpu)).expect("it fits");
    session.grow(pixels, batch.pixels.len()).expect("it fits");
    session.write(pixels, &batch.pixels).expect("it fits");
    session.write(pictures, &batch.pictures).expect("it fits");
    session.write(lattice, &batch.lattice).expect("it fits");
    session.run().expect("the device works");
    session.read(image).expect("it is an output")
}

/// Large pictures are sampled on the host: nobody's input may depend on where.
#[test]
fn a_crop_sampled_on_the_host_is_the_devices_to_the_bit() {
    let size = Size { width: 48, height: 64 };
    let picture = RgbImage::from_fn(700, 500, |x, y| {
        let [red, green, blue, _] = (700 * y + x).wrapping_mul(0x9e37_79b1).to_le_bytes();
        Rgb([red, green, blue])
    });
    for (rotation, center) in [(0.0, [350.0, 250.0]), (25.0, [100.5, 330.25]), (-160.0, [690.0, 20.0])] {
        let person = Person {
            name: "one".to_string(),
            picture: picture.clone(),
            joints: vec![Joint::default(); LSP.joints.len()],
            center,
            scale: [2.31, 3.17],
            head_size: None,
        };
        let crop = Crop { rotation, ..Crop::new(person.center, person.scale, size) };
        let mut sampled = Batch::default();
        let placement = Placement { crop, flip: false };
        sampled.push(0, person, &placement, &LSP, size).expect("the box has an extent");
        assert_eq!(sampled.pixels.len(), 48 * 64, "the picture is too large to be stored");
        let words = picture.pixels().map(|pixel| u32::from_le_bytes([pixel[0], pixel[1], pixel[2], 255]));
        let whole = Batch {
            pixels: words.collect(),
            pictures: vec![[0, 700, 500, 0]],
            lattice: lattice(crop.to_picture(size).0, size.width, size.height),
            ..Batch::default()
        };
        for gpu in gpus() {
            let [a, b] = [&sampled, &whole].map(|batch| on_device(gpu, batch, size));
            assert!(a.iter().zip(&b).all(|(a, b)| a.to_bits() == b.to_bits()), "{rotation} {center:?}");
        }
    }
}

#[test]
fn crops_of_a_batch_show_what_its_view_shows() {
    let size = Size { width: 48, height: 64 };
    let mut batch = Batch::default();
    for (sample, (rotation, flip)) in [(0.0, false), (25.0, true), (-130.0, false)].into_iter().enumerate() {
        let joint = Joint { x: 50.0, y: 40.0, labelled: true, visible: true };
        let person = Person {
            name: "one".to_string(),
            picture: noisy_picture(40 * sample as u32),
            joints: vec![joint; LSP.joints.len()],
            center: [55.0, 40.0],
            scale: [0.3, 0.4],
            head_size: None,
        };
        let crop = Crop { rotation, ..Crop::new(person.center, person.scale, size) };
        batch.push(sample, person, &Placement { crop, flip }, &LSP, size).expect("the box has an extent");
    }
    let (height, width) = (size.height as usize, size.width as usize);
    for gpu in gpus() {
        let image = on_device(gpu, &batch, size);
        for sample in 0..3 {
            let view = batch.view(sample, size);
            for (x, y, Rgb(colours)) in view.enumerate_pixels() {
                for (channel, colour) in colours.iter().enumerate() {
                    let place = ((sample * 3 + channel) * height + y as usize) * width + x as usize;
                    let Normalization { mean, deviation, .. } = Normalization::IMAGENET;
                    let [mean, deviation] = [mean, deviation].map(|of| f64::from(of[channel]));
                    let value = (f64::from(image[place]) * deviation + mean) * 255.0;
                    assert!(
                        (value - f64::from(*colour)).abs() <= 1e-3,
                        "sample {sample}, ({x}, {y}), channel {channel}: {value}, not {colour}"
                    );
                }
            }
        }
    }
}

#[test]
fn with_blue_first_the_planes_of_red_and_blue_are_exchanged() {
    let shapes: [Shape; 3] = [[1].into(), [1, 4].into(), [1, 2, 2].into()];
    let planes = |normalization| {
        let case = OperatorCase::new(AffineCrop { height: 1, width: 1, normalization }, &shapes)
            .fill(0, Fill::Words(vec![0xff20_4080]))
            .fill(1, Fill::Words(vec![0, 1, 1, 0]))
            .fill(2, lattices(&[[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]], 1, 1));
        let inputs = case.exact(&case.draw(0));
        let inputs: Vec<&[f64]> = inputs.iter().map(Vec::as_slice).collect();
        case.operator.reference(&shapes.each_ref(), &inputs).remove(0)
    };
    let (rgb, bgr) = (planes(Normalization::IMAGENET), planes(Normalization::IMAGENET_BGR));
    assert_eq!((rgb[0], rgb[1], rgb[2]), (bgr[2], bgr[1], bgr[0]));
    assert!((rgb[0] - (128.0 / 255.0 - 0.485) / 0.229).abs() < 1e-6, "{rgb:?}");
}
