//! Runs that end, stop, die and go on.

use std::process::Stdio;

use ditn::train::checkpoint;

use crate::harness::{
    Folder, bits, ditn, errors, json, log, run, status, step_of, succeed, train, wait_for_a_checkpoint,
};

/// Steps of the small configuration.
const STEPS: u64 = 30;

#[test]
fn a_run_leaves_log_summary_sheets_and_checkpoints() {
    let folder = Folder::new("leaves");
    let output = succeed(train(&folder, &["--json"]).stdin(Stdio::null()));
    let out = folder.join("runs/small-001");
    let summary = json(&out.join("summary.json"));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(printed, summary);

    assert_eq!(summary["metric"]["name"], "PCKh@0.5");
    for (key, value) in [("value", &summary["metric"]), ("mean_pose_baseline", &summary["metric"])] {
        assert!((0.0..=100.0).contains(&value[key].as_f64().expect("a number")), "{key}: {summary}");
    }
    assert_eq!(summary["epochs"], 5);
    assert!(summary["seconds"].as_f64().is_some_and(|s| s > 0.0));
    assert!(summary["startup_seconds"].as_f64().is_some_and(|s| s > 0.0));
    assert!(summary["pictures_per_second"].as_f64().is_some_and(|s| s > 0.0));
    assert!(summary["waiting_share"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)), "{summary}");
    assert!(summary["adapter"]["name"].as_str().is_some_and(|name| !name.is_empty()));

    let log = log(&out);
    assert_eq!(log.len(), 5);
    let metrics: Vec<bool> = log.iter().map(|line| line.get("metric").is_some()).collect();
    assert_eq!(metrics, [false, true, false, true, true], "every second epoch and the last are scored");
    assert_eq!(log[4]["metric"]["value"], summary["metric"]["value"]);
    for line in &log {
        let accuracy = line["training_accuracy"].as_f64();
        assert!(accuracy.is_some_and(|accuracy| (0.0..=100.0).contains(&accuracy)), "{line}");
    }
    assert_eq!((&log[4]["step"], &log[4]["pictures"]), (&STEPS.into(), &(2 * STEPS).into()));
    for picture in ["sheet.png", "sheets/epoch_003.png"] {
        let sheet = image::open(out.join(picture)).unwrap_or_else(|error| panic!("{picture}: {error}"));
        assert!(sheet.width() > 64 && sheet.height() > 64, "{picture} is {}x{}", sheet.width(), sheet.height());
    }

    let last = out.join("last.safetensors");
    let arguments = ["eval", "--results", "again.json", "--checkpoint"];
    succeed(ditn(&folder, &arguments).arg(&last));
    assert_eq!(json(&out.join("results.json")), json(&folder.join("again.json")), "the joints of the last network");

    let last = checkpoint::load(&last).expect("a checkpoint");
    assert_eq!(last.header.progress.step, STEPS);
    let parameters: usize = last
        .state
        .iter()
        .filter(|(name, _)| !name.starts_with("optimizer.") && !name.contains("running_"))
        .map(|(_, tensor)| tensor.data.len())
        .sum();
    assert_eq!(summary["parameters"], parameters);
    let best = checkpoint::load(&out.join("best.safetensors")).expect("a checkpoint");
    let best_logged = log.iter().filter_map(|line| line["metric"]["value"].as_f64()).fold(f64::MIN, f64::max);
    assert_eq!(best.header.progress.score.map(|score| score.value), Some(best_logged));
}

#[test]
fn two_runs_of_one_seed_are_identical_to_the_bit_and_another_seed_is_not() {
    let folder = Folder::new("seeds");
    for (out, seed) in [("a", "seed=1"), ("b", "seed=1"), ("c", "seed=2")] {
        succeed(&mut train(&folder, &["--out", out, "--set", seed, "--set", "train.epochs=2"]));
    }
    let last = |out: &str| bits(&folder.join(out).join("last.safetensors"));
    assert!(last("a") == last("b"), "two runs of seed 1 differ");
    assert!(last("a") != last("c"), "the seed changes nothing");
    assert_eq!(log(&folder.join("a")), log(&folder.join("b")));
}

