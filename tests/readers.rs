//! Files from elsewhere may be broken or hostile: every reader returns an error or what it read, never panics, and never
//! asks for more memory than a small multiple of what the file is.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ditn::data::coco::Annotations;
use ditn::data::mpii::truth;
use ditn::data::{Coco, Dataset, Mpii, mat};
use ditn::metrics::files::{score_coco, score_mpii};
use ditn::nn::checkpoint::State;
use ditn::nn::{Matching, Shapes, WeightCopy, WeightFile};
use ditn::predict::boxes::Boxes;
use ditn::train::checkpoint::{self, Checkpoint, Header};
use ditn::train::config::{self, Config};
use ditn::train::progress::Progress;
use ditn::verify::Dump;
use peak_alloc::PeakAlloc;
use proptest::prelude::*;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Most memory in use at once, in MiB: the files here have less than 1 MiB.
const MOST: f32 = 64.0;
/// The same for pictures, which a few bytes may describe: a file of 1 KiB may hold 8 million pixels.
const MOST_FOR_PICTURES: f32 = 128.0;

/// One reader at a time, so that the memory in use is its own.
static ALONE: Mutex<()> = Mutex::new(());

/// What happens to a file on its way here.
#[derive(Clone, Debug)]
enum Damage {
    Byte {
        at: prop::sample::Index,
        value: u8,
    },
    /// Lengths and counts are where a reader is led astray.
    Number {
        at: prop::sample::Index,
        value: u64,
        bytes: usize,
    },
    Cut {
        at: prop::sample::Index,
    },
    Removed {
        at: prop::sample::Index,
        bytes: usize,
    },
    Repeated {
        at: prop::sample::Index,
        bytes: usize,
    },
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    let numbers = prop_oneof![
        Just(0),
        Just(u64::MAX),
        Just(1 << 31),
        Just((1 << 31) - 1),
        Just(1 << 40),
        Just(1 << 63),
        any::<u64>()
    ];
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, value)| Damage::Byte { at, value }),
        (at(), numbers, prop::sample::select(vec![2, 4, 8])).prop_map(|(at, value, bytes)| Damage::Number {
            at,
            value,
            bytes
        }),
        at().prop_map(|at| Damage::Cut { at }),
        (at(), 1..200_usize).prop_map(|(at, bytes)| Damage::Removed { at, bytes }),
        (at(), 1..200_usize).prop_map(|(at, bytes)| Damage::Repeated { at, bytes }),
    ]
}

