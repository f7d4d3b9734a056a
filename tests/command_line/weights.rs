//! `ditn import`, `ditn export` and `model.init`: weights in and out.

use std::path::Path;

use crate::harness::{Folder, bits, ditn, errors, printed_json, refused, succeed, train};

/// A file that `tools/make_weights.py` made.
fn made(name: &str) -> String {
    format!("{}/tests/weights/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The extents of the networks in `tests/weights/`.
const TINY: [&str; 10] = [
    "--set",
    "model.width=2",
    "--set",
    "model.stem=4",
    "--set",
    "model.blocks=1",
    "--set",
    "model.modules=[1,1,1]",
    "--set",
    "train.size=[64,64]",
];

#[test]
fn the_files_of_both_pytorch_containers_become_the_same_checkpoint() {
    let folder = Folder::new("import");
    for (name, prefix) in [("hrnet_zip", ""), ("hrnet_legacy_wrapped", "state_dict.module.")] {
        let (file, out) = (made(&format!("{name}.pth")), format!("{name}.safetensors"));
        let import = &mut ditn(&folder, &["import", &file, "--model", "hrnet-w32", &out, "--json"]);
        let report = printed_json(&succeed(import.args(TINY)).stdout);
        assert_eq!((&report["skeleton"], &report["complete"]), (&"coco".into(), &true.into()), "{report}");
        image::RgbImage::new(64, 64).save(folder.join("000000000785.png")).unwrap();
        let picture = ["predict", "--checkpoint", &out, "000000000785.png", "--format", "coco", "--json"];
        let results = printed_json(&succeed(&mut ditn(&folder, &picture)).stdout);
        assert_eq!((&results[0]["image_id"], &results[0]["category_id"]), (&785.into(), &1.into()), "{results}");
        assert_eq!(results[0]["keypoints"].as_array().map(Vec::len), Some(51), "{results}");
        assert_eq!((&report["prefix"], &report["extra"]), (&prefix.into(), &serde_json::json!([])), "{report}");
    }
    assert!(bits(&folder.join("hrnet_zip.safetensors")) == bits(&folder.join("hrnet_legacy_wrapped.safetensors")));
}

#[test]
fn an_exported_network_comes_back_to_the_bit_and_predicts_and_scores() {
    let folder = Folder::new("export");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1", "--set", "model.width=2"]));
    succeed(&mut ditn(&folder, &["export", "run/last.safetensors", "weights.safetensors"]));
    let import = &mut ditn(&folder, &["import", "weights.safetensors", "--model", "ditn-w32", "again.safetensors"]);
    let printed = succeed(import.args(TINY)).stdout;
    assert!(String::from_utf8_lossy(&printed).contains("missing          0"), "{}", String::from_utf8_lossy(&printed));
    let mut network = bits(&folder.join("run/last.safetensors"));
    network.retain(|name, _| !name.starts_with("optimizer."));
    assert!(network == bits(&folder.join("weights.safetensors")));
    assert!(network == bits(&folder.join("again.safetensors")));

    let poses = |checkpoint: &str| {
        let arguments = ["predict", "--checkpoint", checkpoint, "one.png", "--json"];
        printed_json(&succeed(&mut ditn(&folder, &arguments)).stdout)["people"].clone()
    };
    image::RgbImage::from_fn(70, 90, |x, y| image::Rgb([x as u8, y as u8, 9])).save(folder.join("one.png")).unwrap();
    assert_eq!(poses("again.safetensors"), poses("run/last.safetensors"));
    let score = |checkpoint: &str| {
        let arguments = ["eval", "--checkpoint", checkpoint, "--set", "evaluate.people=4", "--json"];
        printed_json(&succeed(&mut ditn(&folder, &arguments)).stdout)["metric"].clone()
    };
    assert_eq!(score("weights.safetensors"), score("run/last.safetensors"));
}

#[test]
fn a_body_alone_starts_a_training_but_does_not_predict() {
    let folder = Folder::new("body");
    let import =
        &mut ditn(&folder, &["import", &made("imagenet_stem.pth"), "--model", "hrnet-w32", "body.safetensors"]);
    let printed = String::from_utf8_lossy(&succeed(import.args(TINY)).stdout).into_owned();
    assert!(printed.contains("classifier.weight") && printed.contains("but not predict"), "{printed}");
    image::RgbImage::new(9, 9).save(folder.join("one.png")).unwrap();
    refused(
        &mut ditn(&folder, &["predict", "--checkpoint", "body.safetensors", "one.png"]),
        &["body.safetensors belongs to another network", "is missing"],
    );

    for (init, out) in [(made("imagenet_stem.pth"), "pth"), ("body.safetensors".into(), "imported")] {
        let (init, out) = (format!("model.init={init}"), out);
        let options = ["--out", out, "--set", &init, "--set", "model.width=2", "--set", "train.epochs=1"];
        let output = succeed(train(&folder, &options).args(["--set", "optimizer.learning_rate=1e-9"]));
        assert!(errors(&output).contains("loaded"), "{}", errors(&output));
        let record = printed_json(&std::fs::read(folder.join(out).join("init.json")).unwrap());
        let loaded = record["loaded"].as_array().expect("a list");
        assert!(loaded.contains(&"conv1.weight".into()) && record["missing"].as_array().is_some_and(|m| m.len() > 200));
        let trained = bits(&folder.join(out).join("last.safetensors"));
        let saved = bits(&folder.join("body.safetensors"));
        let (trained, saved) = (&trained["conv1.weight"], &saved["conv1.weight"]);
        let near = |(a, b): (&u32, &u32)| (f32::from_bits(*a) - f32::from_bits(*b)).abs() < 1e-6;
        assert!(trained.iter().zip(saved).all(near), "the training did not start from the file");
    }
}

#[test]
fn weights_of_another_network_are_refused_with_what_the_file_has() {
    let folder = Folder::new("other-weights");
    std::fs::write(folder.join("text.pth"), "no weights").unwrap();
    refused(
        &mut ditn(&folder, &["import", "text.pth", "--model", "hrnet-w32", "out.safetensors"]),
        &["text.pth is not a usable file of weights"],
    );
    let file = made("imagenet_stem.pth");
    let mut options = vec!["import", &file, "--model", "hrnet-w32", "out.safetensors", "--set", "model.stem=32"];
    options.extend(["--set", "model.width=16"]);
    refused(&mut ditn(&folder, &options), &["no tensor of this network", "classifier.bias", "--model"]);
    assert!(!folder.join("out.safetensors").exists());
    refused(
        &mut train(&folder, &["--set", &format!("model.init={file}"), "--set", "model.stem=32"]),
        &["imagenet_stem.pth has no tensor of this network", "classifier.bias"],
    );
    refused(&mut train(&folder, &["--set", "model.init=nowhere.pth"]), &["cannot read nowhere.pth"]);
    assert!(!folder.join("runs").exists(), "a refused run leaves no folder");
}

#[test]
fn a_malicious_pickle_runs_nothing() {
    let folder = Folder::new("malicious");
    for name in ["malicious_zip.pth", "malicious_legacy.pth"] {
        refused(
            ditn(&folder, &["import", &made(name), "--model", "hrnet-w32", "out.safetensors"]).args(TINY),
            &[name, "`posix.system`", "nothing of it was run"],
        );
        let init = format!("model.init={}", made(name));
        refused(&mut train(&folder, &["--set", &init]), &[name, "`posix.system`"]);
    }
    let left: Vec<_> = std::fs::read_dir(folder.join("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["small.toml"]);
    assert!(!Path::new("ditn-was-here").exists());
}
