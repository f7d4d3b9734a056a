//! `ditn import`, `ditn export` and `model.init`: weights in and out.

use std::path::Path;
use std::process::Command;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use ditn::train::checkpoint;

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
fn the_name_of_an_export_says_its_format_and_no_other_is_written() {
    let folder = Folder::new("formats");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let checkpoint = "run/last.safetensors";
    for (name, start) in [("a.safetensors", None), ("b.pth", Some(&b"PK"[..])), ("c.ONNX", Some(&b"\x08\x08"[..]))] {
        succeed(&mut ditn(&folder, &["export", checkpoint, name]));
        let bytes = std::fs::read(folder.join(name)).unwrap();
        assert!(start.map_or(bytes[8] == b'{', |start| bytes.starts_with(start)), "{name}");
    }
    // What PyTorch takes, `import` takes too.
    let import = ["import", "b.pth", "--model", "ditn-w32", "again.safetensors", "--set", "model.width=4"];
    let rest = ["--set", "model.stem=4", "--set", "model.blocks=1", "--set", "model.modules=[1,1,1]"];
    succeed(ditn(&folder, &import).args(rest).args(["--set", "train.size=[64,64]"]));
    assert!(bits(&folder.join("a.safetensors")) == bits(&folder.join("again.safetensors")));

    // 16-bit floats are float32 again when they are read.
    succeed(&mut ditn(&folder, &["export", checkpoint, "half.safetensors", "--precision", "f16"]));
    let (whole, half) = (bits(&folder.join("a.safetensors")), bits(&folder.join("half.safetensors")));
    let is_near = |(a, b): (&u32, &u32)| {
        let (a, b) = (f32::from_bits(*a), f32::from_bits(*b));
        (a - b).abs() <= 5e-4 * a.abs() + 1e-7
    };
    assert!(whole != half && whole.iter().all(|(name, whole)| whole.iter().zip(&half[name]).all(is_near)));
    let size = |name: &str| std::fs::metadata(folder.join(name)).unwrap().len();
    assert!(size("half.safetensors") < size("a.safetensors") * 3 / 4);

    for name in ["weights.bin", "weights", "model.onnx.gz", "weights.h5"] {
        let known = [name, ".safetensors", ".pth", ".onnx"];
        refused(&mut ditn(&folder, &["export", checkpoint, name]), &known);
        assert!(!folder.join(name).exists());
    }
    refused(&mut ditn(&folder, &["export", checkpoint, "a.pth", "--with", "decode"]), &["--with", ".onnx"]);
    refused(&mut ditn(&folder, &["export", checkpoint, "a.onnx", "--precision", "f16"]), &["--precision f16"]);
    let before = bits(&folder.join(checkpoint));
    refused(&mut ditn(&folder, &["export", checkpoint, "run/../run/last.safetensors"]), &["the checkpoint itself"]);
    assert!(before == bits(&folder.join(checkpoint)));
}

