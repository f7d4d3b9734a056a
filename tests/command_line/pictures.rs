//! The pictures of `ditn plot`, `ditn eval --sheet`, `ditn compare`, `ditn predict --explain` and TensorBoard.

use crate::harness::{Folder, ditn, errors, run, status, succeed, train};

/// A log line as runs write it; every second epoch is scored, and its training pictures are counted.
fn line(epoch: u32, score: f64) -> String {
    let metric = if epoch.is_multiple_of(2) {
        format!(r#","training_accuracy":{},"metric":{{"name":"PCKh@0.5","value":{score}}}"#, score / 2.0)
    } else {
        String::new()
    };
    let (step, pictures, loss) = (10 * epoch, 80 * epoch, 0.1 / f64::from(epoch));
    format!(
        r#"{{"epoch":{epoch},"step":{step},"pictures":{pictures},"loss":{loss},"joint_loss":{loss},"bone_loss":0.0,"learning_rate":0.001,"pictures_per_second":5.0,"seconds":{pictures}.5{metric}}}"#
    ) + "\n"
}

fn write_run(folder: &Folder, name: &str, epochs: u32) {
    std::fs::create_dir(folder.join(name)).expect("the temporary folder is writable");
    let log: String = (1..=epochs).map(|epoch| line(epoch, f64::from(10 * epoch))).collect();
    std::fs::write(folder.join(name).join("log.jsonl"), log).expect("the temporary folder is writable");
}

#[test]
fn two_runs_are_drawn_into_one_picture_by_what_was_asked_for() {
    let folder = Folder::new("plot");
    write_run(&folder, "one", 6);
    write_run(&folder, "two", 4);
    let summary = r#"{"metric": {"name": "PCKh@0.5", "value": 60.0, "mean_pose_baseline": 26.7}, "epochs": 6}"#;
    std::fs::write(folder.join("one/summary.json"), summary).expect("the temporary folder is writable");
    let arguments = ["plot", "one", "two", "--label", "DITN", "--label", "HRNet", "--by", "pictures", "--json"];
    let output = succeed(&mut ditn(&folder, &arguments));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(report["series"], serde_json::json!(["DITN", "HRNet"]));
    let [score, accuracy, loss] = [0, 1, 2].map(|chart| &report["charts"][chart]);
    assert_eq!(score["lines"][1]["points"], serde_json::json!([[160.0, 20.0], [320.0, 40.0]]));
    assert_eq!(accuracy["lines"][1]["points"], serde_json::json!([[160.0, 10.0], [320.0, 20.0]]));
    assert_eq!(score["levels"], serde_json::json!([{ "name": "mean pose", "y": 26.7 }]));
    assert_eq!(loss["lines"][0]["points"].as_array().map(Vec::len), Some(6), "a run's loss has every epoch");
    let picture = std::fs::read_to_string(folder.join("plot.svg")).expect("the picture is there");
    for part in ["<svg", "DITN", "HRNet", "PCKh@0.5", "pictures seen", "mean pose", "</svg>"] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
}

#[test]
fn what_cannot_be_drawn_is_named_and_an_older_picture_stays() {
    let folder = Folder::new("plot-faults");
    write_run(&folder, "run", 2);
    write_run(&folder, "new", 0);
    write_run(&folder, "broken", 2);
    std::fs::write(folder.join("broken/log.jsonl"), line(1, 0.0) + "{}\n").expect("the temporary folder is writable");
    std::fs::write(folder.join("plot.svg"), "older").expect("the temporary folder is writable");
    let refused = |arguments: &[&str], message: &str| {
        let output = run(&mut ditn(&folder, arguments));
        assert_eq!(status(&output), 2);
        assert!(errors(&output).contains(message), "{}", errors(&output));
        assert_eq!(std::fs::read_to_string(folder.join("plot.svg")).expect("it is there"), "older");
    };
    refused(&["plot", "nowhere"], "nowhere is neither the folder of a run nor a file");
    refused(&["plot", "run", "new"], "new/log.jsonl has no epoch yet");
    refused(&["plot", "broken"], "cannot read broken/log.jsonl: line 2: missing field");
    refused(&["plot", "run", "--label", "a", "--label", "b"], "2 labels for 1 inputs");
}

#[test]
fn eval_draws_the_worst_people_and_gives_the_curve_that_plot_draws() {
    let folder = Folder::new("worst");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let arguments = ["eval", "--checkpoint", "run/best.safetensors", "--sheet", "worst.png", "--worst", "3", "--json"];
    let output = succeed(&mut ditn(&folder, &arguments));
    let sheet = image::open(folder.join("worst.png")).expect("the sheet is there");
    let all = ["eval", "--checkpoint", "run/best.safetensors", "--sheet", "all.png"];
    succeed(&mut ditn(&folder, &all));
    let all = image::open(folder.join("all.png")).expect("the sheet is there");
    // One row of three people and one of all four; the worst are the same.
    assert_eq!((sheet.height(), 4 * (sheet.width() - 4)), (all.height(), 3 * (all.width() - 4)));
    assert_eq!(sheet.to_rgb8(), all.crop_imm(0, 0, sheet.width(), sheet.height()).to_rgb8());

    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let curve = report["curve"].as_array().expect("a list");
    assert_eq!((curve.len(), &curve[50][1]), (51, &report["metric"]["value"]));
    std::fs::write(folder.join("scores.json"), &output.stdout).expect("the temporary folder is writable");
    let output = succeed(&mut ditn(&folder, &["plot", "scores.json", "--json"]));
    let plotted: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(plotted["charts"][0]["title"], "PCKh by threshold");
    assert_eq!(plotted["charts"][0]["lines"][0]["points"], report["curve"]);
}

#[test]
fn what_score_prints_is_drawn_by_threshold_and_ap_has_no_curve() {
    let folder = Folder::new("plot-scores");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("the folder is writable");
    let curve = r#""curve": [[0.0, 1.0], [0.5, 60.0]]"#;
    write("pckh.json", &format!(r#"{{"pckh@0.5": {{"head": 1.0}}, {curve}}}"#));
    write("pck.json", &format!(r#"{{"pck@0.2": {{"mean": 1.0}}, {curve}}}"#));
    let output = succeed(&mut ditn(&folder, &["plot", "pckh.json", "pck.json", "--json"]));
    let plotted: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    for (chart, title) in ["PCKh by threshold", "PCK by threshold"].into_iter().enumerate() {
        assert_eq!(plotted["charts"][chart]["title"], title);
        assert_eq!(plotted["charts"][chart]["lines"][0]["points"], serde_json::json!([[0.0, 1.0], [0.5, 60.0]]));
    }
    write("ap.json", r#"{"AP": 0.4}"#);
    write("else.json", r#"{"people": []}"#);
    for (name, message) in [("ap.json", "AP has no curve by threshold"), ("else.json", "is not what `ditn eval")] {
        let output = run(&mut ditn(&folder, &["plot", name]));
        assert_eq!(status(&output), 2);
        assert!(errors(&output).contains(message), "{}", errors(&output));
    }
}

#[test]
fn compare_scores_two_networks_on_the_same_people_and_draws_them_side_by_side() {
    let folder = Folder::new("compare");
    succeed(&mut train(&folder, &["--out", "a", "--set", "train.epochs=1", "--set", "model.kind=hrnet"]));
    succeed(&mut train(&folder, &["--out", "b", "--set", "train.epochs=2"]));
    let arguments =
        ["compare", "a/best.safetensors", "b/best.safetensors", "--sheet", "sheet.png", "--order", "gain", "--json"];
    let output = succeed(&mut ditn(&folder, &arguments));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    for (number, run) in ["a", "b"].into_iter().enumerate() {
        let path = format!("{run}/best.safetensors");
        let output = succeed(&mut ditn(&folder, &["eval", "--checkpoint", &path, "--json"]));
        let alone: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        assert_eq!(report["networks"][number]["scores"], alone["scores"], "{run}");
    }
    let nearer = [0, 1].map(|number| report["nearer"][number].as_u64().expect("a count"));
    assert!(report["people"] == 4 && nearer[0] + nearer[1] <= 4, "{report}");
    assert!(folder.join("sheet.png").exists());
}

#[test]
fn predict_explains_each_person_in_a_picture_of_its_own() {
    let folder = Folder::new("explain");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    image::RgbImage::from_pixel(60, 60, image::Rgb([90; 3])).save(folder.join("one.png")).expect("it is writable");
    let boxes = r#"[{"picture": "one.png", "box": [5, 5, 20, 40]}, {"picture": "one.png", "box": [30, 5, 20, 40]}]"#;
    std::fs::write(folder.join("boxes.json"), boxes).expect("the temporary folder is writable");
    let predict = |more: &[&str]| {
        let arguments =
            ["predict", "--checkpoint", "run/best.safetensors", "one.png", "--boxes", "boxes.json", "--json"];
        succeed(ditn(&folder, &arguments).args(more)).stdout
    };
    let plain = predict(&[]);
    assert!(!folder.join("predictions/one_explained_1.png").exists());
    assert_eq!(predict(&["--explain"]), plain, "looking changes nothing");
    for person in 1..=2 {
        let path = folder.join(&format!("predictions/one_explained_{person}.png"));
        let sheet = image::open(path).expect("the sheet is there");
        // A row of summaries, three of 15 bones, three of 16 joints; 64 pixels enlarged to 192.
        assert!(sheet.width() > 6 * 192 && sheet.height() > 7 * 192, "{}x{}", sheet.width(), sheet.height());
    }
}

#[test]
fn a_run_writes_events_for_tensorboard_unless_told_not_to() {
    let folder = Folder::new("events");
    let events = |run: &str| {
        let files = std::fs::read_dir(folder.join(run)).expect("the run's folder is there");
        let names = files.map(|file| file.expect("it can be read").file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("events.out.tfevents.")).collect::<Vec<String>>()
    };
    succeed(&mut train(&folder, &["--out", "with", "--set", "train.epochs=2"]));
    let [name] = events("with").try_into().expect("one file a process");
    let bytes = std::fs::read(folder.join("with").join(name)).expect("it can be read");
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    for tag in ["brain.Event:2", "step/loss", "step/learning_rate", "epoch/PCKh@0.5", "predictions"] {
        assert!(holds(tag), "{tag}");
    }
    succeed(&mut train(&folder, &["--out", "without", "--set", "train.epochs=1", "--set", "output.tensorboard=false"]));
    assert!(events("without").is_empty());
}