#[test]
fn a_killed_run_goes_on_as_if_it_had_never_stopped() {
    let folder = Folder::new("killed");
    succeed(&mut train(&folder, &["--out", "whole"]));

    let killed = folder.join("killed");
    let mut child = train(&folder, &["--out", "killed"]).stderr(Stdio::null()).spawn().expect("it starts");
    wait_for_a_checkpoint(&killed, &mut child);
    child.kill().expect("it is our child");
    child.wait().expect("it is our child");
    let step = step_of(&killed.join("last.safetensors")).expect("a whole checkpoint, whenever it was killed");
    assert!(step < STEPS, "it was killed too late to test anything");

    succeed(&mut ditn(&folder, &["train", "--resume", "killed"]));
    for checkpoint in ["last.safetensors", "best.safetensors"] {
        let (whole, resumed) = (bits(&folder.join("whole").join(checkpoint)), bits(&killed.join(checkpoint)));
        assert!(whole == resumed, "{checkpoint} differs after a resume at step {step}");
    }
    assert_eq!(log(&folder.join("whole")), log(&killed), "resumed at step {step}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_and_stops_with_status_130_and_the_run_can_go_on() {
    let folder = Folder::new("interrupt");
    succeed(&mut train(&folder, &["--out", "whole"]));

    let out = folder.join("stopped");
    let mut child = train(&folder, &["--out", "stopped"]).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_for_a_checkpoint(&out, &mut child);
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("every Unix has kill").success());
    let output = child.wait_with_output().expect("it is our child");
    assert_eq!(status(&output), 130, "{}", errors(&output));
    assert!(errors(&output).contains("ditn train --resume stopped"), "{}", errors(&output));
    assert!(!out.join("summary.json").exists());

    succeed(&mut ditn(&folder, &["train", "--resume", "stopped"]));
    let last = |out: &str| bits(&folder.join(out).join("last.safetensors"));
    assert!(last("whole") == last("stopped"));
}

#[test]
fn a_finished_run_is_left_as_it_is_by_another_resume() {
    let folder = Folder::new("finished");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let before = (bits(&folder.join("run/last.safetensors")), json(&folder.join("run/summary.json")));
    succeed(&mut ditn(&folder, &["train", "--resume", "run"]));
    assert!(before == (bits(&folder.join("run/last.safetensors")), json(&folder.join("run/summary.json"))));
}

/// Eight people without variation, of whom every joint is in the picture; the score is theirs. 16 channels, as the maps
/// of 16 joints cannot all be told apart through fewer.
const EIGHT: &str = r#"
name = "eight"
seed = 3
[data]
people = 8
[data.synthetic]
truncation = 0
other_people = 0
occluders = 0
[data.augmentation]
scale = 0
rotation_probability = 0
flip_probability = 0
[model]
width = 16
stem = 8
blocks = 1
modules = [1, 1, 1]
weights = "kaiming-uniform"
[train]
size = [96, 96]
batch = 8
epochs = 15
pictures_per_epoch = 80
[loss]
joints = "mse"
sigma = 1.5
[optimizer]
learning_rate = 3e-3
[schedule]
warmup_steps = 20
milestones = [{ at = 0.7, factor = 0.3 }]
[evaluate]
every = 15
split = "train"
people = 8
flip_test = false
"#;

#[test]
fn a_network_fits_eight_people_completely() {
    let folder = Folder::new("eight");
    std::fs::write(folder.join("eight.toml"), EIGHT).expect("the temporary folder is writable");
    succeed(&mut ditn(&folder, &["train", "eight.toml", "--out", "run"]));
    let summary = json(&folder.join("run/summary.json"));
    assert_eq!(summary["metric"]["value"], 100.0, "{summary}");
    assert!(summary["metric"]["mean_pose_baseline"].as_f64().is_some_and(|value| value < 60.0), "{summary}");
    let accuracies: Vec<f64> =
        log(&folder.join("run")).iter().filter_map(|line| line["training_accuracy"].as_f64()).collect();
    assert!(accuracies.first().is_some_and(|first| *first < 60.0), "{accuracies:?}");
    assert!(accuracies.last().is_some_and(|last| *last > 95.0), "{accuracies:?}");
}

#[test]
fn evaluating_the_best_checkpoint_gives_its_logged_score() {
    let folder = Folder::new("evaluate");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=2"]));
    let output = succeed(&mut ditn(&folder, &["eval", "--checkpoint", "run/best.safetensors", "--json"]));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(report["metric"], json(&folder.join("run/summary.json"))["metric"]);
    assert_eq!(report["people"], 4);
}

