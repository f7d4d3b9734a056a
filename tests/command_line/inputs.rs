//! What `ditn predict` takes: pictures of any kind and name, and files of boxes.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use image::codecs::jpeg::JpegEncoder;
use image::{ImageEncoder, ImageFormat, Rgb, RgbImage};

use crate::harness::{Folder, ditn, errors, json, printed_json, refused, run, status, succeed, train};

const CHECKPOINT: [&str; 3] = ["predict", "--checkpoint", "run/last.safetensors"];

/// A folder with a trained network and an empty folder `in`.
fn folder(test: &str) -> Folder {
    let folder = Folder::new(test);
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    std::fs::create_dir(folder.join("in")).unwrap();
    folder
}

fn predict(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = ditn(folder, &CHECKPOINT);
    command.args(arguments);
    command
}

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(3 * x) as u8, (2 * y) as u8, 90]))
}

/// A JPEG whose EXIF says that it is to be turned a quarter clockwise.
fn lying(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    encoder.set_exif_metadata(exif.to_vec()).unwrap();
    encoder.encode_image(&picture(width, height)).unwrap();
    bytes
}

/// The names in the folder of drawings.
fn drawn(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("predictions")).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".png"));
    names.sort();
    names
}

#[test]
fn pictures_are_known_by_content_and_turned_as_exif_says() {
    let folder = folder("content");
    let small = picture(40, 30);
    small.save_with_format(folder.join("in/png_named.jpg"), ImageFormat::Png).unwrap();
    small.save_with_format(folder.join("in/no_extension"), ImageFormat::WebP).unwrap();
    small.save_with_format(folder.join("in/UPPER.TIFF"), ImageFormat::Tiff).unwrap();
    RgbImage::new(1, 1).save(folder.join("in/dot.png")).unwrap();
    std::fs::write(folder.join("in/phone.jpg"), lying(40, 30)).unwrap();
    succeed(&mut predict(&folder, &["in", "--threshold", "1e9"]));
    assert_eq!(drawn(&folder), ["UPPER.png", "dot.png", "no_extension.png", "phone.png", "png_named.png"]);
    let size = |name: &str| image::image_dimensions(folder.join("predictions").join(name)).unwrap();
    assert_eq!((size("phone.png"), size("png_named.png")), ((30, 40), (40, 30)));
    succeed(&mut predict(&folder, &["in/phone.jpg", "--ignore-orientation"]));
    assert_eq!(size("phone.png"), (40, 30));
}

#[test]
fn what_is_no_whole_picture_is_named_and_the_others_are_done() {
    let folder = folder("kinds");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join("in").join(name), bytes).unwrap();
    write("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic");
    write("cut.jpg", &lying(40, 30)[..500]);
    write("empty.jpg", b"");
    write("._good.png", b"\0\x05\x16\x07\0\x02\0\0");
    write(".DS_Store", b"\0\0\0\x01Bud1");
    picture(20, 20).save(folder.join("in/good.png")).unwrap();
    let output = run(&mut predict(&folder, &["in", "--json"]));
    let message = errors(&output);
    assert_eq!(status(&output), 2, "{message}");
    for part in [
        "in/a.heic: this is a HEIC picture",
        "in/cut.jpg: broken picture: the file is cut off",
        "in/empty.jpg: the file is empty",
        "3 of 4 pictures cannot be read; the others are done",
    ] {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
    assert_eq!(drawn(&folder), ["good.png"]);
    let report = printed_json(&output.stdout);
    assert_eq!(report["people"].as_array().map(Vec::len), Some(1));
    assert_eq!(report["failed"][1]["picture"], "in/cut.jpg");
}

