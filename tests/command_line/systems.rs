//! The systems that the paper compares with, from training and import to prediction and the tables.

use std::path::Path;

use crate::harness::{Folder, SMALL, bits, ditn, json, log, printed_json, refused, succeed, train};

/// Of each system what makes it, the number of its joint maps before the decoded ones, and whether it learns coordinates.
const SYSTEMS: [(&str, &[&str], usize, bool); 4] = [
    ("hourglass", &["model.kind=hourglass", "model.stacks=3", "model.levels=2", "model.channels=8"], 2, false),
    (
        "cpn",
        &[
            "model.kind=cpn",
            "model.layers=[1,1,1,1]",
            "model.channels=8",
            "loss.targets=blurred",
            "loss.joints=ohkm",
            "evaluate.decode={second-maximum=5}",
            "optimizer.kind=adam",
        ],
        4,
        false,
    ),
    (
        "rsn",
        &[
            "model.kind=rsn",
            "model.layers=[1,1,1,1]",
            "model.stacks=2",
            "model.expand=2",
            "model.channels=4",
            "loss.targets=blurred",
            "evaluate.decode={second-maximum=5}",
            "optimizer.kind=rmsprop",
        ],
        7,
        false,
    ),
    (
        "ipr",
        &["model.kind=resnet", "model.layers=[1,1,1,1]", "model.integral=true", "evaluate.decode=expectation"],
        0,
        true,
    ),
];

fn set<'a>(values: &[&'a str]) -> Vec<&'a str> {
    values.iter().flat_map(|value| ["--set", value]).collect()
}

#[test]
fn each_system_trains_logs_every_loss_is_scored_again_and_drawn() {
    let folder = Folder::new("systems");
    for (name, changes, sides, coordinates) in SYSTEMS {
        let changes = set(changes);
        let out = folder.join(name);
        succeed(train(&folder, &changes).args(["--out", name]));
        let lines = log(&out);
        assert_eq!(lines.len(), 5, "{name}");
        for line in &lines {
            let losses = line["side_losses"].as_array().map_or(0, Vec::len);
            assert_eq!((losses, line.get("coordinate_loss").is_some()), (sides, coordinates), "{name}: {line}");
            let positive = |loss: &serde_json::Value| loss.as_f64().is_some_and(|loss| loss > 0.0);
            assert!(
                positive(&line["joint_loss"])
                    && line["side_losses"].as_array().is_none_or(|it| it.iter().all(positive))
            );
        }
        let checkpoint = format!("{name}/last.safetensors");
        let evaluated =
            printed_json(&succeed(&mut ditn(&folder, &["eval", "--checkpoint", &checkpoint, "--json"])).stdout);
        assert_eq!(evaluated["metric"]["value"], json(&out.join("summary.json"))["metric"]["value"], "{name}");

        let charts = printed_json(&succeed(&mut ditn(&folder, &["plot", name, "--json"])).stdout);
        let titles: Vec<&str> =
            charts["charts"].as_array().unwrap().iter().filter_map(|it| it["title"].as_str()).collect();
        let of = |what: &str| titles.iter().filter(|title| title.contains(what)).count();
        assert_eq!((of("side output"), of("coordinates")), (sides, usize::from(coordinates)), "{name}: {titles:?}");
        let charts = printed_json(&succeed(&mut ditn(&folder, &["plot", name, "--scores", "--json"])).stdout);
        assert_eq!(charts["charts"].as_array().map(Vec::len), Some(2), "{name}");
    }
}

#[test]
fn two_runs_of_a_system_are_the_same_to_the_bit() {
    let folder = Folder::new("systems-bits");
    for (name, changes, ..) in [SYSTEMS[0], SYSTEMS[3]] {
        let state = |out: &str| {
            succeed(train(&folder, &set(changes)).args(["--out", out]));
            bits(&folder.join(out).join("last.safetensors"))
        };
        assert!(state("one") == state("two"), "{name}");
        for out in ["one", "two"] {
            std::fs::remove_dir_all(folder.join(out)).expect("a run");
        }
    }
}

