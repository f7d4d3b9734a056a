//! The networks are the reference's: every dump in `tests/dumps/`, made by `tools/make_dumps.sh`, on this adapter.

use std::path::{Path, PathBuf};

use ditn::gpu::{AdapterChoice, Gpu};
use ditn::verify::verify;

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
    assert_eq!(dumps.len(), 8, "{dumps:?}");
    for path in dumps {
        let report = verify(&gpu, &path).unwrap_or_else(|error| panic!("{error}"));
        assert!(report.pass, "{}: {report:#?}", path.display());
    }
}
