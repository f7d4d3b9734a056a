//! A run that goes on with another configuration ends where it says, or is refused with both values.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ditn::train::checkpoint;

use crate::harness::{Folder, bits, ditn, errors, json, log, refused, step_of, succeed, train};

/// `ditn train --resume run` with other values.
fn resume(folder: &Folder, overrides: &[&str]) -> Command {
    let mut command = ditn(folder, &["train", "--resume", "run"]);
    command.args(overrides.iter().flat_map(|value| ["--set", value]));
    command
}

/// Starts a run in `run` that does not end soon, and kills it at its first checkpoint at or after `step`.
fn kill_at(step: u64, folder: &Folder, command: &mut Command) {
    let mut child = command.stderr(Stdio::null()).spawn().expect("it starts");
    let start = Instant::now();
    while step_of(&folder.join("run/last.safetensors")).is_none_or(|saved| saved < step) {
        assert!(start.elapsed() < Duration::from_secs(300), "no checkpoint after five minutes");
        assert!(child.try_wait().expect("it is our child").is_none(), "it ended too early");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("it is our child");
    child.wait().expect("it is our child");
}

fn column(folder: &Folder, name: &str) -> Vec<Option<u64>> {
    log(&folder.join("run")).iter().map(|line| line[name].as_u64()).collect()
}

#[test]
fn another_batch_trains_the_epochs_that_are_left() {
    let folder = Folder::new("resume-batch");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let output = succeed(&mut resume(&folder, &["train.epochs=3", "train.batch=4"]));
    assert!(errors(&output).contains("train.batch was 2 and is 4 now"), "{}", errors(&output));
    assert_eq!(column(&folder, "pictures"), [Some(12), Some(24), Some(36)]);
    assert_eq!(column(&folder, "step"), [Some(6), Some(9), Some(12)]);
    assert_eq!(json(&folder.join("run/summary.json"))["epochs"], 3);
    // Back to the first batch, for one epoch more.
    succeed(&mut resume(&folder, &["train.epochs=4", "train.batch=2"]));
    assert_eq!(column(&folder, "step"), [Some(6), Some(9), Some(12), Some(18)]);
}

#[test]
fn an_epoch_ends_though_batch_and_length_changed_in_its_middle() {
    let folder = Folder::new("resume-middle");
    kill_at(8, &folder, &mut train(&folder, &["--out", "run", "--set", "train.pictures_per_epoch=4000"]));
    let seen = 2 * step_of(&folder.join("run/last.safetensors")).expect("a whole checkpoint");
    succeed(&mut resume(&folder, &["train.pictures_per_epoch=13", "train.batch=3", "train.epochs=2"]));
    assert_eq!(column(&folder, "pictures"), [Some(seen), Some(seen + 12)]);
    assert_eq!(json(&folder.join("run/summary.json"))["epochs"], 2);
}

#[test]
fn a_run_that_has_more_epochs_than_it_is_to_have_is_done_and_says_so() {
    let folder = Folder::new("resume-fewer");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=3"]));
    let before = (bits(&folder.join("run/last.safetensors")), json(&folder.join("run/summary.json")));
    let output = succeed(&mut resume(&folder, &["train.epochs=2"]));
    assert!(errors(&output).contains("3 epochs are done, and the configuration asks for 2"), "{}", errors(&output));
    assert!(before == (bits(&folder.join("run/last.safetensors")), json(&folder.join("run/summary.json"))));
    assert_eq!(column(&folder, "epoch").len(), 3);
}

#[test]
fn an_epoch_beyond_the_last_is_closed_scored_and_summarised() {
    let folder = Folder::new("resume-open");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    kill_at(8, &folder, &mut resume(&folder, &["train.epochs=1000", "evaluate.every=1000"]));
    let epochs = checkpoint::load(&folder.join("run/last.safetensors")).expect("a checkpoint").header.progress;
    succeed(&mut resume(&folder, &["train.epochs=1"]));
    let log = log(&folder.join("run"));
    let summary = json(&folder.join("run/summary.json"));
    assert_eq!(log.len() as u64, epochs.epochs + u64::from(epochs.epoch.steps > 0));
    assert_eq!(summary["epochs"], log.len());
    let last = checkpoint::load(&folder.join("run/last.safetensors")).expect("a checkpoint").header.progress;
    let score = last.score.expect("it was scored");
    assert_eq!((score.epoch, &score.value.into()), (log.len() as u64, &summary["metric"]["value"]));
}

#[test]
fn half_precision_can_begin_and_end_in_the_middle_of_a_run() {
    let folder = Folder::new("resume-precision");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let mut half = resume(&folder, &["train.epochs=2", "train.precision=f16"]);
    let output = crate::harness::run(&mut half);
    if errors(&output).contains("16-bit") {
        crate::common::skipped("the adapter has no 16-bit floats");
        return;
    }
    succeed(&mut half);
    succeed(&mut resume(&folder, &["train.epochs=3", "train.precision=f32"]));
    assert_eq!(column(&folder, "epoch").len(), 3);
}

#[test]
fn another_kind_of_people_is_refused_before_they_are_looked_for() {
    let folder = Folder::new("resume-kind");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let before = bits(&folder.join("run/last.safetensors"));
    let kinds = ["data.kind was \"synthetic\" and is \"coco\" now", "--set model.init=run/last.safetensors"];
    refused(&mut resume(&folder, &["data.kind=coco", "data.root=nowhere"]), &kinds);
    assert!(before == bits(&folder.join("run/last.safetensors")));
}

#[test]
fn a_checkpoint_whose_steps_do_not_fit_is_refused() {
    let folder = Folder::new("resume-steps");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let path = folder.join("run/last.safetensors");
    let mut damaged = checkpoint::load(&path).expect("a checkpoint");
    damaged.header.progress.step = u64::MAX;
    checkpoint::save(&path, &damaged).expect("the folder is writable");
    refused(&mut resume(&folder, &["train.epochs=2"]), &["run/last.safetensors", "18446744073709551615 steps"]);
}

#[test]
fn a_frozen_backbone_stays_to_the_bit_and_the_heads_learn() {
    let folder = Folder::new("frozen");
    succeed(&mut train(&folder, &["--out", "a", "--set", "train.epochs=1"]));
    let frozen = ["--set", "model.init=a/last.safetensors", "--set", "train.freeze=backbone", "--set", "seed=5"];
    let epochs = |count: &str| ["--set", "schedule.milestones=[]", "--set", count].map(String::from);
    let said = succeed(train(&folder, &frozen).args(epochs("train.epochs=2")).args(["--out", "whole"]));
    assert!(errors(&said).contains("the backbone stays as it is"), "{}", errors(&said));
    let (before, after) = (bits(&folder.join("a/last.safetensors")), bits(&folder.join("whole/last.safetensors")));
    let heads = ["joint_decoder.", "bone_decoder.", "transfer."];
    let is_head = |name: &str| heads.iter().any(|head| name.starts_with(head));
    let network = |name: &&String| !name.starts_with("optimizer.");
    for name in before.keys().filter(network) {
        assert_eq!(before[name] == after[name], !is_head(name), "{name}");
    }
    assert!(after.keys().all(|name| name.strip_prefix("optimizer.m.").is_none_or(is_head)));
    let parameters = |run: &str| json(&folder.join(run).join("summary.json"))["parameters"].clone();
    assert_eq!(parameters("a"), parameters("whole"), "those of the network, not of what is trained");

    succeed(train(&folder, &frozen).args(epochs("train.epochs=1")).args(["--out", "run"]));
    refused(&mut resume(&folder, &["train.freeze=none"]), &["train.freeze was \"backbone\" and is \"none\" now"]);
    succeed(&mut resume(&folder, &["train.epochs=2"]));
    assert!(after == bits(&folder.join("run/last.safetensors")), "a resume differs");
    let picture = ["predict", "--checkpoint", "run/best.safetensors", "one.png", "--json"];
    image::RgbImage::new(64, 64).save(folder.join("one.png")).expect("the folder is writable");
    succeed(&mut ditn(&folder, &picture));
}

#[test]
fn a_run_that_accumulates_counts_steps_of_all_its_batches_and_goes_on_to_the_same_bits() {
    let folder = Folder::new("accumulates");
    let accumulates = ["--set", "train.accumulate=3", "--set", "schedule.milestones=[]", "--set", "train.epochs=4"];
    succeed(train(&folder, &["--out", "whole"]).args(accumulates));
    // 12 pictures an epoch are 2 steps of 3 batches of 2.
    let lines = log(&folder.join("whole"));
    let counts: Vec<_> = lines.iter().map(|line| (line["step"].as_u64(), line["pictures"].as_u64())).collect();
    assert_eq!(counts, [(2, 12), (4, 24), (6, 36), (8, 48)].map(|(step, pictures)| (Some(step), Some(pictures))));

    // A checkpoint comes every 4 steps.
    kill_at(4, &folder, train(&folder, &["--out", "run"]).args(accumulates));
    succeed(&mut resume(&folder, &[]));
    assert!(bits(&folder.join("whole/last.safetensors")) == bits(&folder.join("run/last.safetensors")));
    assert_eq!(lines, log(&folder.join("run")));

    let none = ["--set", "train.accumulate=0"];
    refused(train(&folder, &["--out", "none"]).args(none), &["`train.accumulate` = 0: must be at least 1"]);
    let many = ["--set", "train.accumulate=7"];
    let parts = ["`train.pictures_per_epoch` = 12", "must be at least train.batch times train.accumulate"];
    refused(train(&folder, &["--out", "many"]).args(many), &parts);
}