#[test]
fn names_of_any_kind_are_done_and_nothing_is_overwritten() {
    let folder = folder("names");
    std::fs::create_dir(folder.join("other")).unwrap();
    let mut names = vec!["a b.png", "é.png", "人物.png", "img[1].png", "-x.png", "x.y.z.png", "quote'.png"];
    if cfg!(unix) {
        names.extend(["new\nline.png", "back\\slash.png"]);
    }
    for name in &names {
        picture(20, 20).save(folder.join("in").join(name)).unwrap();
    }
    picture(20, 20).save(folder.join("other/a b.png")).unwrap();
    // Other systems allow only text.
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"\xff.png");
        std::fs::copy(folder.join("in/-x.png"), folder.join("in").join(name)).unwrap();
        names.push("\u{fffd}.png");
        std::os::unix::fs::symlink("nowhere.png", folder.join("in/dangling.png")).unwrap();
    }
    let output = succeed(&mut predict(&folder, &["in", "in/img[1].png", "other/a b.png", "--json"]));
    let message = errors(&output);
    assert!(message.contains("other/a b.png is drawn as a b_2.png"), "{message}");
    assert!(message.contains("1 pictures were named twice"), "{message}");
    assert_eq!(drawn(&folder).len(), names.len() + 1, "{:?}", drawn(&folder));
    assert_eq!(printed_json(&output.stdout)["people"].as_array().map(Vec::len), Some(names.len() + 1));
    let mut dash = ditn(&folder, &["predict", "--checkpoint", "../run/last.safetensors", "--", "-x.png"]);
    succeed(dash.current_dir(folder.join("in")));
    // A drawing that would replace another of the pictures.
    std::fs::rename(folder.join("other/a b.png"), folder.join("predictions/b.png")).unwrap();
    std::fs::copy(folder.join("in/-x.png"), folder.join("other/b.png")).unwrap();
    refused(&mut predict(&folder, &["other/b.png", "predictions/b.png"]), &["would replace predictions/b.png itself"]);
}

/// Runs with text on standard input.
fn with_input(command: &mut Command, input: &[u8]) -> std::process::Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program was built with this test");
    child.stdin.take().expect("it is piped").write_all(input).ok();
    child.wait_with_output().expect("it is our child")
}

#[test]
fn a_picture_or_a_list_of_them_comes_on_standard_input() {
    let folder = folder("stdin");
    let mut png = std::io::Cursor::new(Vec::new());
    picture(30, 20).write_to(&mut png, ImageFormat::Png).unwrap();
    let output = with_input(&mut predict(&folder, &["-", "--json"]), png.get_ref());
    assert_eq!(status(&output), 0, "{}", errors(&output));
    assert_eq!(printed_json(&output.stdout)["people"][0]["picture"], "-");
    assert_eq!(drawn(&folder), ["stdin.png"]);
    for name in ["a.png", "b c.png"] {
        std::fs::write(folder.join("in").join(name), png.get_ref()).unwrap();
    }
    for list in ["in/a.png\r\nin/b c.png\n", "in/a.png\0in/b c.png\0"] {
        let output = with_input(&mut predict(&folder, &["--files-from", "-", "--json"]), list.as_bytes());
        assert_eq!(status(&output), 0, "{}", errors(&output));
        assert_eq!(printed_json(&output.stdout)["people"].as_array().map(Vec::len), Some(2));
    }
    let output = with_input(&mut predict(&folder, &["-"]), b"in/a.png\n");
    assert!(status(&output) == 2 && errors(&output).contains("--files-from -"), "{}", errors(&output));
}

