//! What is wrong with the input ends with exit status 2, one clear message, and nothing lost.

use std::path::Path;

use crate::common::skipped;
use crate::harness::{Folder, bits, ditn, errors, log, refused, succeed, train};

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    let folder = Folder::new("unknown-key");
    std::fs::write(folder.join("a.toml"), "seed = 1\n[train]\nbach = 4\n").unwrap();
    refused(&mut ditn(&folder, &["train", "a.toml"]), &["a.toml, line 3", "`train.bach`", "did you mean `batch`?"]);
    refused(&mut train(&folder, &["--set", "train.bach=4"]), &["--set train.bach=4", "did you mean `batch`?"]);
    assert!(!folder.join("runs").exists(), "a refused run leaves no folder");
}

#[test]
fn a_wrong_typed_key_is_refused_with_line_and_expectation() {
    let folder = Folder::new("wrong-type");
    std::fs::write(folder.join("a.toml"), "[train]\nbatch = \"many\"\n").unwrap();
    refused(&mut ditn(&folder, &["train", "a.toml"]), &["a.toml, line 2", "`train.batch`", "expected usize"]);
}

#[test]
fn a_value_that_breaks_a_rule_is_refused_with_the_rule() {
    let folder = Folder::new("rule");
    refused(&mut train(&folder, &["--set", "train.size=[65, 64]"]), &["`train.size` = [65, 64]", "multiples of 32"]);
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let folder = Folder::new("no-file");
    refused(&mut ditn(&folder, &["train", "nowhere.toml"]), &["nowhere.toml", "cannot read"]);
}

#[test]
fn a_dump_that_is_none_and_a_variant_that_no_kernel_has_are_refused() {
    let folder = Folder::new("verify");
    let dump = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dumps/hrnet_coco.safetensors");
    refused(&mut ditn(&folder, &["verify", dump, "--variant", "fast"]), &["no kernel has a variant 'fast'", "plain"]);
    std::fs::write(folder.join("a.safetensors"), "no dump").unwrap();
    refused(&mut ditn(&folder, &["verify", "a.safetensors"]), &["a.safetensors"]);
    succeed(&mut ditn(&folder, &["verify", dump, "--variant", "plain"]));
}

#[test]
fn a_missing_data_folder_is_named_and_without_one_the_ways_to_give_it_are() {
    let folder = Folder::new("no-data");
    let lsp = ["--set", "data.kind=lsp"];
    refused(&mut train(&folder, &lsp), &["--set data.root=DIR", "DITN_DATA"]);
    refused(&mut ditn(&folder, &["ablation", "table5", "--data", "lsp"]), &["--set data.root=DIR", "DITN_DATA"]);
    refused(&mut ditn(&folder, &["ablation", "table5", "--data", "."]), &[". is a folder", "--set data.root=."]);
    refused(train(&folder, &lsp).args(["--data", "nowhere"]), &["nowhere/lsp", "not found"]);
    refused(train(&folder, &lsp).env("DITN_DATA", "elsewhere"), &["elsewhere/lsp", "not found"]);
    assert!(!folder.join("runs").exists(), "a refused run leaves no folder");
}

#[cfg(unix)]
#[test]
fn a_broken_picture_in_the_set_is_named_and_the_steps_before_it_are_kept() {
    let Some(data) = std::env::var_os("DITN_DATA") else {
        skipped("DITN_DATA is not set");
        return;
    };
    let folder = Folder::new("broken-picture");
    let (from, to) = (Path::new(&data).join("lsp"), folder.join("data/lsp"));
    std::fs::create_dir_all(to.join("images")).unwrap();
    std::os::unix::fs::symlink(from.join("joints.mat"), to.join("joints.mat")).unwrap();
    for entry in std::fs::read_dir(from.join("images")).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), to.join("images").join(entry.file_name())).unwrap();
    }
    let broken = to.join("images/im0003.jpg");
    std::fs::remove_file(&broken).unwrap();
    std::fs::write(&broken, "not a picture").unwrap();
    // Four people in batches of two: the broken one comes in the first epoch, or in its first half.
    #[rustfmt::skip]
    let command = &mut train(&folder, &[
        "--out", "run", "--data", "data", "--set", "data.kind=lsp", "--set", "data.people=4",
        "--set", "train.pictures_per_epoch=0",
    ]);
    refused(command, &["im0003.jpg", "broken picture"]);

    // Left out, the run ends, counts one place an epoch, and says with -v whose.
    let skip = ["--set", "data.broken=skip"];
    #[rustfmt::skip]
    let mut options = vec![
        "--data", "data", "--set", "data.kind=lsp", "--set", "data.people=4", "--set", "train.pictures_per_epoch=0",
        "--set", "train.epochs=2", "--set", "evaluate.people=3",
    ];
    let said = succeed(train(&folder, &options).args(skip).args(["--out", "skipping", "-v"]));
    let skipped: Vec<_> = log(&folder.join("skipping")).iter().map(|line| line["skipped"].as_u64()).collect();
    assert_eq!(skipped, [Some(1), Some(1)]);
    assert!(errors(&said).contains("could not be used: 1"), "{}", errors(&said));
    assert!(errors(&said).contains("im0003.jpg"), "{}", errors(&said));
    // To be scored it counts as not found, and where nobody is left the run is refused.
    options.extend(["--set", "evaluate.split=train", "--set", "evaluate.people=4"]);
    let said = succeed(train(&folder, &options).args(skip).args(["--out", "scored"]));
    assert!(errors(&said).contains("1 of the 4 people"), "{}", errors(&said));
    for number in [1, 2, 4] {
        let picture = to.join(format!("images/im000{number}.jpg"));
        std::fs::remove_file(&picture).unwrap();
        std::fs::write(&picture, "not a picture").unwrap();
    }
    refused(train(&folder, &options).args(skip).args(["--out", "none"]), &["none of the 4 people", "broken picture"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = Folder::new("unwritable");
    std::fs::write(folder.join("file"), "").unwrap();
    refused(&mut train(&folder, &["--out", "file/run"]), &["file/run", "cannot write to the output folder", "--out"]);
    // A user that permissions do not stop (root) cannot test them.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let read_only = folder.join("read-only");
        std::fs::create_dir(&read_only).unwrap();
        std::fs::set_permissions(&read_only, PermissionsExt::from_mode(0o555)).unwrap();
        if std::fs::write(read_only.join("probe"), "").is_err() {
            refused(&mut train(&folder, &["--out", "read-only"]), &["read-only", "cannot write to the output folder"]);
        } else {
            skipped("in part, as this user may write everywhere");
        }
    }
}