#[test]
fn weights_that_are_not_finite_or_not_whole_are_not_exported() {
    let folder = Folder::new("not-exported");
    succeed(&mut train(&folder, &["--out", "run", "--set", "train.epochs=1"]));
    let mut checkpoint = checkpoint::load(&folder.join("run/last.safetensors")).unwrap();
    checkpoint.state.get_mut("conv1.weight").unwrap().data[3] = f32::NAN;
    checkpoint::save(&folder.join("nan.safetensors"), &checkpoint).unwrap();
    checkpoint.state.remove("conv1.weight");
    checkpoint::save(&folder.join("half.safetensors"), &checkpoint).unwrap();
    for name in ["out.safetensors", "out.pth", "out.onnx"] {
        refused(
            &mut ditn(&folder, &["export", "nan.safetensors", name]),
            &["nan.safetensors", "conv1.weight", "not finite"],
        );
        assert!(!folder.join(name).exists());
    }
    refused(&mut ditn(&folder, &["export", "half.safetensors", "out.onnx"]), &["half.safetensors", "conv1.weight"]);
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

/// The tensors of `hrnet_zip.pth` under other names, and more, as safetensors.
fn foreign(folder: &Folder, file: &str, rename: impl Fn(&str) -> String, more: &[(&str, f32)]) {
    let import = &mut ditn(folder, &["import", &made("hrnet_zip.pth"), "--model", "hrnet-w32", "whole.safetensors"]);
    succeed(import.args(TINY));
    let bytes = std::fs::read(folder.join("whole.safetensors")).unwrap();
    let whole = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = whole.iter().map(|(name, view)| (rename(name), view)).collect();
    let values: Vec<[u8; 4]> = more.iter().map(|(_, value)| value.to_le_bytes()).collect();
    for ((name, _), value) in more.iter().zip(&values) {
        tensors.retain(|(known, _)| known != name);
        let shape = if name.ends_with("bn1.bias") { vec![4] } else { vec![1] };
        let value: &'static [u8] = value.repeat(shape[0]).leak();
        tensors.push(((*name).to_owned(), TensorView::new(Dtype::F32, shape, value).unwrap()));
    }
    std::fs::write(folder.join(file), safetensors::serialize(tensors, None).unwrap()).unwrap();
}

fn import(folder: &Folder, file: &str, more: &[&str]) -> Command {
    let mut import = ditn(folder, &["import", file, "--model", "hrnet-w32", "out.safetensors"]);
    import.args(TINY).args(more);
    import
}

#[test]
fn names_of_mmpose_and_of_wrappers_become_the_same_checkpoint() {
    let folder = Folder::new("names");
    let part = |name: &str, body: &str, head: &str| match name.strip_prefix("final_layer.") {
        Some(rest) => format!("{head}final_layer.{rest}"),
        None => format!("{body}{name}"),
    };
    for (file, body, head) in [
        ("old_mmpose", "state_dict.backbone.", "state_dict.keypoint_head."),
        ("mmpose", "backbone.", "head."),
        ("lightning", "state_dict.model.net.", "state_dict.model.net."),
        ("compiled", "module._orig_mod.", "module._orig_mod."),
        ("around", "model.backbone.", "model."),
    ] {
        let file = format!("{file}.safetensors");
        foreign(&folder, &file, |name| part(name, body, head), &[]);
        let report = printed_json(&succeed(&mut import(&folder, &file, &["--json"])).stdout);
        assert_eq!((&report["complete"], &report["extra"]), (&true.into(), &serde_json::json!([])), "{file}: {report}");
        assert!(bits(&folder.join("out.safetensors")) == bits(&folder.join("whole.safetensors")), "{file}");
    }
}

#[test]
fn weights_of_a_deeper_network_are_refused_with_what_fits_unless_a_part_is_asked_for() {
    let folder = Folder::new("deeper");
    let more = [("stage3.1.branches.0.0.conv1.weight", 1.0), ("classifier.weight", 1.0)];
    foreign(&folder, "deeper.safetensors", str::to_owned, &more);
    let said = ["deeper.safetensors", "stage3.1.branches.0.0.conv1.weight", "--set model.modules=[1,2,1]", "--partial"];
    refused(&mut import(&folder, "deeper.safetensors", &[]), &said);
    assert!(!folder.join("out.safetensors").exists());
    let output = succeed(&mut import(&folder, "deeper.safetensors", &["--partial"]));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("Warning") && !printed.contains("Try it"), "{printed}");
    foreign(&folder, "classifier.safetensors", str::to_owned, &more[1..]);
    let output = succeed(&mut import(&folder, "classifier.safetensors", &[]));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("classifier.weight") && printed.contains("Try it"), "{printed}");
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    let folder = Folder::new("not-finite");
    foreign(&folder, "nan.safetensors", str::to_owned, &[("bn1.bias", f32::NAN)]);
    refused(&mut import(&folder, "nan.safetensors", &[]), &["`bn1.bias` holds NaN", "4 of its 4 values"]);
    let init = ["--set", "model.init=nan.safetensors", "--set", "model.width=2", "--set", "train.epochs=1"];
    refused(&mut train(&folder, &init), &["`bn1.bias` holds NaN"]);
}

#[test]
fn an_average_is_taken_on_request_and_mentioned_otherwise() {
    let folder = Folder::new("average");
    foreign(&folder, "plain.safetensors", |name| format!("state_dict.{name}"), &[]);
    refused(&mut import(&folder, "plain.safetensors", &["--weights", "ema"]), &["no average", "`state_dict.`"]);
    for prefix in ["ema_state_dict.module.", "state_dict_ema.", "model_ema.", "ema.module."] {
        foreign(&folder, "ema.safetensors", |name| format!("{prefix}{name}"), &[]);
        let report =
            printed_json(&succeed(&mut import(&folder, "ema.safetensors", &["--weights", "ema", "--json"])).stdout);
        assert_eq!((&report["prefix"], &report["complete"]), (&prefix.into(), &true.into()), "{report}");
    }
    let output = succeed(&mut ditn(
        &folder,
        &[&["import", &made("mmengine.pth"), "--model", "hrnet-w32", "--partial", "out.safetensors"], &TINY[..]]
            .concat(),
    ));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("are the average") && printed.contains("ema_state_dict.module.backbone."), "{printed}");
}

#[test]
fn what_is_no_checkpoint_is_named_with_the_command_that_takes_it() {
    let folder = Folder::new("no-checkpoint");
    image::RgbImage::new(9, 9).save(folder.join("one.png")).unwrap();
    foreign(&folder, "foreign.safetensors", str::to_owned, &[]);
    std::fs::write(folder.join("page.safetensors"), "<!DOCTYPE html><html></html>").unwrap();
    for (file, words) in [
        (made("hrnet_zip.pth"), ["a file of PyTorch", "ditn import"]),
        ("foreign.safetensors".into(), ["another program", "ditn import foreign.safetensors"]),
        ("page.safetensors".into(), ["page.safetensors", "a web page (HTML)"]),
    ] {
        refused(&mut ditn(&folder, &["predict", "--checkpoint", &file, "one.png"]), &words);
        refused(&mut ditn(&folder, &["eval", "--checkpoint", &file]), &words);
        refused(&mut ditn(&folder, &["export", &file, "out.safetensors"]), &words);
    }
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