#[test]
fn boxes_of_detectors_are_taken_and_what_is_of_no_use_is_counted() {
    let folder = folder("detector");
    for name in ["000000000785.png", "000000000786.png"] {
        picture(200, 100).save(folder.join("in").join(name)).unwrap();
    }
    let detections = r#"[{"image_id": 785, "category_id": 1, "bbox": [10, 10, 40, 60], "score": 0.9},
        {"image_id": 785, "category_id": 1, "bbox": [80, 10, 40, 60], "score": 0.5},
        {"image_id": 785, "category_id": 1, "bbox": [90, 10, 40, 60], "score": 0.7},
        {"image_id": 785, "category_id": 1, "bbox": [90, 10, 0, 60], "score": 0.7},
        {"image_id": 785, "category_id": 1, "bbox": [300, 10, 10, 60], "score": 0.7},
        {"image_id": 785, "category_id": 18, "bbox": [1, 1, 2, 2], "score": 0.9}]"#;
    std::fs::write(folder.join("det.json"), detections).unwrap();
    let output = succeed(&mut predict(&folder, &["in", "--boxes", "det.json", "--people", "2", "--json"]));
    let people = &printed_json(&output.stdout)["people"];
    let lefts: Vec<f64> = people.as_array().unwrap().iter().map(|p| p["box"][0].as_f64().unwrap()).collect();
    assert_eq!(lefts, [10.0, 90.0]);
    let message = errors(&output);
    for part in [
        "1 boxes without a picture, four numbers or an extent",
        "left out: 1 of category 18",
        "1 boxes have nothing of their picture in them",
        "1 of 2 pictures have no box",
    ] {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
    // The list of poses is a file of boxes, too, but not one that may be overwritten meanwhile.
    let poses = folder.join("predictions/poses.json");
    std::fs::rename(&poses, folder.join("poses.json")).unwrap();
    let again = succeed(&mut predict(&folder, &["in", "--boxes", "poses.json", "--json"]));
    assert_eq!(printed_json(&again.stdout)["people"], *people);
    refused(&mut predict(&folder, &["in", "--boxes", "predictions/poses.json"]), &["would replace"]);

    std::fs::create_dir(folder.join("labels")).unwrap();
    std::fs::write(folder.join("labels/000000000786.txt"), "0 0.5 0.5 0.2 0.6 0.9\n").unwrap();
    let output = succeed(&mut predict(&folder, &["in", "--boxes", "labels", "--json"]));
    assert_eq!(printed_json(&output.stdout)["people"][0]["box"], serde_json::json!([80.0, 20.0, 40.0, 60.0]));

    let outside = r#"[{"picture": "000000000785.png", "box": [900, 900, 4, 4]}]"#;
    std::fs::write(folder.join("outside.json"), outside).unwrap();
    let output = run(&mut predict(&folder, &["in", "--boxes", "outside.json"]));
    assert!(status(&output) == 2 && errors(&output).contains("no box has anything of its picture"), "{output:?}");
}

#[test]
fn boxes_of_annotations_say_whether_the_picture_was_turned() {
    let folder = folder("annotated");
    std::fs::write(folder.join("in/phone.jpg"), lying(40, 30)).unwrap();
    let annotations = |width: u32, height: u32| {
        let text = serde_json::json!({
            "images": [{"id": 1, "file_name": "in\\phone.jpg", "width": width, "height": height}],
            "categories": [{"id": 7, "name": "person"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [2, 2, 20, 20]}]
        });
        std::fs::write(folder.join("boxes.json"), text.to_string()).unwrap();
        run(&mut predict(&folder, &["in", "--boxes", "boxes.json", "--threshold", "1e9"]))
    };
    for (width, height) in [(40, 30), (30, 40)] {
        assert_eq!(status(&annotations(width, height)), 0);
        let size = image::image_dimensions(folder.join("predictions/phone.png")).unwrap();
        assert_eq!(size, (width, height));
    }
    let output = annotations(80, 60);
    assert_eq!(status(&output), 2);
    assert!(errors(&output).contains("40 wide and 30 high, but its annotation says 80 and 60"), "{}", errors(&output));
}

#[test]
fn poses_are_written_as_a_table_and_as_the_schema_says() {
    let folder = folder("forms");
    picture(60, 50).save(folder.join("in/a.png")).unwrap();
    std::fs::write(folder.join("in/b.png"), "no picture").unwrap();
    let output = run(&mut predict(&folder, &["in", "--format", "csv", "--box", "5,5,20,40", "--box", "30,5,20,40"]));
    assert_eq!(status(&output), 2);
    let text = std::fs::read_to_string(folder.join("predictions/poses.csv")).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row.len() == 7 + 3 * 16), "{text}");
    assert_eq!(rows[0][..8], ["picture", "person", "left", "top", "width", "height", "score", "right_ankle_x"]);
    assert_eq!(rows[2][..6], ["in/a.png", "2", "30", "5", "20", "40"]);

    run(&mut predict(&folder, &["in"]));
    let schema = json(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/poses.schema.json"));
    let report = json(&folder.join("predictions/poses.json"));
    assert_eq!(crate::schema::violations(&schema, &schema, &report, "$"), Vec::<String>::new());
    let mut wrong = report.clone();
    wrong["people"][0]["joints"][3]["x"] = "3".into();
    wrong["people"][0].as_object_mut().unwrap().remove("box");
    wrong["extra"] = true.into();
    assert_eq!(crate::schema::violations(&schema, &schema, &wrong, "$").len(), 3);
}