#[test]
fn a_table_of_systems_is_trained_once_and_scores_what_it_is_given() {
    let folder = Folder::new("systems-table");
    std::fs::write(folder.join("small.toml"), SMALL.replace("small", "base"))
        .expect("the temporary folder is writable");
    let rows = set(&["model.stem=4", "train.size=[64,64]"]);
    let table = |more: &[&str]| {
        let mut command =
            ditn(&folder, &["systems", "table4", "--data", "small.toml", "--seeds", "1", "--budget", "12"]);
        command.args(["--out", "table", "--json"]).args(&rows).args(more);
        command
    };
    let first = printed_json(&succeed(&mut table(&[])).stdout);
    let names: Vec<&str> = first["rows"].as_array().unwrap().iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names.len(), 4);
    assert_eq!((names[3], &first["rows"][3]["paper"]), ("RSN-50", &serde_json::json!(72.5)));
    let again = succeed(&mut table(&[]));
    assert_eq!(printed_json(&again.stdout), first, "nothing is trained twice");
    let text = std::fs::read_to_string(folder.join("table/table4.md")).expect("the table is there");
    assert!(text.contains("| RSN-50 |") && text.contains("Paper: AP"), "{text}");

    let checkpoint = "table/rsn_50/seed_1/last.safetensors";
    let given = table(&["--checkpoint", &format!("rsn_50={checkpoint}")]).output().expect("the program");
    let given = printed_json(&given.stdout);
    assert_eq!(given["rows"].as_array().map(Vec::len), Some(1));
    assert_eq!(given["rows"][0]["scores"], first["rows"][3]["scores"]);
    assert_eq!(std::fs::read_to_string(folder.join("table/table4.md")).expect("it is still there"), text);
    let scored = std::fs::read_to_string(folder.join("table/table4_checkpoints.md")).expect("a table of its own");
    assert!(!scored.contains("seeds"), "{scored}");
    refused(&mut table(&["--checkpoint", &format!("hrnet={checkpoint}")]), &["has no row hrnet", "rsn_50"]);
    let twice = ["--checkpoint", &format!("rsn_50={checkpoint}"), "--checkpoint", &format!("rsn_50={checkpoint}")];
    refused(&mut table(&twice), &["rsn_50 is given twice"]);
}

#[test]
fn checkpoints_of_other_public_code_are_imported_whole_and_decoded_as_there() {
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weights");
    let folder = Folder::new("systems-import");
    let import = |file: &str, model: &str, changes: &[&str]| {
        let path = weights.join(file);
        let mut command =
            ditn(&folder, &["import", path.to_str().expect("a name"), "out.safetensors", "--model", model, "--json"]);
        command.args(set(changes));
        command
    };
    let small = ["model.levels=2", "model.channels=8", "model.stem=4", "train.size=[64,64]"];
    let report = printed_json(&succeed(&mut import("princeton.pth", "hourglass-2", &small)).stdout);
    assert_eq!((&report["complete"], &report["extra"]), (&true.into(), &serde_json::json!([])), "{report}");
    let config = ditn::train::checkpoint::load(&folder.join("out.safetensors")).expect("a checkpoint").header.config;
    let config = serde_json::to_value(config).expect("JSON");
    assert_eq!(
        (&config["evaluate"]["decode"], &config["model"]["normalization"]),
        (&"quarter-floor".into(), &"unit".into())
    );
    // Another stem, and another number of stacks.
    let other: Vec<&str> = small.iter().copied().chain(["model.paper_stem=false"]).collect();
    refused(&mut import("princeton.pth", "hourglass-2", &other), &["--set model.paper_stem=true"]);
    refused(&mut import("princeton.pth", "hourglass-1", &small), &["--set model.stacks=2"]);
    refused(&mut import("princeton.pth", "hrnet-w32", &[]), &["stacked hourglass of 2"]);

    let small = ["model.layers=[1,1,1,1]", "model.stem=4", "model.expand=2", "model.channels=4", "train.size=[64,64]"];
    let report = printed_json(&succeed(&mut import("rsn_authors.pth", "2xrsn-50", &small)).stdout);
    assert_eq!((&report["complete"], &report["extra"]), (&true.into(), &serde_json::json!([])), "{report}");
    refused(&mut import("rsn_authors.pth", "rsn-50", &small), &["--set model.stacks=2"]);
}
