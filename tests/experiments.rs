//! Every experiment under datasets/ is a configuration that can be run, of the network that it is named after.

use std::path::{Path, PathBuf};

use ditn::models::ModelConfig;
use ditn::nn::{Mode, Network};
use ditn::train::config;

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
    assert!(experiments.len() >= 14, "{experiments:?}");
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

#[test]
fn an_experiment_of_the_paper_is_of_the_network_the_size_and_the_schedule_in_its_name() {
    let mut found = 0;
    for path in experiments() {
        let stem = path.file_stem().expect("it is a file").to_string_lossy();
        let Some((network, size)) = stem.rsplit_once('_').filter(|(_, size)| size.contains('x')) else { continue };
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
