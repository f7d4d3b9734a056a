//! The people of COCO, and of files in its format with joints of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{Config, Split};
use super::folders::{DATA_VARIABLE, Sides, data_root, stand_in};
use crate::data::coco::{CocoFiles, Export};
use crate::data::skeleton::COCO;
use crate::data::{Coco, DataError, Dataset, SkeletonTable};

/// The people of `data.kind = "coco"`. For `scoring` alone, those to learn from may be missing.
///
/// # Errors
/// Files that are missing or broken, sides with different joints, bones that the network needs and the joints have not.
pub(super) fn coco_people(config: &Config, scoring: bool) -> Result<Sides, DataError> {
    let sides = match &config.data.annotations {
        Some(annotations) => own_people(config, &locate(config, annotations)?)?,
        None => released_people(config, scoring)?,
    };
    let (joints, held_out) = (sides.training.skeleton(), sides.held_out.skeleton());
    if joints.joints.len() != held_out.joints.len() {
        return Err(DataError::Unsuitable(format!(
            "{} has {} joints a person and {} has {}: they cannot be used together",
            sides.training.name(),
            joints.joints.len(),
            sides.held_out.name(),
            held_out.joints.len()
        )));
    }
    if config.model.has_bones() && joints.bones.is_empty() {
        return Err(DataError::Unsuitable(format!(
            "model.kind = \"ditn\" learns bones, and the skeleton of {} has none: use model.kind = \"hrnet\" or \
             \"resnet\", or name bones with skeleton.bones",
            sides.training.name()
        )));
    }
    Ok(sides)
}

/// In the layout of the release; each file may be named.
fn released_people(config: &Config, scoring: bool) -> Result<Sides, DataError> {
    let data = &config.data;
    let root = data_root(data.root.as_deref());
    let open = |configured: &Option<PathBuf>, split: &str, boxes: Option<&Path>, table: Option<&SkeletonTable>| {
        let default = || format!("annotations/person_keypoints_{split}2017.json").into();
        let file: PathBuf = configured.clone().unwrap_or_else(default);
        // Outside the folder of data sets lies only what is named.
        let folder = match &root {
            Ok(root) => root.join("coco"),
            Err(_) if configured.as_ref().is_some_and(|file| file.is_file()) => PathBuf::new(),
            Err(_) => data_root(data.root.as_deref())?,
        };
        let here = configured.as_ref().filter(|file| !folder.join(file).exists() && file.is_file());
        let path = here.cloned().unwrap_or_else(|| folder.join(&file));
        let boxes = boxes.map(|boxes| if boxes.is_file() { boxes.to_path_buf() } else { folder.join(boxes) });
        let split = file.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("COCO {}", split.rsplit('_').next().unwrap_or_default());
        Coco::open_files(CocoFiles {
            folder: Some(&folder),
            boxes: boxes.as_deref(),
            pictures: data.pictures.as_deref(),
            category: data.category.as_ref(),
            skeleton: table,
            ..CocoFiles::new(&name, &path)
        })
        .map(Arc::new)
    };
    let held_out = open(&data.evaluation, "val", data.boxes.as_deref(), config.skeleton.as_ref())?;
    // Both sides have the joints, bones and pairs of one of them.
    let table = shared_table(config, &held_out);
    let training = match open(&data.training, "train", None, table.as_ref()) {
        Ok(people) => people,
        Err(error) => match (&data.boxes, scoring) {
            // Boxes have no joints for a mean pose.
            (Some(_), true) => stand_in(error, &open(&data.evaluation, "val", None, table.as_ref())?, scoring)?,
            _ => stand_in(error, &held_out, scoring)?,
        },
    };
    Ok(sides(config, training, held_out))
}

/// Of one file or export: what is scored is a file of its own, or every so manieth picture.
fn own_people(config: &Config, annotations: &Path) -> Result<Sides, DataError> {
    let data = &config.data;
    let export = match annotations.is_dir() {
        true => Export::find(annotations)?,
        false => Export { training: annotations.to_path_buf(), evaluation: None },
    };
    let evaluation = match &data.evaluation {
        Some(file) => Some(locate(config, file)?),
        None => export.evaluation,
    };
    let pictures = data.pictures.as_deref().map(|pictures| locate(config, pictures)).transpose()?;
    let boxes = data.boxes.as_deref().map(|boxes| locate(config, boxes)).transpose()?;
    let open = |file: &Path, boxes: Option<&Path>, table: Option<&SkeletonTable>| {
        let name = match (file.file_stem(), file.parent().and_then(Path::file_name)) {
            // Every part of such an export has a file of this name.
            (Some(stem), Some(folder)) if stem == "_annotations.coco" => folder.to_string_lossy(),
            (stem, _) => stem.unwrap_or_default().to_string_lossy(),
        };
        Coco::open_files(CocoFiles {
            boxes,
            pictures: pictures.as_deref(),
            category: data.category.as_ref(),
            skeleton: table,
            ..CocoFiles::new(&name, file)
        })
    };
    let all = open(&export.training, None, config.skeleton.as_ref())?;
    let table = shared_table(config, &all);
    if let Some(file) = evaluation {
        let held_out = Arc::new(open(&file, boxes.as_deref(), table.as_ref())?);
        return Ok(sides(config, Arc::new(all), held_out));
    }
    if data.held_out == 0.0 {
        tracing::warn!("those who are learned from are scored, as data.held_out is 0: the score says little");
        let all = Arc::new(all);
        let held_out = match &boxes {
            Some(boxes) => Arc::new(open(&export.training, Some(boxes), table.as_ref())?),
            None => Arc::clone(&all),
        };
        return Ok(sides(config, all, held_out));
    }
    let (training, mut held_out) = all.parted(data.held_out)?;
    if let Some(boxes) = &boxes {
        held_out = open(&export.training, Some(boxes), table.as_ref())?.parted(data.held_out)?.1;
    }
    tracing::info!("{} are learned from, {} are scored", training.name(), held_out.name());
    Ok(sides(config, Arc::new(training), Arc::new(held_out)))
}

fn sides(config: &Config, training: Arc<Coco>, held_out: Arc<Coco>) -> Sides {
    let scored = match config.evaluate.split {
        Split::HeldOut => &held_out,
        Split::Train => &training,
    };
    Sides { typical: training.clone(), coco: Some(Arc::clone(scored)), training, held_out }
}

/// The skeleton of one side for the other; COCO's own is known.
fn shared_table(config: &Config, of: &Coco) -> Option<SkeletonTable> {
    match of.skeleton().joints == COCO.joints {
        true => config.skeleton.clone(),
        false => Some(SkeletonTable::from(&**of.skeleton())),
    }
}

/// The file that is meant: from the current directory, or in the data sets' folder or COCO's there.
fn locate(config: &Config, file: &Path) -> Result<PathBuf, DataError> {
    if file.is_absolute() || file.exists() {
        return Ok(file.to_path_buf());
    }
    let root = data_root(config.data.root.as_deref()).ok();
    let inside = root.iter().flat_map(|root| [root.join(file), root.join("coco").join(file)]);
    inside.into_iter().find(|path| path.exists()).ok_or_else(|| DataError::Missing {
        path: file.to_path_buf(),
        advice: format!(
            "looked for beside the configuration, in the current directory and in the data sets' folder ({})",
            root.map_or_else(|| format!("none is named: --data or {DATA_VARIABLE}"), |root| root.display().to_string())
        ),
    })
}
