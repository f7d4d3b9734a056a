//! Joints of one's own, from the exports of labelling tools: trained, scored, predicted with their names.

use std::path::Path;

use image::{Rgb, RgbImage};
use serde_json::{Value, json};

use crate::harness::{Folder, ditn, errors, json, printed_json, refused, run, status, succeed};

/// A network so small that an epoch of these pictures takes a second.
const SMALL: &str = r#"
name = "own"
[data]
kind = "coco"
annotations = "export"
[model]
width = 4
stem = 4
blocks = 1
modules = [1, 1, 1]
[train]
size = [64, 64]
batch = 2
epochs = 6
[optimizer]
learning_rate = 5e-3
[loss]
joints = "mse"
[output]
sheets = 1
tensorboard = false
"#;

const PICTURES: usize = 10;

/// A file of annotations for `pictures`, called by `name`, each written to `folder`: a ring of coloured joints, one with
/// another object in the picture.
fn annotations(
    folder: &Path,
    pictures: std::ops::Range<usize>,
    name: impl Fn(usize) -> (String, String),
    categories: Value,
    category: i64,
    joints: usize,
) -> Value {
    std::fs::create_dir_all(folder).unwrap();
    let (mut images, mut people) = (Vec::new(), Vec::new());
    for number in pictures {
        let (file, written) = name(number);
        let mut picture = RgbImage::from_fn(96, 80, |x, y| Rgb([(x * 2) as u8, (y * 2) as u8, (number * 9) as u8]));
        let (cx, cy, radius) = (45.0 + number as f64 % 5.0, 38.0 + number as f64 % 3.0, 24.0 + number as f64 % 4.0);
        let mut keypoints = Vec::new();
        for joint in 0..joints {
            let angle = std::f64::consts::TAU * joint as f64 / joints as f64;
            let (x, y) = (cx + radius * angle.cos(), cy + radius * angle.sin());
            for (dx, dy) in (0..9).map(|i| (i % 3, i / 3)) {
                let at = (x as u32 + dx - 1, y as u32 + dy - 1);
                picture.put_pixel(at.0, at.1, Rgb([255 - (joint * 7 % 256) as u8, (joint * 31 % 256) as u8, 255]));
            }
            keypoints.extend([x, y, 2.0]);
        }
        picture.save(folder.join(&file)).unwrap();
        images.push(json!({"id": number + 1, "file_name": written, "width": 96, "height": 80}));
        let bbox = [cx - radius - 2.0, cy - radius - 2.0, 2.0 * radius + 4.0, 2.0 * radius + 4.0];
        people.push(json!({"id": 2 * number + 1, "image_id": number + 1, "category_id": category, "bbox": bbox,
                           "area": bbox[2] * bbox[3], "iscrowd": 0, "keypoints": keypoints, "num_keypoints": joints}));
        people.push(json!({"id": 2 * number + 2, "image_id": number + 1, "category_id": 99, "bbox": "none"}));
    }
    json!({"images": images, "annotations": people, "categories": categories})
}

fn write(path: &Path, document: &Value) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, document.to_string()).unwrap();
}

/// Trains with `more` and returns what was said; the loss has to fall.
fn train(folder: &Folder, more: &[&str]) -> String {
    std::fs::write(folder.join("own.toml"), SMALL).unwrap();
    let output = succeed(ditn(folder, &["train", "own.toml", "--out", "run"]).args(more));
    let log = std::fs::read_to_string(folder.join("run/log.jsonl")).unwrap();
    let losses: Vec<f64> =
        log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["loss"].as_f64().unwrap()).collect();
    assert!(losses.len() == 6 && losses[5] < 0.95 * losses[0], "{losses:?}");
    errors(&output)
}

fn predict(folder: &Folder, picture: &str, more: &[&str]) -> Value {
    let arguments = ["predict", "--checkpoint", "run/best.safetensors", picture, "--json"];
    printed_json(&succeed(ditn(folder, &arguments).args(more)).stdout)
}

fn hand() -> Vec<String> {
    let fingers = ["thumb", "index", "middle", "ring", "little"];
    let joints = fingers.iter().flat_map(|finger| (1..=4).map(move |joint| format!("{finger}_{joint}")));
    std::iter::once("wrist".to_owned()).chain(joints).collect()
}