#[test]
fn numbers_that_run_away_stop_the_run_with_step_pictures_and_the_last_good_checkpoint() {
    let folder = Folder::new("runaway");
    let command = &mut train(&folder, &["--out", "run", "--set", "optimizer.learning_rate=1e30"]);
    let output = run(command);
    let message = errors(&output);
    assert_eq!(status(&output), 1, "{message}");
    assert!(message.contains("not finite at step "), "{message}");
    assert!(message.contains("pictures of that step: synthetic"), "{message}");
    assert!(message.contains("no checkpoint had been written yet"), "{message}");
    assert!(!folder.join("run/last.safetensors").exists());

    succeed(&mut train(&folder, &["--out", "good", "--set", "train.epochs=1"]));
    let before = bits(&folder.join("good/last.safetensors"));
    let output = run(&mut ditn(
        &folder,
        &["train", "--resume", "good", "--set", "train.epochs=2", "--set", "optimizer.learning_rate=1e30"],
    ));
    assert_eq!(status(&output), 1, "{}", errors(&output));
    assert!(errors(&output).contains("the last good checkpoint is good/last.safetensors"), "{}", errors(&output));
    assert!(before == bits(&folder.join("good/last.safetensors")), "the good checkpoint was lost");
}

#[test]
fn an_ablation_trains_each_row_and_seed_once_and_prints_them_beside_the_papers_figures() {
    let folder = Folder::new("ablation");
    #[rustfmt::skip]
    let ablation = |more: &[&str]| {
        let mut command = ditn(&folder, &[
            "ablation", "table7", "--budget", "16", "--seeds", "2", "--out", "out", "--json", "--set", "model.width=4",
            "--set", "model.stem=4", "--set", "train.size=[64, 64]", "--set", "train.batch=2", "--set", "train.epochs=2",
            "--set", "evaluate.people=4",
        ]);
        command.args(more);
        command
    };
    let output = succeed(&mut ablation(&[]));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let rows = report["rows"].as_array().expect("a list");
    assert_eq!(rows.iter().map(|row| row["paper"].as_f64()).collect::<Vec<_>>(), [88.813, 88.649, 88.72].map(Some));
    for (row, name) in rows.iter().zip(["lambda_0.10", "lambda_0.05", "lambda_0.15"]) {
        let scores = [1, 2]
            .map(|seed| json(&folder.join(&format!("out/{name}/seed_{seed}/summary.json")))["metric"]["value"].clone());
        assert_eq!(row["scores"], serde_json::json!(scores));
    }
    let table = std::fs::read_to_string(folder.join("out/table7.md")).expect("the table is there");
    assert!(table.contains("| lambda = 0.15 |") && table.contains("synthetic, 16 pictures a run"), "{table}");

    let checkpoint = folder.join("out/lambda_0.05/seed_2/last.safetensors");
    let written = || checkpoint.metadata().and_then(|about| about.modified()).expect("the checkpoint is there");
    let before = written();
    // One run was stopped before its end, as it were: it is finished again, and only it.
    std::fs::remove_file(folder.join("out/lambda_0.10/seed_1/summary.json")).expect("it is there");
    let again = succeed(&mut ablation(&[]));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&again.stdout).expect("one JSON document"), report);
    assert_eq!(written(), before, "a finished run was trained again");

    let output = run(&mut ablation(&["--set", "optimizer.learning_rate=0.5"]));
    assert_eq!(status(&output), 2);
    assert!(errors(&output).contains("holds a run of another configuration"), "{}", errors(&output));
    let output = run(&mut ditn(&folder, &["ablation", "table5", "--set", "model.kind=hrnet"]));
    assert_eq!(status(&output), 2);
    assert!(errors(&output).contains("table5 needs a configuration whose model.kind is one of ditn"));
}

#[test]
fn score_prints_one_json_document_with_the_ten_numbers_of_coco() {
    let folder = Folder::new("score-json");
    let oks = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oks");
    let mut command = ditn(&folder, &["score", "coco", "--json", "--truth"]);
    command.arg(oks.join("truth.json")).arg("--results").arg(oks.join("results.json"));
    let scores: serde_json::Value = serde_json::from_slice(&succeed(&mut command).stdout).expect("one JSON document");
    let names: Vec<&str> = scores.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(names, ["AP", "AP50", "AP75", "APl", "APm", "AR", "AR50", "AR75", "ARl", "ARm"]);
}
