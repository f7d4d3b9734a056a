//! `ditn plot`

use super::{Folder, ditn, errors, run, status, succeed};

/// A log line as runs write it; every second epoch is scored.
fn line(epoch: u32, score: f64) -> String {
    let metric = if epoch.is_multiple_of(2) {
        format!(r#","metric":{{"name":"PCKh@0.5","value":{score}}}"#)
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
    let [score, loss] = [&report["charts"][0], &report["charts"][1]];
    assert_eq!(score["lines"][1]["points"], serde_json::json!([[160.0, 20.0], [320.0, 40.0]]));
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
