//! The networks are the reference's: every dump in `tests/dumps/`, made by `tools/make_dumps.sh`, on this adapter.

#[path = "common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ditn::bench::variant_names;
use ditn::gpu::{AdapterChoice, Gpu};
use ditn::graph::Choices;
use ditn::nn::Precision;
use ditn::verify::{Dump, Report, verify, verify_dump};
use safetensors::SafeTensors;

fn dumps() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    files
}

#[test]
fn every_dump_agrees_with_the_network_on_this_adapter() {
    let gpu = Gpu::open(&AdapterChoice::default()).unwrap_or_else(|error| panic!("{error}"));
    let dumps = dumps();
    assert_eq!(dumps.len(), 14, "{dumps:?}");
    for path in dumps {
        let report = verify(&gpu, &path, &Choices::of(&gpu).unwrap_or_else(|error| panic!("{error}")))
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(report.pass, "{}: {report:#?}", path.display());
    }
}

#[test]
fn every_variant_of_the_kernels_agrees_in_whole_networks() {
    let gpu = Gpu::open(&AdapterChoice::default()).unwrap_or_else(|error| panic!("{error}"));
    let names = variant_names(&gpu).unwrap_or_else(|error| panic!("{error}"));
    assert!(names.len() > 1 && names.contains("plain"), "{names:?}");
    let dumps = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps");
    for name in names {
        let choices = Choices::everywhere(name);
        for dump in ["ditn_mpii", "resnet_mpii", "cpn_coco", "ipr_lsp_with_maps"] {
            let report = verify(&gpu, &dumps.join(dump).with_extension("safetensors"), &choices);
            let report = report.unwrap_or_else(|error| panic!("{error}"));
            assert!(report.pass, "{dump} by the variants '{name}': {report:#?}");
        }
    }
}

#[test]
fn every_dump_agrees_with_feature_maps_in_f16_and_a_doubled_weight_does_not() {
    let gpu = Gpu::open(&AdapterChoice::default()).unwrap_or_else(|error| panic!("{error}"));
    let verify = |path: &Path, bytes: &[u8]| {
        let dump = Dump::from_bytes(path, bytes).unwrap_or_else(|error| panic!("{error}"));
        verify_dump(&gpu, &dump, &Choices::default(), Precision::F16)
    };
    for path in dumps() {
        let mut bytes = std::fs::read(&path).expect("a dump");
        let report = verify(&path, &bytes);
        if !gpu.capabilities().shader_f16 {
            assert!(report.is_err_and(|error| error.to_string().contains("16-bit")));
            return common::skipped("the adapter has no F16");
        }
        let report = report.unwrap_or_else(|error| panic!("{error}"));
        assert!(report.pass, "{}: {report:#?}", path.display());
        scale_a_weight(&mut bytes, 2.0);
        let report = verify(&path, &bytes).unwrap_or_else(|error| panic!("{error}"));
        let statistics = report.groups.iter().find(|group| group.name == "stats").expect("a group");
        assert!(!statistics.pass, "{}: {report:#?}", path.display());
    }
}

/// Verifies a file that holds these bytes.
fn verify_bytes(gpu: &Arc<Gpu>, name: &str, bytes: &[u8]) -> Report {
    let path = std::env::temp_dir().join(format!("ditn-verify-{name}-{}.safetensors", std::process::id()));
    std::fs::write(&path, bytes).expect("room for a file");
    let report = verify(gpu, &path, &Choices::default());
    std::fs::remove_file(&path).expect("the file");
    report.unwrap_or_else(|error| panic!("{error}"))
}

/// Multiplies the weight of a convolution in the middle of a dump's network.
fn scale_a_weight(bytes: &mut [u8], factor: f32) {
    let (header, metadata) = SafeTensors::read_metadata(bytes).expect("a header");
    let weights = [
        "param.stage2.0.branches.0.0.conv1.weight",
        "param.hg.0.hg.0.0.0.conv2.weight",
        "param.resnet.layer2.0.conv1.weight",
        "param.backbone.multi_stage_rsn.0.downsample.layer2.0.conv_bn_relu1.conv.weight",
        "param.layer2.0.conv1.weight",
    ];
    let weight = weights.iter().find_map(|name| metadata.info(name)).expect("the weight").data_offsets;
    for element in bytes[8 + header..][weight.0..weight.1].chunks_exact_mut(4) {
        let value = f32::from_le_bytes(element.try_into().expect("four bytes"));
        element.copy_from_slice(&(factor * value).to_le_bytes());
    }
}

#[test]
fn a_weight_that_is_one_percent_off_is_found() {
    let gpu = Gpu::open(&AdapterChoice::default()).unwrap_or_else(|error| panic!("{error}"));
    for dump in dumps() {
        let mut bytes = std::fs::read(&dump).expect("a dump");
        scale_a_weight(&mut bytes, 1.01);
        let report = verify_bytes(&gpu, "weight", &bytes);
        let failed: Vec<_> = report.groups.iter().filter(|group| !group.pass).map(|group| group.name).collect();
        assert!(!report.pass && failed.contains(&"stats"), "{}: {failed:?}", dump.display());
        // Batch normalisation takes the scale out of training outputs, so that not every group sees it.
        if dump.ends_with("ditn_mpii.safetensors") {
            assert_eq!(failed, ["eval", "grad", "stats", "after"]);
        }
    }
}

/// The dump as it was made before the noise was the largest of several orders of summation: the metadata does not count
/// them, and no noise belongs to a whole group.
#[test]
fn a_dump_of_one_order_of_summation_is_still_read() {
    let gpu = Gpu::open(&AdapterChoice::default()).unwrap_or_else(|error| panic!("{error}"));
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dumps/ditn_mpii.safetensors");
    let bytes = std::fs::read(&dump).expect("a dump");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
    let mut metadata = header.metadata().clone().expect("metadata");
    assert_eq!(metadata.remove("noise_orders").as_deref(), Some("9"));
    let tensors = SafeTensors::deserialize(&bytes).expect("tensors").tensors();
    let count = tensors.len();
    let kept: Vec<_> = tensors.into_iter().filter(|(name, _)| !is_noise_of_a_group(name)).collect();
    assert_eq!(kept.len(), count - 6);
    let old = safetensors::serialize(kept, Some(metadata)).expect("a file");
    let report = verify_bytes(&gpu, "old", &old);
    assert!(report.pass, "{report:#?}");
    assert_eq!(report.noise_orders, 1);
}

/// `noise.grad`, but not `noise.grad.conv1.weight`.
fn is_noise_of_a_group(name: &str) -> bool {
    name.strip_prefix("noise.").is_some_and(|rest| !rest.contains('.'))
}