#[test]
fn a_hand_of_21_joints_as_cvat_exports_it() {
    let folder = Folder::new("own-hand");
    let bones: Vec<[usize; 2]> = (1..21).map(|joint| [if joint % 4 == 1 { 1 } else { joint }, joint + 1]).collect();
    let categories = json!([{"id": 1, "name": "hand", "supercategory": "", "keypoints": hand(), "skeleton": bones}]);
    let name = |number: usize| (format!("{number}.png"), format!("{number}.png"));
    let pictures = folder.join("export/images/default");
    let mut document = annotations(&pictures, 0..PICTURES, name, categories, 1, 21);
    // CVAT: someone none of whose joints is seen; others without what follows from the rest.
    document["annotations"][2]["keypoints"] = json!([]);
    for key in ["num_keypoints", "area", "iscrowd"] {
        document["annotations"][4].as_object_mut().unwrap().remove(key);
    }
    write(&folder.join("export/annotations/person_keypoints_default.json"), &document);
    let said = train(&folder, &[]);
    assert!(said.contains("default (9 of 10 pictures): 8 people") && said.contains("1 of 10 pictures"), "{said}");
    let found = predict(&folder, "export/images/default/3.png", &[]);
    assert_eq!((&found["skeleton"], &found["joints"]), (&json!("hand"), &json!(hand())));
    assert_eq!(found["people"][0]["joints"].as_array().map(Vec::len), Some(21));

    // Scored as the run scored it, from another folder and from files alone.
    let elsewhere = Folder::new("own-hand-elsewhere");
    let checkpoint = folder.join("run/last.safetensors");
    let arguments = ["eval", "--json", "--results", "results.json", "--set", "data.held_out=0", "--checkpoint"];
    let scored = printed_json(&succeed(ditn(&elsewhere, &arguments).arg(checkpoint)).stdout);
    assert_eq!(scored["people"], json!(9));
    let truth = folder.join("export/annotations/person_keypoints_default.json");
    let mut score = ditn(&elsewhere, &["score", "coco", "--json", "--results", "results.json", "--truth"]);
    let scores = printed_json(&succeed(score.arg(&truth)).stdout);
    assert_eq!(scores, scored["scores"]["oks"]);
    let mut generous = ditn(&elsewhere, &["score", "coco", "--json", "--results", "results.json", "--truth"]);
    let generous = printed_json(&succeed(generous.arg(&truth).args(["--sigmas", "10"])).stdout);
    assert!(generous["AP"].as_f64() > Some(0.9), "{generous}");

    // One joint fewer is another network.
    let mut table = SMALL.replace("[model]", "[model]\nkind = \"hrnet\"");
    table += "[skeleton]\njoints = [\"a\", \"b\"]\n";
    std::fs::write(folder.join("two.toml"), table).unwrap();
    refused(
        &mut ditn(&folder, &["train", "two.toml"]),
        &["person_keypoints_default.json", "63 numbers in keypoints, expected 6"],
    );
}

#[test]
fn an_animal_of_17_joints_as_roboflow_exports_it() {
    let folder = Folder::new("own-animal");
    let joints = [
        "L_Eye",
        "R_Eye",
        "Nose",
        "Neck",
        "Root of tail",
        "L_Shoulder",
        "L_Elbow",
        "L_F_Paw",
        "R_Shoulder",
        "R_Elbow",
        "R_F_Paw",
        "L_Hip",
        "L_Knee",
        "L_B_Paw",
        "R_Hip",
        "R_Knee",
        "R_B_Paw",
    ];
    let categories = json!([
        {"id": 0, "name": "animals", "supercategory": "none"},
        {"id": 1, "name": "animal", "supercategory": "animals", "keypoints": joints, "skeleton": []}
    ]);
    for (part, pictures) in [("train", 0..8), ("valid", 8..12)] {
        let name = |number: usize| (format!("{number}_png.rf.0a1b.png"), format!("{number}_png.rf.0a1b.png"));
        let at = folder.join(&format!("export/{part}"));
        let document = annotations(&at, pictures, name, categories.clone(), 1, 17);
        write(&at.join("_annotations.coco.json"), &document);
    }
    let said = train(&folder, &["--set", "skeleton.sigmas=0.1"]);
    assert!(said.contains("train: 8 people") && said.contains("valid: 4 people"), "{said}");
    assert!(said.contains("has no bones; 16 are taken"), "{said}");
    let config = std::fs::read_to_string(folder.join("run/config.toml")).unwrap();
    let config: toml::Table = toml::from_str(&config).unwrap();
    let pairs = |pairs: &[[i64; 2]]| toml::Value::try_from(pairs).unwrap();
    let expected = [[0, 1], [5, 8], [6, 9], [7, 10], [11, 14], [12, 15], [13, 16]];
    assert_eq!(config["skeleton"]["flip_pairs"], pairs(&expected));
    assert_eq!(config["skeleton"]["sigmas"], toml::Value::try_from([0.1; 17]).unwrap());
    std::fs::copy(folder.join("export/valid/9_png.rf.0a1b.png"), folder.join("000000000009.png")).unwrap();
    let found = predict(&folder, "000000000009.png", &["--format", "coco"]);
    assert_eq!((&found[0]["image_id"], &found[0]["category_id"]), (&json!(9), &json!(1)));
    assert_eq!(found[0]["keypoints"].as_array().map(Vec::len), Some(51));

    // Another skeleton begins where this one ends: joints of the same name are taken over.
    let renamed = json!([{"id": 1, "name": "bird", "keypoints": ["Nose", "L_Eye", "R_Eye", "Wing_L", "Wing_R"]}]);
    let at = folder.join("birds");
    let name = |number: usize| (format!("{number}.png"), format!("{number}.png"));
    write(&at.join("birds.json"), &annotations(&at, 0..4, name, renamed, 1, 5));
    let more = ["data.annotations=birds/birds.json", "model.init=run/best.safetensors", "train.epochs=1"];
    let mut birds = ditn(&folder, &["train", "own.toml", "--out", "birds-run"]);
    let output = succeed(birds.args(more.iter().flat_map(|set| ["--set", set])));
    assert!(errors(&output).contains("3 of 5 joints taken over by name"), "{}", errors(&output));
}

