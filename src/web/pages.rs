//! The pages' own files, inside the program.

use super::bundle::Bundle;

macro_rules! pages {
    ($($file:literal),+ $(,)?) => {
        [$(($file, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/web/", $file)).as_slice())),+]
    };
}

/// All of `web/` but its tests; a test finds what is missing.
const PAGES: &[(&str, &[u8])] = &pages![
    "README.md",
    "benchmark.html",
    "benchmark.js",
    "box.js",
    "camera.js",
    "cases.js",
    "checks.js",
    "comment.js",
    "crop.js",
    "curve.js",
    "draw.js",
    "editor.js",
    "index.html",
    "job.js",
    "joints.js",
    "kernels.html",
    "kernels.js",
    "maps.js",
    "measure.js",
    "numbers.js",
    "page.js",
    "picture.js",
    "pose.css",
    "pose.js",
    "predict.js",
    "roofline.js",
    "runtime.js",
    "style.css",
    "table.js",
    "tensors.js",
    "train.css",
    "train.html",
    "train.js",
    "trainer.js",
    "verify.html",
    "verify.js",
];

/// Adds the pages.
pub(super) fn add(bundle: &mut Bundle) {
    for (file, bytes) in PAGES {
        bundle.bytes(file, bytes.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_pages_is_in_the_program() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let mut found: Vec<String> = files
            .filter(|entry| entry.file_type().unwrap().is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, PAGES.iter().map(|(file, _)| (*file).to_owned()).collect::<Vec<_>>());
    }
}
