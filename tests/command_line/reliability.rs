//! What goes wrong around a run, a full disk, a picture that vanishes, another run in its folder, loses nothing.

use std::process::Stdio;

use crate::common::skipped;
use crate::harness::{
    Folder, bits, ditn, ditn_on_a_full_disk, errors, refused, run, status, succeed, train, wait_for_a_checkpoint,
};

#[cfg(unix)]
#[test]
fn a_disk_that_fills_up_leaves_the_last_checkpoint_and_the_run_goes_on_when_there_is_room() {
    let folder = Folder::new("full-disk");
    // A rate that does not depend on where the run ends.
    let rate = ["--set", "schedule.milestones=[]"];
    succeed(train(&folder, &["--out", "whole", "--set", "train.epochs=2"]).args(rate));
    succeed(train(&folder, &["--out", "run", "--set", "train.epochs=1"]).args(rate));
    let before = bits(&folder.join("run/last.safetensors"));

    let longer = ["train", "--resume", "run", "--set", "train.epochs=2"];
    refused(&mut ditn_on_a_full_disk(&folder, 32, &longer), &["cannot write the checkpoint run/last.safetensors"]);
    assert!(before == bits(&folder.join("run/last.safetensors")), "the checkpoint was lost");
    let half = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".new");
    let entries = std::fs::read_dir(folder.join("run")).unwrap();
    assert!(entries.map(|entry| entry.unwrap().file_name()).all(|name| !half(&name)), "half a file was left");

    succeed(&mut ditn(&folder, &longer));
    assert!(bits(&folder.join("whole/last.safetensors")) == bits(&folder.join("run/last.safetensors")));
}

#[test]
fn a_second_run_in_the_folder_of_a_first_is_refused_and_the_first_goes_on() {
    let folder = Folder::new("two-runs");
    let out = folder.join("run");
    let mut first =
        train(&folder, &["--out", "run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    wait_for_a_checkpoint(&out, &mut first);
    refused(&mut ditn(&folder, &["train", "--resume", "run"]), &["another process is writing to run"]);
    refused(&mut train(&folder, &["--out", "run"]), &["another process is writing to run"]);
    assert!(first.wait().expect("it is our child").success());
    assert!(out.join("summary.json").exists());
}

#[cfg(unix)]
#[test]
fn a_picture_that_vanishes_during_a_run_is_named_and_the_run_goes_on_when_it_is_back() {
    let Some(data) = std::env::var_os("DITN_DATA") else {
        skipped("DITN_DATA is not set");
        return;
    };
    let folder = Folder::new("vanishes");
    let (from, to) = (std::path::Path::new(&data).join("lsp"), folder.join("data/lsp"));
    std::fs::create_dir_all(to.join("images")).unwrap();
    std::os::unix::fs::symlink(from.join("joints.mat"), to.join("joints.mat")).unwrap();
    for entry in std::fs::read_dir(from.join("images")).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), to.join("images").join(entry.file_name())).unwrap();
    }
    #[rustfmt::skip]
    let options = [
        "--data", "data", "--set", "data.kind=lsp", "--set", "data.people=12", "--set", "train.pictures_per_epoch=0",
        "--set", "train.epochs=8",
    ];
    succeed(train(&folder, &options).args(["--out", "whole"]));

    let mut child = train(&folder, &options).args(["--out", "run"]).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_for_a_checkpoint(&folder.join("run"), &mut child);
    let picture = to.join("images/im0003.jpg");
    std::fs::rename(&picture, folder.join("elsewhere.jpg")).unwrap();
    let output = child.wait_with_output().expect("it is our child");
    assert_eq!(status(&output), 2, "{}", errors(&output));
    assert!(errors(&output).contains("im0003.jpg"), "{}", errors(&output));

    let resume = ["train", "--resume", "run"];
    let again = run(&mut ditn(&folder, &resume));
    assert!(status(&again) == 2 && errors(&again).contains("im0003.jpg"), "{}", errors(&again));
    std::fs::rename(folder.join("elsewhere.jpg"), &picture).unwrap();
    succeed(&mut ditn(&folder, &resume));
    assert!(bits(&folder.join("whole/last.safetensors")) == bits(&folder.join("run/last.safetensors")));
}

#[test]
fn nothing_is_said_where_nothing_is_wrong_though_there_is_no_runtime_folder() {
    let folder = Folder::new("quiet");
    let output = succeed(ditn(&folder, &["devices"]).env_remove("WAYLAND_DISPLAY"));
    assert_eq!(errors(&output), "");
}

#[cfg(unix)]
#[test]
fn results_go_through_pipes_and_links() {
    use std::os::unix::fs::FileTypeExt;

    let folder = Folder::new("pipes");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let eval = |results: &str| {
        ditn(
            &folder,
            &["eval", "--checkpoint", "run/last.safetensors", "--set", "evaluate.people=2", "--results", results],
        )
    };
    succeed(&mut eval("file.json"));
    let expected = std::fs::read(folder.join("file.json")).unwrap();

    std::fs::create_dir(folder.join("other")).unwrap();
    std::os::unix::fs::symlink("other/file.json", folder.join("link.json")).unwrap();
    succeed(&mut eval("link.json"));
    assert!(folder.join("link.json").is_symlink());
    assert_eq!(std::fs::read(folder.join("other/file.json")).unwrap(), expected);

    let pipe = folder.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut writer = eval("pipe").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(std::fs::read(&pipe).unwrap(), expected);
    assert!(writer.wait().unwrap().success());
    assert!(std::fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());

    // Both documents, one after the other.
    let output = succeed(eval("/dev/stdout").arg("--json"));
    assert!(output.stdout.starts_with(&expected) && output.stdout.len() > expected.len());
}