#[test]
fn a_whole_body_of_133_joints_as_label_studio_exports_it() {
    let folder = Folder::new("own-whole-body");
    let body = [
        "nose",
        "left_eye",
        "right_eye",
        "left_ear",
        "right_ear",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
        "left_big_toe",
        "left_small_toe",
        "left_heel",
        "right_big_toe",
        "right_small_toe",
        "right_heel",
    ];
    let mut joints: Vec<String> = body.iter().map(|&joint| joint.to_owned()).collect();
    joints.extend((0..68).map(|point| format!("face-{point}")));
    for side in ["left", "right"] {
        joints.extend(hand().into_iter().map(|joint| format!("{side}_{joint}")));
    }
    assert_eq!(joints.len(), 133);
    let categories = json!([{"id": 3, "name": "person", "keypoints": joints, "skeleton": [[0, 1], [0, 2]]}]);
    let name = |number: usize| (format!("up load {number}.png"), format!("images\\upload\\up%20load {number}.png"));
    let mut document = annotations(&folder.join("export/images"), 0..PICTURES, name, categories, 3, 133);
    // COCO-WholeBody keeps feet, face and hands apart.
    for record in document["annotations"].as_array_mut().unwrap().iter_mut().step_by(2) {
        let all: Vec<Value> = record["keypoints"].as_array().unwrap().clone();
        let ends = [("keypoints", 0, 17), ("foot_kpts", 17, 23), ("face_kpts", 23, 91), ("lefthand_kpts", 91, 112)];
        for (key, first, last) in ends.into_iter().chain([("righthand_kpts", 112, 133)]) {
            record[key] = json!(all[3 * first..3 * last]);
        }
    }
    write(&folder.join("export/result.json"), &document);
    let said = train(&folder, &["--set", "model.kind=hrnet"]);
    assert!(!said.contains("not mirrored"), "{said}");
    let found = predict(&folder, "export/images/up load 3.png", &[]);
    assert_eq!(found["joints"], json!(joints));
}

#[test]
fn what_cannot_be_trained_is_said_before_a_run_begins() {
    let folder = Folder::new("own-refused");
    std::fs::write(folder.join("own.toml"), SMALL).unwrap();
    let categories = json!([{"id": 1, "name": "ball", "keypoints": ["centre"], "skeleton": []}]);
    let name = |number: usize| (format!("{number}.png"), format!("{number}.png"));
    let document = annotations(&folder.join("export"), 0..3, name, categories, 1, 1);
    refused(&mut ditn(&folder, &["train", "own.toml"]), &["export", "no file of annotations"]);
    write(&folder.join("export/a.json"), &document);
    refused(&mut ditn(&folder, &["train", "own.toml"]), &["model.kind = \"hrnet\"", "skeleton"]);
    let set = |key: &str| run(ditn(&folder, &["train", "own.toml", "--set", "model.kind=hrnet", "--set"]).arg(key));
    let output = set("data.category=bat");
    assert!(status(&output) == 2 && errors(&output).contains("there is no category bat"), "{}", errors(&output));
    let output = set("data.annotations=b.json");
    assert!(status(&output) == 2 && errors(&output).contains("b.json: not found"), "{}", errors(&output));
    assert!(!folder.join("runs").exists(), "a refused run leaves no folder");
    let trained = ["train", "own.toml", "--out", "run", "--set", "model.kind=hrnet", "--set", "train.epochs=1"];
    succeed(&mut ditn(&folder, &trained));
    let header = json(&folder.join("run/summary.json"));
    assert_eq!(header["metric"]["name"], "AP");
}
