//! `ditn predict`, `ditn people`, `ditn kernels`, `ditn devices`.

use ditn::gpu::{AdapterChoice, Gpu};
use ditn::predict::{PersonBox, Pose, PredictError, Predictor};

use crate::harness::{Folder, ditn, errors, refused, run, status, succeed, train};

#[test]
fn predict_writes_a_pose_for_each_box_and_a_drawn_picture() {
    let folder = Folder::new("predict");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let picture = image::RgbImage::from_fn(120, 90, |x, y| image::Rgb([x as u8, y as u8, 90]));
    picture.save(folder.join("one.png")).unwrap();
    picture.save(folder.join("two.jpg")).unwrap();
    let boxes = r#"[{"picture": "one.png", "box": [10, 10, 40, 60]},
                    {"picture": "one.png", "box": [60, 10, 40, 60]},
                    {"picture": "two.jpg", "box": [0, 0, 50, 50]}]"#;
    std::fs::write(folder.join("boxes.json"), boxes).unwrap();
    #[rustfmt::skip]
    let output = succeed(&mut ditn(&folder, &[
        "predict", "--checkpoint", "run/last.safetensors", "one.png", "two.jpg", "--boxes", "boxes.json",
        "--out", "found", "--json",
    ]));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let written = std::fs::read_to_string(folder.join("found/poses.json")).unwrap();
    assert_eq!(printed, serde_json::from_str::<serde_json::Value>(&written).unwrap());
    let people = printed["people"].as_array().expect("a list");
    let pictures: Vec<_> = people.iter().map(|person| person["picture"].as_str().unwrap()).collect();
    assert_eq!(pictures, ["one.png", "one.png", "two.jpg"]);
    for person in people {
        let joints = person["joints"].as_array().expect("a list");
        assert_eq!(joints.len(), 16);
        let [x, y, w, h] = [0, 1, 2, 3].map(|i| person["box"][i].as_f64().unwrap());
        let side = 1.25 * w.max(h);
        for joint in joints {
            // A joint lies in the crop: a square of 1.25 times the longer side around the box's centre.
            let (dx, dy) = (joint["x"].as_f64().unwrap() - x - w / 2.0, joint["y"].as_f64().unwrap() - y - h / 2.0);
            assert!(dx.abs() <= side / 2.0 + 1.0 && dy.abs() <= side / 2.0 + 1.0, "{person}");
        }
    }
    let drawn = image::open(folder.join("found/one.png")).unwrap().to_rgb8();
    assert_eq!(drawn.dimensions(), picture.dimensions());
    assert!(drawn != picture, "no skeleton was drawn");
    assert!(folder.join("found/two.png").exists());
}

#[test]
fn predict_without_a_checkpoint_uses_the_network_that_ships_and_says_what_it_is() {
    let folder = Folder::new("shipped");
    image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([4 * x as u8, y as u8, 90])).save(folder.join("a.png")).unwrap();
    let output = succeed(&mut ditn(&folder, &["predict", "a.png", "--json"]));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(printed["people"][0]["joints"].as_array().map(Vec::len), Some(14));
    let said = errors(&output);
    assert!(said.lines().count() == 1 && said.contains("ships with the program") && said.contains("66.2"), "{said}");

    // Exported, it is an ordinary checkpoint; a file that is there is not taken for the one to write.
    succeed(&mut ditn(&folder, &["export", "b.safetensors"]));
    let output = succeed(&mut ditn(&folder, &["predict", "--checkpoint", "b.safetensors", "a.png", "--json"]));
    assert_eq!(printed, serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap());
    assert_eq!(errors(&output), "");
    refused(&mut ditn(&folder, &["export", "b.safetensors"]), &["b.safetensors is there already", "ditn export"]);
}