/// `bytes` after all damage, in order.
fn damaged(mut bytes: Vec<u8>, all: &[Damage]) -> Vec<u8> {
    for one in all {
        if bytes.is_empty() {
            break;
        }
        let end = |at: usize, length: usize| (at + length).min(bytes.len());
        match one {
            Damage::Byte { at, value } => {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            Damage::Number { at, value, bytes: count } => {
                let at = at.index(bytes.len());
                let end = end(at, *count);
                bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
            }
            Damage::Cut { at } => bytes.truncate(at.index(bytes.len())),
            Damage::Removed { at, bytes: count } => {
                let at = at.index(bytes.len());
                bytes.drain(at..end(at, *count));
            }
            Damage::Repeated { at, bytes: count } => {
                let at = at.index(bytes.len());
                let again = bytes[at..end(at, *count)].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
    bytes
}

/// Gives `read` the files damaged in many ways, and bytes that never were a file.
fn survives(name: &str, files: &[Vec<u8>], most: f32, read: impl Fn(&Path)) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    MEMORY.reset_peak_usage();
    let folder = std::env::temp_dir().join(format!("ditn-readers-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    let path = folder.join(name);
    for file in files {
        std::fs::write(&path, file).expect("the temporary folder is writable");
        read(&path);
    }
    let files = prop::sample::select(files.to_vec());
    let damages = prop::collection::vec(damage(), 1..6);
    let bytes = prop_oneof![
        9 => (files, damages).prop_map(|(file, damages)| damaged(file, &damages)),
        1 => prop::collection::vec(any::<u8>(), 0..400),
    ];
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(bytes in bytes)| {
        std::fs::write(&path, &bytes).expect("the temporary folder is writable");
        read(&path);
        prop_assert!(MEMORY.peak_usage_as_mb() < most, "{} MiB were asked for", MEMORY.peak_usage_as_mb());
    });
    std::fs::remove_dir_all(&folder).ok();
}

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn bytes_of(paths: &[&str]) -> Vec<Vec<u8>> {
    let read = |path: &&str| std::fs::read(in_repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    paths.iter().map(read).collect()
}

/// Opens a file of weights and reads all that a network would take of it.
fn read_weights(path: &Path) {
    let network = Shapes::from([("conv1.weight".into(), vec![4, 3, 3, 3]), ("conv2.weight".into(), vec![4, 4, 3, 3])]);
    if let Ok(file) = WeightFile::open(path) {
        Matching::new(&network, &file, &WeightCopy::Main).and_then(|matching| matching.read(&file)).ok();
    }
}

#[test]
fn files_of_pytorch() {
    let files = [
        "imagenet_stem.pth",
        "hrnet_legacy_wrapped.pth",
        "malicious_zip.pth",
        "malicious_legacy.pth",
        "objects_2.pth",
        "objects_4.pth",
        "module.pth",
        "first.pth",
        "mmengine.pth",
    ];
    let files = bytes_of(&files.map(|name| ["tests/weights/", name].concat()).each_ref().map(String::as_str));
    survives("weights.pth", &files, MOST, read_weights);
}

#[test]
fn small_files_that_claim_to_be_large_cost_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    MEMORY.reset_peak_usage();
    let message =
        WeightFile::open(&in_repository("tests/weights/huge_pickle.pth")).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("huge_pickle.pth") && message.contains("its pickle has 9437187 bytes"), "{message}");
    let file = WeightFile::open(&in_repository("tests/weights/huge_view.pth")).expect("its claim is possible");
    assert_eq!(file.shapes().next(), Some(("conv1.weight", &[1 << 27][..])));
    read_weights(&in_repository("tests/weights/huge_view.pth"));
    assert!(MEMORY.peak_usage_as_mb() < MOST, "{} MiB were asked for", MEMORY.peak_usage_as_mb());
}

#[test]
fn pickles_that_describe_ever_more_cost_no_more_than_the_limit() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = std::env::temp_dir().join(format!("ditn-readers-{}.pkl", std::process::id()));
    let lists = [b"\x80\x02]q\0(".as_slice(), &b"]".repeat(1000), b"e"].concat();
    // Lists in a list that is appended to again and again; lists that hold each other twice, 60 deep; a circle.
    let wide = [lists.as_slice(), &[b"(".as_slice(), &b"]".repeat(1000), b"e"].concat().repeat(9000), b"."].concat();
    let twice = (0..60_u8).flat_map(|i| [b"]q", &[i + 1][..], b"(h", &[i][..], b"h", &[i][..], b"e0"].concat());
    let deep = [b"\x80\x02]q\0".as_slice(), b"0", &twice.collect::<Vec<u8>>(), b"h\x3c."].concat();
    for bytes in [
        wide,
        deep,
        b"\x80\x02]q\0h\0ah\0a.".to_vec(),
        b"\x80\x02".iter().chain(&b"(".repeat(9 << 20)).copied().collect(),
    ] {
        std::fs::write(&path, &bytes).expect("the temporary folder is writable");
        MEMORY.reset_peak_usage();
        read_weights(&path);
        let most = 3.0 * MOST + bytes.len() as f32 / 1e6;
        assert!(MEMORY.peak_usage_as_mb() < most, "{} MiB were asked for", MEMORY.peak_usage_as_mb());
    }
    std::fs::remove_file(&path).expect("it has just been written");
}

#[test]
fn checkpoints_and_other_safetensors() {
    let tensor = |shape: &[usize], count| ditn::graph::Tensor { shape: shape.to_vec(), data: vec![0.5; count] };
    let state = State::from([("conv1.weight".into(), tensor(&[4, 3, 3, 3], 108)), ("x".into(), tensor(&[7], 7))]);
    let checkpoint = Checkpoint { header: Header { config: Config::default(), progress: Progress::default() }, state };
    let path = std::env::temp_dir().join(format!("ditn-readers-{}.safetensors", std::process::id()));
    checkpoint::save(&path, &checkpoint).expect("the temporary folder is writable");
    let file = std::fs::read(&path).expect("it has just been written");
    std::fs::remove_file(&path).expect("it has just been written");
    survives("weights.safetensors", &[file], MOST, |path| {
        checkpoint::load(path).ok();
        Dump::open(path).ok();
        read_weights(path);
    });
}

#[test]
fn dumps_of_the_reference() {
    // The beginning holds everything but numbers.
    let mut file = bytes_of(&["tests/dumps/hrnet_coco.safetensors"]).remove(0);
    let header = u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
    file.truncate(8 + header);
    survives("dump.safetensors", &[file], MOST, |path| {
        Dump::open(path).ok();
    });
}

/// A MATLAB 5 file with arrays of doubles of these names and shapes.
fn matlab(arrays: &[(&str, &[i32])]) -> Vec<u8> {
    let element = |kind: u32, data: &[u8]| -> Vec<u8> {
        let mut element = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        element.extend(data);
        element.resize(element.len().next_multiple_of(8), 0);
        element
    };
    let array = |(name, shape): &(&str, &[i32])| {
        let shape_bytes: Vec<u8> = shape.iter().flat_map(|extent| extent.to_le_bytes()).collect();
        let count = shape.iter().product::<i32>() as usize;
        let parts = [
            element(6, &[6, 0, 0, 0, 0, 0, 0, 0]),
            element(5, &shape_bytes),
            element(1, name.as_bytes()),
            element(9, &1.5_f64.to_le_bytes().repeat(count)),
        ];
        element(14, &parts.concat())
    };
    let mut file = b"MATLAB 5.0 MAT-file, made by a test".to_vec();
    file.resize(124, b' ');
    file.extend([0, 1, b'I', b'M']);
    file.extend(arrays.iter().flat_map(array));
    file
}

#[test]
fn matlab_files() {
    let path = std::env::temp_dir().join(format!("ditn-readers-{}.mat", std::process::id()));
    std::fs::write(&path, matlab(&[("a", &[3, 2, 4])])).expect("the temporary folder is writable");
    let numbers = mat::read(&path, "a", "").expect("the test writes what MATLAB writes");
    assert_eq!((numbers.shape, numbers.values), (vec![3, 2, 4], vec![1.5; 24]));
    std::fs::remove_file(&path).expect("it has just been written");
    survives("joints.mat", &[matlab(&[("a", &[3, 2, 4])]), matlab(&[("a", &[5, 1])])], MOST, |path| {
        mat::read(path, "a", "").ok();
    });
}

#[test]
fn pictures() {
    let picture = image::RgbImage::from_fn(24, 17, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
    let encoded = |format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).expect("memory takes any picture");
        bytes.into_inner()
    };
    survives(
        "picture",
        &[encoded(image::ImageFormat::Png), encoded(image::ImageFormat::Jpeg)],
        MOST_FOR_PICTURES,
        |path| {
            ditn::predict::pictures::open(path, ditn::data::ExifOrientation::Apply).ok();
        },
    );
}

#[test]
fn configurations() {
    let files = bytes_of(&["datasets/lsp/ditn_small.toml", "datasets/synthetic/ditn_tiny.toml"]);
    survives("run.toml", &files, MOST, |path| {
        if let Ok(config) = config::from_file(path) {
            config.validate().ok();
        }
    });
}

#[test]
fn files_of_boxes() {
    let files = [
        &br#"[{"picture": "one.png", "box": [10, 10, 40, 60]}, {"picture": "b/two.jpg", "box": [0, 0.5, 5e1, 50]}]"#[..],
        br#"[{"image_id": 785, "category_id": 1, "bbox": [10.0, 10.0, 40.0, 60.0], "score": 0.9}]"#,
        br#"{"images": [{"id": 1, "file_name": "a.jpg", "width": 9, "height": 8}],
            "categories": [{"id": 1, "name": "person"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0}]}"#,
        b"0 0.5 0.5 0.25 0.5\n0 0.25 0.5 0.1 0.2 0.9\n",
        b"picture,left,top,width,height,score\na.jpg,1,2,3,4,0.5\n",
    ];
    survives("boxes.json", &files.map(<[u8]>::to_vec), MOST, |path| {
        if let Ok(boxes) = Boxes::read(path, None) {
            boxes.of(Path::new("a.jpg"));
        }
    });
}

