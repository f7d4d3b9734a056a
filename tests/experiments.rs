//! Every experiment under datasets/ is a configuration that can be run, of the network that it is named after.

use std::path::{Path, PathBuf};

use ditn::models::ModelConfig;
use ditn::nn::{Mode, Network};
use ditn::ops::decode::Decode;
use ditn::train::config;
use ditn::train::step::TargetMaps;

fn experiments() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets");
    let entries =
        |folder: PathBuf| std::fs::read_dir(folder).expect("it is a folder").map(|entry| entry.unwrap().path());
    let folders = entries(root).filter(|path| path.is_dir());
    let mut files: Vec<PathBuf> = folders.flat_map(entries).collect();
    files.retain(|path| path.extension().is_some_and(|kind| kind == "toml"));
    files.sort();
    files
}

#[test]
fn every_experiment_is_a_valid_configuration_and_its_network_builds() {
    let experiments = experiments();
    assert!(experiments.len() >= 22, "{experiments:?}");
    for path in experiments {
        let config = config::from_file(&path).unwrap_or_else(|error| panic!("{error}"));
        config.validate().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let model = config.model_config(config.data.kind.skeleton());
        let mut net = Network::new(Mode::Inference);
        let (size, normalization) = (config.train.size.extents(), model.normalization.constants());
        let (_, image) = net.pictures(1, size, normalization).expect("the size was validated");
        model.build(&mut net, image).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// The systems that the paper compares with, which have recipes of their own.
const OTHERS: [&str; 4] = ["hourglass", "cpn", "rsn", "ipr"];

#[test]
fn the_other_systems_are_those_in_the_names_and_decoded_as_they_are_trained() {
    let mut found = 0;
    for path in experiments() {
        let stem = path.file_stem().expect("it is a file").to_string_lossy();
        // Those of the published sizes.
        let Some(name) = OTHERS.iter().find(|name| stem.starts_with(*name) && stem.contains('x')) else { continue };
        let config = config::from_file(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(config.model.title().starts_with(name), "{stem}: {}", config.model.title());
        assert!(stem.ends_with(&format!("_{}", config.train.size)));
        let blurred = config.loss.targets == TargetMaps::Blurred;
        assert_eq!(blurred, matches!(config.evaluate.decode, Decode::SecondMaximum(_)), "{stem}");
        assert_eq!(config.model.integral, config.evaluate.decode == Decode::Expectation, "{stem}");
        found += 1;
    }
    assert_eq!(found, 8);
}

#[test]
fn an_experiment_of_the_paper_is_of_the_network_the_size_and_the_schedule_in_its_name() {
    let mut found = 0;
    for path in experiments() {
        let stem = path.file_stem().expect("it is a file").to_string_lossy();
        let Some((network, size)) = stem.rsplit_once('_').filter(|(_, size)| size.contains('x')) else { continue };
        if OTHERS.iter().any(|name| network.starts_with(name)) {
            continue;
        }
        let config = config::from_file(&path).unwrap_or_else(|error| panic!("{error}"));
        let named = ModelConfig::named(&network.replace('_', "-"), config.data.kind.skeleton());
        assert_eq!(Some(config.model_config(config.data.kind.skeleton())), named, "{stem}");
        assert_eq!(size, config.train.size.to_string());
        assert_eq!(config.schedule, config::ScheduleConfig::default(), "{stem}");
        assert_eq!((config.train.epochs, config.train.batch), (210, 32), "{stem}");
        found += 1;
    }
    assert_eq!(found, 12);
}
