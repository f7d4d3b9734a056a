//! The folder that a tool for labelling exports: which files of annotations are in it.

use std::path::{Path, PathBuf};

use super::super::DataError;

/// The files of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Those to learn from.
    pub training: PathBuf,
    /// Those to be scored; `None` where there is one file of all.
    pub evaluation: Option<PathBuf>,
}

/// Names of the part to learn from, and of those to be scored, the best first.
const TRAINING: &str = "train";
const EVALUATION: [&str; 3] = ["val", "valid", "test"];

impl Export {
    /// The annotations in `folder`: `train/_annotations.coco.json` and `valid/...` (Roboflow), else the files in
    /// `annotations/` (CVAT, COCO's release) or in the folder itself (Label Studio's `result.json`): the only one, or that of
    /// `train` and that of `val`, `valid` or `test` by their names.
    ///
    /// # Errors
    /// No such file, or several of which none is meant.
    pub fn find(folder: &Path) -> Result<Export, DataError> {
        let part = |part: &str| folder.join(part).join("_annotations.coco.json");
        let existing = |path: PathBuf| path.is_file().then_some(path);
        if let Some(training) = existing(part(TRAINING)) {
            let evaluation = ["valid", "val", "test"].into_iter().find_map(|name| existing(part(name)));
            return Ok(Export { training, evaluation });
        }
        let mut several = None;
        for inside in [folder.join("annotations"), folder.to_path_buf()] {
            let files = json_files(&inside);
            match files.as_slice() {
                [] => {}
                [only] => return Ok(Export { training: only.clone(), evaluation: None }),
                files => match Self::by_name(files) {
                    Some(export) => return Ok(export),
                    None => several = several.or(Some(files.to_vec())),
                },
            }
        }
        let listed = |files: Vec<PathBuf>| {
            let names: Vec<String> = files.iter().take(8).map(|file| file.display().to_string()).collect();
            format!("which of its files of annotations is meant: {}? Name it with data.annotations", names.join(", "))
        };
        let problem = several.map_or_else(|| "has no file of annotations (.json), nor in annotations/".into(), listed);
        Err(DataError::Annotation { path: folder.to_path_buf(), problem })
    }

    fn by_name(files: &[PathBuf]) -> Option<Export> {
        let keypoints =
            |file: &&PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().contains("keypoints"));
        let of = |part: &str| {
            let has = |file: &&PathBuf| file.file_stem().is_some_and(|stem| stem.to_string_lossy().contains(part));
            let with: Vec<&PathBuf> = files.iter().filter(has).collect();
            // The release has captions and instances beside the joints.
            with.iter().copied().find(|file| keypoints(file)).or_else(|| (with.len() == 1).then(|| with[0])).cloned()
        };
        match of(TRAINING) {
            Some(training) => Some(Export { training, evaluation: EVALUATION.into_iter().find_map(of) }),
            None => {
                let with: Vec<&PathBuf> = files.iter().filter(keypoints).collect();
                (with.len() == 1).then(|| Export { training: with[0].clone(), evaluation: None })
            }
        }
    }
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json")) && path.is_file())
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_exports_are_found() {
        let root = std::env::temp_dir().join(format!("ditn-export-{}", std::process::id()));
        std::fs::remove_dir_all(&root).ok();
        let make = |files: &[&str]| {
            std::fs::remove_dir_all(&root).ok();
            for file in files {
                let path = root.join(file);
                std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("it is writable");
                std::fs::write(path, "{}").expect("it is writable");
            }
            let name = |path: PathBuf| path.strip_prefix(&root).expect("it is inside").to_string_lossy().into_owned();
            Export::find(&root).map(|found| (name(found.training), found.evaluation.map(name)))
        };
        let only = |file: &str| (file.to_owned(), None::<String>);
        let cvat = make(&["annotations/person_keypoints_default.json", "images/default/a.jpg"]);
        assert_eq!(cvat.ok(), Some(only("annotations/person_keypoints_default.json")));
        let both =
            make(&["train/_annotations.coco.json", "valid/_annotations.coco.json", "test/_annotations.coco.json"]);
        let valid = Some("valid/_annotations.coco.json".to_owned());
        assert_eq!(both.ok(), Some(("train/_annotations.coco.json".into(), valid)));
        assert_eq!(make(&["result.json", "images/a.jpg"]).ok(), Some(only("result.json")));
        let release =
            ["captions_train2017", "instances_train2017", "person_keypoints_train2017", "person_keypoints_val2017"];
        let release = release.map(|name| format!("annotations/{name}.json"));
        let found = make(&release.each_ref().map(String::as_str));
        assert_eq!(found.ok(), Some((release[2].clone(), Some(release[3].clone()))));
        let error = make(&["a.json", "b.json"]).expect_err("either could be meant").to_string();
        assert!(error.contains("a.json") && error.contains("b.json") && error.contains("which"), "{error}");
        assert!(make(&["images/a.jpg"]).is_err_and(|error| error.to_string().contains("no file of annotations")));
        std::fs::remove_dir_all(&root).ok();
    }
}