#[test]
fn predict_decodes_as_the_run_was_evaluated_unless_told_otherwise() {
    let folder = Folder::new("decode");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1", "--set", "evaluate.decode=dark"]));
    image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([4 * x as u8, y as u8, 90]))
        .save(folder.join("one.png"))
        .unwrap();
    let poses = |more: &[&str]| {
        let mut command = ditn(&folder, &["predict", "--checkpoint", "run/last.safetensors", "one.png", "--json"]);
        succeed(command.args(more)).stdout
    };
    let (run, dark, quarter) = (poses(&[]), poses(&["--decode", "dark"]), poses(&["--decode", "quarter"]));
    assert_eq!(run, dark);
    assert_ne!(run, quarter);
}

#[test]
fn a_picture_that_cannot_be_read_is_named_before_anything_is_written() {
    let folder = Folder::new("unreadable");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    image::RgbImage::new(9, 9).save(folder.join("good.png")).unwrap();
    let arguments = ["predict", "--checkpoint", "run/last.safetensors", "good.png", "nowhere.png"];
    let output = run(&mut ditn(&folder, &arguments));
    assert_eq!(status(&output), 2);
    assert!(errors(&output).contains("cannot read nowhere.png"), "{}", errors(&output));
    assert!(!folder.join("predictions").exists());
}

#[test]
fn a_folder_with_several_people_in_batches_gives_what_single_pictures_give() {
    let folder = Folder::new("many");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    std::fs::create_dir(folder.join("pictures")).unwrap();
    for (number, name) in ["a.png", "b.png", "c.png"].into_iter().enumerate() {
        let picture = image::RgbImage::from_fn(90, 70, |x, y| image::Rgb([x as u8, (y << number) as u8, 50]));
        picture.save(folder.join("pictures").join(name)).unwrap();
    }
    let boxes = ["--box", "5,5,40,60", "--box", "45,5,40,60"];
    let people = |picture: &str, batch: &str| {
        let arguments = ["predict", "--checkpoint", "run/last.safetensors", picture, "--json", "--batch", batch];
        let printed = succeed(ditn(&folder, &arguments).args(boxes)).stdout;
        let printed: serde_json::Value = serde_json::from_slice(&printed).expect("one JSON document");
        printed["people"].as_array().expect("a list").clone()
    };
    let together = people("pictures", "4");
    let apart: Vec<_> = ["a", "b", "c"].iter().flat_map(|name| people(&format!("pictures/{name}.png"), "1")).collect();
    assert_eq!(together.len(), 6);
    assert_eq!(together, apart);
    assert_eq!(people("pictures/[bc].png", "3"), apart[2..]);
}

#[test]
fn a_library_user_finds_what_the_command_finds() {
    let folder = Folder::new("library");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let picture = image::RgbImage::from_fn(90, 70, |x, y| image::Rgb([x as u8, y as u8, 50]));
    picture.save(folder.join("one.png")).unwrap();
    let arguments = ["predict", "--checkpoint", "run/last.safetensors", "one.png", "--json"];
    let printed = succeed(ditn(&folder, &arguments).args(["--box", "5,5,40,60", "--box", "45,5,40,60"])).stdout;
    let printed: serde_json::Value = serde_json::from_slice(&printed).expect("one JSON document");

    let gpu = Gpu::open(&AdapterChoice::default()).unwrap();
    let mut predictor = Predictor::open(&gpu, &folder.join("run/last.safetensors")).unwrap();
    let boxes: Vec<PersonBox> = ["5,5,40,60", "45,5,40,60"].map(|text| text.parse().unwrap()).to_vec();
    let pictures = [picture.clone(), picture.clone(), picture];
    let poses = predictor.predict(&pictures, &[boxes.clone(), Vec::new(), boxes.clone()]).unwrap();
    assert_eq!(poses.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0, 2]);
    assert_eq!(poses[0], poses[2]);
    for (number, pose) in poses[0].iter().enumerate() {
        let joints = printed["people"][number]["joints"].clone();
        assert_eq!(*pose, serde_json::from_value::<Pose>(joints).expect("a pose"));
    }
    assert!(matches!(predictor.predict(&pictures, &[boxes]), Err(PredictError::Boxes { pictures: 3, boxes: 1 })));
}

