//! `ditn predict`, `ditn people`, `ditn kernels`, `ditn devices`.

use super::{Folder, ditn, errors, run, status, succeed, train};

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