#[test]
fn a_folder_that_holds_a_run_is_refused_and_the_run_stays() {
    let folder = Folder::new("holds-a-run");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let before = bits(&folder.join("run/last.safetensors"));
    refused(&mut train(&folder, &["--out", "run"]), &["run already holds a run", "--resume run", "--out"]);
    assert!(before == bits(&folder.join("run/last.safetensors")));
}

#[test]
fn resuming_where_there_is_nothing_is_refused() {
    let folder = Folder::new("nothing");
    refused(&mut ditn(&folder, &["train", "--resume", "nowhere"]), &["nowhere holds no checkpoint"]);
}

#[test]
fn a_checkpoint_of_another_network_is_refused_with_the_tensors_that_differ() {
    let folder = Folder::new("another-network");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let before = bits(&folder.join("run/last.safetensors"));
    refused(
        &mut ditn(&folder, &["train", "--resume", "run", "--set", "model.stem=8", "--set", "train.epochs=2"]),
        &["the run in run cannot go on", "model.stem was 4 and is 8 now", "--set model.init=run/last.safetensors"],
    );
    assert!(before == bits(&folder.join("run/last.safetensors")), "the checkpoint was lost");
    refused(
        &mut ditn(&folder, &["eval", "--checkpoint", "run/last.safetensors", "--set", "model.stem=8"]),
        &["another network", "conv1.weight is [4, 3, 3, 3], should be [8, 3, 3, 3]"],
    );
}

#[test]
fn a_frozen_backbone_needs_weights_and_a_part_that_exists() {
    let folder = Folder::new("freeze");
    let freeze = |part: &str| train(&folder, &["--out", "b", "--set", &format!("train.freeze={part}")]);
    refused(&mut freeze("backbone"), &["`train.freeze` = \"backbone\"", "needs model.init"]);
    refused(&mut freeze("neck"), &["`train.freeze`", "unknown variant `neck`", "`none`", "`backbone`"]);
    succeed(&mut train(&folder, &["--out", "a", "--set", "train.epochs=1"]));
    let of_another = ["--set", "model.init=a/last.safetensors", "--set", "model.stem=8"];
    refused(freeze("backbone").args(of_another), &["a/last.safetensors", "of the backbone's", "lacks is bn1.bias"]);
    assert!(!folder.join("b").exists(), "a refused run leaves no folder");
}

#[test]
fn a_damaged_checkpoint_is_refused_by_name() {
    let folder = Folder::new("damaged");
    std::fs::create_dir(folder.join("run")).unwrap();
    std::fs::write(folder.join("run/last.safetensors"), [7; 100]).unwrap();
    let message = "run/last.safetensors is not a usable safetensors file";
    refused(&mut ditn(&folder, &["train", "--resume", "run"]), &[message]);
    refused(&mut ditn(&folder, &["eval", "--checkpoint", "run/last.safetensors"]), &[message]);
}

#[test]
fn an_adapter_that_is_not_there_is_refused_with_those_that_are() {
    let folder = Folder::new("adapter");
    refused(&mut train(&folder, &["--adapter", "no such adapter"]), &["no such adapter", "found: "]);
    assert!(!folder.join("runs").exists(), "a refused run leaves no folder");
}

#[test]
fn score_names_the_file_and_the_record_that_are_wrong() {
    let folder = Folder::new("score");
    let oks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oks");
    let score = |data: &str, truth: &str, results: &str| {
        let mut command = ditn(&folder, &["score", data, "--truth"]);
        command.arg(oks.join(truth)).arg("--results").arg(results);
        command
    };
    refused(&mut score("coco", "truth.json", "nowhere.json"), &["nowhere.json", "not found"]);
    std::fs::write(folder.join("a.json"), r#"[{"image_id": 1, "category_id": 1, "score": 1}]"#).unwrap();
    refused(&mut score("coco", "truth.json", "a.json"), &["a.json: [0]: missing field `keypoints`"]);
    refused(&mut score("coco", "results.json", "a.json"), &["oks/results.json", "invalid type"]);
    refused(&mut score("mpii", "truth.json", "a.json"), &["oks/truth.json: not a MATLAB file"]);
}

#[test]
fn a_data_set_without_its_annotations_says_what_was_expected_where() {
    let folder = Folder::new("no-annotations");
    let of = |kind: &str| train(&folder, &["--data", "data", "--set", &format!("data.kind={kind}")]);
    refused(&mut of("mpii"), &["data/mpii/annot/valid.json: not found", "public HRNet code"]);
    refused(&mut of("coco"), &["data/coco/annotations/person_keypoints_val2017.json: not found", "cocodataset.org"]);
    refused(of("lsp").args(["--set", "data.evaluation=a.json"]), &["`data.evaluation`", "\"mpii\" or \"coco\" only"]);
}