#[test]
fn a_broken_picture_is_named_and_the_others_are_done() {
    let folder = Folder::new("broken");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    std::fs::create_dir(folder.join("in")).unwrap();
    image::RgbImage::new(40, 40).save(folder.join("in/good.png")).unwrap();
    std::fs::write(folder.join("in/broken.jpg"), "no picture").unwrap();
    let output = run(&mut ditn(&folder, &["predict", "--checkpoint", "run/last.safetensors", "in", "--json"]));
    assert_eq!(status(&output), 2, "{}", errors(&output));
    assert!(errors(&output).contains("cannot read in/broken.jpg"), "{}", errors(&output));
    assert!(errors(&output).contains("error: 1 of 2 pictures cannot be read"), "{}", errors(&output));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(printed["people"].as_array().map(Vec::len), Some(1));
    assert!(folder.join("predictions/good.png").exists() && folder.join("predictions/poses.json").exists());
}

#[test]
fn a_drawing_never_replaces_the_picture_itself() {
    let folder = Folder::new("itself");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    image::RgbImage::new(40, 40).save(folder.join("one.png")).unwrap();
    let before = std::fs::read(folder.join("one.png")).unwrap();
    let arguments = ["predict", "--checkpoint", "run/last.safetensors", "one.png", "--out", "."];
    let output = run(&mut ditn(&folder, &arguments));
    assert_eq!(status(&output), 2);
    assert!(errors(&output).contains("would replace one.png itself"), "{}", errors(&output));
    assert!(before == std::fs::read(folder.join("one.png")).unwrap());
}

#[test]
fn joints_below_the_threshold_are_not_drawn_and_coco_results_ask_for_cocos_joints() {
    let folder = Folder::new("threshold");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let picture = image::RgbImage::from_fn(60, 60, |x, y| image::Rgb([x as u8, y as u8, 90]));
    picture.save(folder.join("one.png")).unwrap();
    let arguments = ["predict", "--checkpoint", "run/last.safetensors", "one.png"];
    succeed(ditn(&folder, &arguments).args(["--threshold", "1e9"]));
    assert!(image::open(folder.join("predictions/one.png")).unwrap().to_rgb8() == picture);
    let output = run(ditn(&folder, &arguments).args(["--format", "coco"]));
    assert_eq!(status(&output), 2);
    assert!(errors(&output).contains("this network finds those of mpii"), "{}", errors(&output));
}

#[test]
fn the_same_seed_draws_the_same_people() {
    let folder = Folder::new("people");
    for (out, seed) in [("a.png", "3"), ("b.png", "3"), ("c.png", "4")] {
        succeed(&mut ditn(&folder, &["people", out, "--count", "6", "--seed", seed]));
    }
    let sheet = |name: &str| image::open(folder.join(name)).unwrap().to_rgb8();
    assert_eq!(sheet("a.png"), sheet("b.png"));
    assert_ne!(sheet("a.png"), sheet("c.png"));
}

#[test]
fn kernels_are_listed_and_one_is_shown_with_its_source() {
    let folder = Folder::new("kernels");
    let output = succeed(&mut ditn(&folder, &["kernels", "--json"]));
    let list: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("a JSON list");
    assert!(list.len() > 3);
    let name = list[0]["name"].as_str().expect("a name");
    let shown = succeed(&mut ditn(&folder, &["kernels", name]));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("@compute"));
    assert_eq!(status(&run(&mut ditn(&folder, &["kernels", "no-such-kernel"]))), 2);
}

#[test]
fn devices_lists_the_adapter_that_the_tests_run_on() {
    let folder = Folder::new("devices");
    let output = succeed(&mut ditn(&folder, &["devices", "--json"]));
    let list: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("a JSON list");
    assert!(list[0]["name"].as_str().is_some_and(|name| !name.is_empty()));
}