/// MPII's people as the public HRNet code writes them.
fn mpii_people() -> Vec<u8> {
    let person = |name: &str| {
        serde_json::json!({
            "image": name, "center": [101.0, 201.0], "scale": 2.0, "joints": vec![[1.5, 1.5]; 16],
            "joints_vis": vec![1; 16],
        })
    };
    serde_json::json!([person("a.jpg"), person("b.jpg")]).to_string().into_bytes()
}

/// Opens the annotations `path` of MPII and looks at everyone.
fn read_mpii(path: &Path) {
    let (folder, name) = (path.parent().expect("it lies in a folder"), path.file_name().expect("it is a file"));
    std::fs::create_dir_all(folder.join("images")).expect("the temporary folder is writable");
    if let Ok(set) = Mpii::open(folder, Path::new(name)) {
        look_at_everyone(&set);
    }
}

fn look_at_everyone(set: &dyn Dataset) {
    for person in 0..set.len() {
        set.annotation(0, person).ok();
        set.load(0, person).ok();
    }
}

#[test]
fn files_of_people_are_read_where_nothing_happened_to_them() {
    let folder = std::env::temp_dir().join(format!("ditn-readers-whole-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("images")).expect("the temporary folder is writable");
    let files = [("train.json", mpii_people()), ("gt_valid.mat", mpii_truth()), ("boxes.json", BOXES.to_vec())];
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).expect("the temporary folder is writable");
    }
    assert_eq!(Mpii::open(&folder, Path::new("train.json")).map(|set| set.len()).ok(), Some(2));
    assert_eq!(truth::read(&folder.join("gt_valid.mat")).map(|people| people.len()).ok(), Some(2));
    let annotations = Annotations::read(&in_repository("tests/oks/truth.json")).expect("the file is whole");
    let boxes = annotations.read_boxes(&folder.join("boxes.json")).expect("the file is whole");
    assert_eq!(boxes.len(), 1, "only people are kept");
    std::fs::remove_dir_all(&folder).ok();
}

