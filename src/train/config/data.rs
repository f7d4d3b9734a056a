//! `[data]`: which people.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::coco::Id;
use crate::data::synthetic::SyntheticOptions;
use crate::data::{Augmentation, Broken, DataKind, InvalidValue};

/// `[data]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Synthetic people or a data set on disk.
    pub kind: DataKind,
    /// The folder that holds the data set's own folder (`lsp/`, `mpii/`, `coco/`); where absent, the environment variable `DITN_DATA`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// LSP only: train on LSP Extended (`lspet/`) as well.
    pub extended: bool,
    /// MPII, COCO: annotations of the people to learn from, in the data set's folder; where absent the release's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<PathBuf>,
    /// MPII, COCO: annotations of the people to be scored, in the data set's folder; where absent the release's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<PathBuf>,
    /// COCO: one's own set, a file of annotations in COCO's format or the folder of an export that holds one. A relative path
    /// is looked for beside the configuration, in the current directory and in the data sets' folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<PathBuf>,
    /// COCO: the folder or zip file of the pictures; where absent they are looked for around the annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pictures: Option<PathBuf>,
    /// COCO: the category by number or name; where absent the one that has joints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<Id>,
    /// COCO: the share of the pictures of `annotations` that is scored and not learned from, where there is no file of
    /// such pictures (`evaluation`); 0: those that are learned from are scored.
    pub held_out: f64,
    /// COCO: detected boxes to be scored in place of the true ones, a JSON file in the data set's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boxes: Option<PathBuf>,
    /// Train on the first so many people only; 0 means all of them (synthetic: endless new ones).
    pub people: usize,
    /// A person whose picture cannot be read or whose box has no extent: "stop" ends the run and names the person, "skip"
    /// lets another stand in. In evaluations "skip" counts the joints of such a person as not found.
    pub broken: Broken,
    /// How hard the synthetic pictures are.
    pub synthetic: SyntheticOptions,
    /// How training pictures are varied.
    pub augmentation: Augmentation,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            kind: DataKind::Synthetic,
            root: None,
            extended: false,
            training: None,
            evaluation: None,
            annotations: None,
            pictures: None,
            category: None,
            held_out: 0.1,
            boxes: None,
            people: 0,
            broken: Broken::Stop,
            synthetic: SyntheticOptions::default(),
            augmentation: Augmentation::default(),
        }
    }
}

impl DataConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn check(&self) -> Result<(), InvalidValue> {
        let rule = InvalidValue::unless;
        let kind = self.kind;
        let (is_coco, has_files) = (kind == DataKind::Coco, matches!(kind, DataKind::Mpii | DataKind::Coco));
        rule(!self.extended || kind == DataKind::Lsp, "extended", &self.extended, "is for data.kind = \"lsp\" only")?;
        // The annotations of the other kinds are always the release's.
        for (key, file) in [("training", &self.training), ("evaluation", &self.evaluation)] {
            rule(file.is_none() || has_files, key, file, "is for data.kind = \"mpii\" or \"coco\" only")?;
        }
        for (key, file) in [("boxes", &self.boxes), ("annotations", &self.annotations), ("pictures", &self.pictures)] {
            rule(file.is_none() || is_coco, key, file, "is for data.kind = \"coco\" only")?;
        }
        rule(self.category.is_none() || is_coco, "category", &self.category, "is for data.kind = \"coco\" only")?;
        let either = self.annotations.is_none() || self.training.is_none();
        rule(either, "training", &self.training, "is what data.annotations is: set one of them")?;
        rule((0.0..1.0).contains(&self.held_out), "held_out", &self.held_out, "must be at least 0 and less than 1")?;
        self.augmentation.check().map_err(|error| error.within("augmentation"))?;
        self.synthetic.check().map_err(|error| error.within("synthetic"))
    }
}
