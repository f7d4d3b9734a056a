//! Training with feature maps stored as F16.

use ditn::gpu::{AdapterChoice, Gpu};
use ditn::train::checkpoint;

use crate::common::skipped;
use crate::harness::{Folder, bits, ditn, log, refused, succeed, tensor, train};

const F16: [&str; 2] = ["--set", "train.precision=f16"];
/// With the public code's tiny initial weights two runs part within a few steps, whatever makes them differ.
const KAIMING: [&str; 2] = ["--set", "model.weights=kaiming-uniform"];

/// Whether the adapter has F16; where it has not, that `ditn train` says so.
fn has_f16(folder: &Folder) -> bool {
    let gpu = Gpu::open(&AdapterChoice::default()).unwrap_or_else(|error| panic!("{error}"));
    let has_f16 = gpu.capabilities().shader_f16;
    if !has_f16 {
        skipped("the adapter has no F16");
        refused(train(folder, &["--out", "refused"]).args(F16), &["no 16-bit floats", "precision \"f32\""]);
    }
    has_f16
}

#[test]
fn the_first_gradients_are_as_near_to_those_of_float32_as_pytorchs_autocast_comes() {
    let folder = Folder::new("half-gradients");
    if !has_f16(&folder) {
        return;
    }
    #[rustfmt::skip]
    let step = [
        "--set", "train.epochs=1", "--set", "train.pictures_per_epoch=2", "--set", "train.size=[128,128]",
        "--set", "model.kind=hrnet", "--set", "model.width=8", "--set", "model.stem=16", KAIMING[0], KAIMING[1],
    ];
    succeed(train(&folder, &["--out", "whole"]).args(step));
    succeed(train(&folder, &["--out", "half"]).args(step).args(F16));
    let state = |run: &str| checkpoint::load(&folder.join(run).join("last.safetensors")).unwrap().state;
    let (whole, half) = (state("whole"), state("half"));
    // After one step the first moment is a tenth of the gradient.
    let error = |layers: &str| -> f64 {
        let (mut difference, mut size) = (0.0, 0.0);
        for (name, moment) in whole.iter().filter(|(name, _)| name.starts_with(&format!("optimizer.m.{layers}"))) {
            for (a, b) in half[name].data.iter().zip(&moment.data) {
                difference += f64::from(a - b).powi(2);
                size += f64::from(*b).powi(2);
            }
        }
        (difference / size).sqrt()
    };
    // Far from the loss, ReLUs whose inputs fall on the other side of zero make most of it: torch.autocast to float16 gives
    // 0.05, 0.10, 0.15 and 0.18 in these places of such a network.
    for (layers, allowed) in
        [("final_layer", 0.01), ("stage4", 0.1), ("stage3", 0.2), ("stage2", 0.3), ("layer1", 0.36)]
    {
        let error = error(layers);
        assert!(error > 1e-5 && error < allowed, "the gradients of {layers} differ by {error:e} of their norm");
    }
}

#[test]
fn a_run_in_half_precision_learns_like_one_in_float32_and_repeats_to_the_bit() {
    let folder = Folder::new("half-run");
    if !has_f16(&folder) {
        return;
    }
    succeed(train(&folder, &["--out", "whole"]).args(KAIMING));
    succeed(train(&folder, &["--out", "half"]).args(KAIMING).args(F16));
    succeed(train(&folder, &["--out", "again"]).args(KAIMING).args(F16));
    let last = |run: &str| folder.join(run).join("last.safetensors");
    assert!(bits(&last("half")) == bits(&last("again")));
    let loss = |run: &str| log(&folder.join(run)).last().unwrap()["loss"].as_f64().unwrap();
    let (whole, half) = (loss("whole"), loss("half"));
    assert!((half / whole - 1.0).abs() < 0.1, "the last epoch's loss is {half}, in float32 {whole}");
}

#[test]
fn a_gradient_that_overflows_halves_the_scale_and_changes_no_parameter() {
    let folder = Folder::new("half-overflow");
    if !has_f16(&folder) {
        return;
    }
    let rate = ["--set", "schedule.milestones=[]"];
    succeed(train(&folder, &["--out", "run", "--set", "train.epochs=1"]).args(F16).args(rate));
    let path = folder.join("run/last.safetensors");
    let mut start = checkpoint::load(&path).unwrap();
    let scale = start.state.get_mut("optimizer.loss_scale").expect("it belongs to the state");
    assert_eq!(scale.data, [65536.0, 6.0, 0.0]);
    scale.data = vec![1e30, 1.0, 0.0];
    checkpoint::save(&path, &start).unwrap();

    let one_more = ["--set", "train.epochs=2"];
    succeed(ditn(&folder, &["train", "--resume", "run"]).args(one_more));
    // Six steps, each of which halves it and is skipped.
    assert_eq!(tensor(&path, "optimizer.loss_scale"), [1e30 / 64.0, 0.0, 6.0]);
    for (name, tensor) in &start.state {
        let frozen = !name.starts_with("optimizer.step") && !name.contains("loss_scale") && !name.contains("running");
        if frozen && !name.contains("num_batches") {
            let after = checkpoint::load(&path).unwrap().state[name].data.clone();
            assert_eq!(after, tensor.data, "{name} has changed");
        }
    }
    assert_eq!(log(&folder.join("run")).last().unwrap()["loss_scale"]["skipped_steps"], 6);
}