#[test]
fn people_of_mpii_as_json() {
    survives("train.json", &[mpii_people()], MOST, read_mpii);
}

#[test]
fn people_of_mpii_as_released() {
    survives("release.mat", &bytes_of(&["tests/mpii/release.mat"]), MOST, read_mpii);
}

/// The arrays of `gt_valid.mat` for two people.
fn mpii_truth() -> Vec<u8> {
    matlab(&[("jnt_missing", &[16, 2]), ("pos_gt_src", &[16, 2, 2]), ("headboxes_src", &[2, 2, 2])])
}

#[test]
fn the_truth_of_mpii() {
    survives("gt_valid.mat", &[mpii_truth()], MOST, |path| {
        let folder = path.parent().expect("it lies in a folder");
        std::fs::create_dir_all(folder.join("images")).expect("the temporary folder is writable");
        std::fs::write(folder.join("valid.json"), mpii_people()).expect("the temporary folder is writable");
        if let Ok(set) = Mpii::open(folder, Path::new("valid.json")).and_then(|set| set.with_truth(path)) {
            look_at_everyone(&set);
        }
        std::fs::write(folder.join("results.json"), mpii_results()).expect("the temporary folder is writable");
        score_mpii(path, &folder.join("results.json"), None).ok();
    });
}

fn mpii_results() -> Vec<u8> {
    serde_json::json!(vec![vec![[3.5, 4.0]; 16]; 2]).to_string().into_bytes()
}

#[test]
fn results_on_mpii() {
    survives("results.json", &[mpii_results()], MOST, |path| {
        let truth = path.with_file_name("gt_valid.mat");
        std::fs::write(&truth, mpii_truth()).expect("the temporary folder is writable");
        score_mpii(&truth, path, None).ok();
        score_mpii(&truth, path, Some(1)).ok();
    });
}

#[test]
fn people_of_coco() {
    let results = in_repository("tests/oks/results.json");
    survives("person_keypoints_val.json", &bytes_of(&["tests/oks/truth.json"]), MOST, |path| {
        let (folder, name) = (path.parent().expect("it lies in a folder"), path.file_name().expect("it is a file"));
        std::fs::create_dir_all(folder.join("val")).expect("the temporary folder is writable");
        if let Ok(set) = Coco::open(folder, Path::new(name), None) {
            look_at_everyone(&set);
        }
        score_coco(path, &results).ok();
    });
}

#[test]
fn results_on_coco() {
    let truth = in_repository("tests/oks/truth.json");
    survives("results.json", &bytes_of(&["tests/oks/results.json"]), MOST, |path| {
        score_coco(&truth, path).ok();
    });
}

/// A person and something else in pictures of tests/oks/truth.json.
const BOXES: &[u8] = br#"[{"image_id": 64, "category_id": 1, "bbox": [1.5, 2, 30, 4e1], "score": 0.9},
                          {"image_id": 1, "category_id": 3, "bbox": [0, 0, 5, 5], "score": 0.1}]"#;

#[test]
fn boxes_of_a_detector() {
    let truth = Annotations::read(&in_repository("tests/oks/truth.json")).expect("the file is whole");
    survives("boxes.json", &[BOXES.to_vec()], MOST, |path| {
        truth.read_boxes(path).ok();
    });
}
