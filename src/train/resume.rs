//! Going on with a run: what may have changed since it stopped, and what older programs' checkpoints lack.
//!
//! A run goes on with another batch, other epochs, another learning rate, schedule, precision or size of the pictures, and
//! on more people of its kind or fewer. It stays with its network, what of it is frozen, its kind of optimizer, whose state
//! goes on too, its kind of people and their joints and bones.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::checkpoint::{Checkpoint, Header};
use super::config::{Config, Split};
use super::folder::RunFolder;
use super::progress::Progress;
use crate::data::Place;
use crate::data::skeleton::MPII;
use crate::models::ModelConfig;
use crate::nn::LOSS_SCALE;
use crate::nn::checkpoint::State;

/// A key of the configuration with two values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its name with its table.
    pub key: String,
    /// The value that the run had, as TOML.
    pub before: String,
    /// The value that it is to go on with.
    pub now: String,
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "{} was {} and is {} now", self.key, self.before, self.now)
    }
}

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The configuration describes another run.
    #[error(
        "the run in {} cannot go on: {}; resume it as it was, or begin another run with its network, by \
         --set model.init={}",
        folder.display(), listed(changes), last.display()
    )]
    OtherRun {
        /// The run's folder.
        folder: PathBuf,
        /// Its newest checkpoint.
        last: PathBuf,
        /// What differs and must not.
        changes: Vec<Change>,
    },
    /// Another number of processes would make other steps of the same configuration.
    #[error(
        "the run in {} was trained by {before} processes with {pictures} pictures a step, and {now} of them would have {others}; \
         start {before}, or keep the pictures of a step by --set train.batch or --set train.accumulate{}",
        folder.display(), suggestion.as_ref().map_or(String::new(), |value| format!(" ({value})"))
    )]
    Ranks {
        /// The run's folder.
        folder: PathBuf,
        /// Processes that there were.
        before: usize,
        /// Processes that there are.
        now: usize,
        /// Pictures a step before.
        pictures: usize,
        /// Pictures a step now.
        others: usize,
        /// What would keep the pictures of a step.
        suggestion: Option<String>,
    },
    /// The parts of the checkpoint are of different moments.
    #[error("{}: its header counts {header} steps and its optimizer {optimizer}: it cannot be trusted", path.display())]
    Steps {
        /// The checkpoint.
        path: PathBuf,
        /// Steps by the header.
        header: u64,
        /// Steps by the optimizer.
        optimizer: u64,
    },
}

/// Changes in a row.
fn listed(changes: &[Change]) -> String {
    changes.iter().map(Change::to_string).collect::<Vec<_>>().join("; ")
}

/// What has changed in a configuration, all of which the run can go on with.
#[derive(Debug, Default)]
pub struct Changes(Vec<Change>);

impl Changes {
    /// Compares the header of the checkpoint that the run in `folder` stopped with, and the configuration and number of
    /// processes that it is to go on with.
    ///
    /// # Errors
    /// [`ResumeError::OtherRun`]; [`ResumeError::Ranks`] where other ranks would make steps of another number of pictures.
    pub fn between(header: &Header, now: &Config, ranks: usize, folder: &RunFolder) -> Result<Self, ResumeError> {
        let (before, were) = (&header.config, header.progress.ranks);
        let (pictures, others) = (before.train.pictures_per_step(were), now.train.pictures_per_step(ranks));
        if ranks != were && pictures != others {
            let accumulate = before.train.accumulate * were * before.train.batch;
            let step = now.train.batch * ranks;
            let suggestion = accumulate.is_multiple_of(step).then(|| format!("train.accumulate={}", accumulate / step));
            let (folder, now) = (folder.path().to_owned(), ranks);
            return Err(ResumeError::Ranks { folder, before: were, now, pictures, others, suggestion });
        }
        let (old, new) = (values(before), values(now));
        let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
        let value = |values: &BTreeMap<String, String>, key| values.get(key).cloned().unwrap_or("not set".into());
        let all = keys.map(|key| Change { key: key.clone(), before: value(&old, key), now: value(&new, key) });
        let all: Vec<Change> = all.filter(|change| change.before != change.now).collect();

        // How weights would start makes no difference any more, and any skeleton shows what else does.
        let network = |config: &Config| ModelConfig { body_weights: now.model.weights, ..config.model.model(&MPII) };
        let same_network = network(before) == network(now);
        let forbidden = |change: &&Change| match change.key.as_str() {
            "data.kind" | "optimizer.kind" | "train.freeze" | "skeleton.joints" | "skeleton.bones" => true,
            "model.init" | "model.weights" => false,
            key => key.starts_with("model.") && !same_network,
        };
        let changes: Vec<Change> = all.iter().filter(forbidden).cloned().collect();
        if changes.is_empty() {
            let mut all = all;
            if ranks != were {
                let what = if now.train.sync_batch_norm { "processes that share statistics" } else { "processes" };
                let (before, now) = (were.to_string(), ranks.to_string());
                all.push(Change { key: format!("the number of {what}"), before, now });
            }
            return Ok(Self(all));
        }
        Err(ResumeError::OtherRun { folder: folder.path().to_owned(), last: folder.last(), changes })
    }

    /// A line for people, where anything has changed.
    pub fn note(&self) -> Option<String> {
        let of_the_beginning =
            self.0.iter().any(|change| ["model.init", "model.weights"].contains(&change.key.as_str()));
        let unread = if of_the_beginning { " (a run that goes on does not start from weights again)" } else { "" };
        (!self.0.is_empty()).then(|| format!("Changed since the run stopped: {}{unread}", listed(&self.0)))
    }

    /// Whether scores before and after are of different people, or of joints found in another way.
    pub fn are_of_scores(&self, split: Split) -> bool {
        self.0.iter().any(|Change { key, before, now }| match key.as_str() {
            "evaluate.every" => false,
            "data.category" | "data.held_out" | "skeleton.sigmas" => true,
            // The same file elsewhere is that of another machine.
            "data.evaluation" | "data.boxes" | "data.annotations" => file_name(before) != file_name(now),
            "data.people" | "data.training" | "data.extended" | "seed" => split == Split::Train,
            key => key.starts_with("evaluate.") || key.starts_with("data.synthetic."),
        })
    }
}

/// What follows the last slash, of either kind, in a TOML string.
fn file_name(path: &str) -> Option<&str> {
    path.trim_matches(['"', '\'']).rsplit(['/', '\\']).next()
}

/// All values of a configuration by their keys, as TOML.
fn values(config: &Config) -> BTreeMap<String, String> {
    fn collect(prefix: &str, table: &toml::Table, values: &mut BTreeMap<String, String>) {
        for (name, value) in table {
            match value {
                toml::Value::Table(table) => collect(&format!("{prefix}{name}."), table, values),
                value => drop(values.insert(format!("{prefix}{name}"), value.to_string())),
            }
        }
    }
    let mut values = BTreeMap::new();
    // A configuration is TOML, or it could not have been read.
    collect("", &toml::Table::try_from(config).unwrap_or_default(), &mut values);
    values
}

/// Where the next batch of a run begins in the training people, of whom there are `people`.
pub(super) fn place(checkpoint: Option<&Checkpoint>, people: usize) -> Place {
    let Some(Checkpoint { header: Header { config, progress }, .. }) = checkpoint else { return Place::default() };
    progress.place.unwrap_or_else(|| {
        // An older program's: it counted steps alone.
        // One process without accumulation: older programs had nothing else.
        let batch = config.train.batch.max(1);
        let steps = (people / batch).max(1) as u64;
        Place { pass: progress.step / steps, people: (progress.step % steps) as usize * batch }
    })
}

/// The progress of a checkpoint whose pictures are counted, though an older program wrote it.
pub(super) fn progress(header: Header) -> Progress {
    let Header { config, mut progress } = header;
    let batch = config.train.batch as u64;
    if progress.pictures == 0 {
        progress.pictures = progress.step.saturating_mul(batch);
        progress.epoch.pictures = progress.epoch.steps.saturating_mul(batch);
    }
    progress
}

/// Adds the loss scale that half precision needs, or takes away the one that single precision does not.
pub(super) fn fit_precision(state: &mut State, fresh: &State) {
    match fresh.get(LOSS_SCALE) {
        Some(scale) => drop(state.entry(LOSS_SCALE.to_owned()).or_insert_with(|| scale.clone())),
        None => drop(state.remove(LOSS_SCALE)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::config;
    use super::super::progress::EpochSums;
    use super::*;

    /// What the changes come to, made in a folder that is not looked at.
    fn resumed(overrides: &[&str]) -> Result<Changes, String> {
        static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ditn-resume-{}-{number}", std::process::id()));
        let folder = RunFolder::for_new_run(&path).unwrap();
        let before = config::embedded().unwrap();
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let now = config::with_overrides(before.clone(), &overrides).unwrap();
        let header = Header { config: before, progress: Progress::default() };
        let changes = Changes::between(&header, &now, 1, &folder).map_err(|error| error.to_string());
        drop(folder);
        std::fs::remove_dir_all(&path).unwrap();
        changes
    }

    #[test]
    fn what_changes_is_said_with_both_values() {
        assert_eq!(resumed(&[]).unwrap().note(), None);
        let batch = config::embedded().unwrap().train.batch;
        let note = resumed(&["train.batch=99", "data.root=elsewhere"]).unwrap().note().unwrap();
        assert!(note.contains(&format!("train.batch was {batch} and is 99 now")), "{note}");
        assert!(!note.contains("start from weights"), "{note}");
        let note = resumed(&["model.init=a.pth", "data.root=elsewhere"]).unwrap().note().unwrap();
        assert!(note.contains("start from weights"), "{note}");
        assert!(note.contains("data.root was not set and is \"elsewhere\" now"), "{note}");
    }

    #[test]
    fn a_run_goes_on_with_another_length_rate_precision_and_size_but_not_as_another_run() {
        for text in [
            "train.epochs=1",
            "train.pictures_per_epoch=9999",
            "train.size=[128,128]",
            "train.precision=f16",
            "optimizer.learning_rate=1",
            "optimizer.weight_decay=0",
            "schedule.milestones=[]",
            "loss.sigma=3",
            "data.people=77",
            "data.broken=skip",
            "seed=99",
            "model.init=a.pth",
            "model.weights=kaiming-normal",
            // A ResNet's, and this is none.
            "model.depth=101",
        ] {
            assert!(resumed(&[text]).is_ok(), "{text}");
        }
        for (text, key) in [
            ("data.kind=lsp", "data.kind was \"synthetic\" and is \"lsp\" now"),
            ("model.kind=hrnet", "model.kind was \"ditn\" and is \"hrnet\" now"),
            ("model.blocks=9", "and is 9 now"),
            ("skeleton.joints=[\"a\", \"b\"]", "skeleton.joints was not set and is [\"a\", \"b\"] now"),
            ("model.transfer=false", "model.transfer was true and is false now"),
            ("optimizer.kind=adam", "optimizer.kind was \"adamw\" and is \"adam\" now"),
            ("optimizer.kind=rmsprop", "optimizer.kind was \"adamw\" and is \"rmsprop\" now"),
            ("model.normalization=unit", "model.normalization was not set and is \"unit\" now"),
            ("train.freeze=backbone", "train.freeze was \"none\" and is \"backbone\" now"),
        ] {
            let error = resumed(&[text, "train.batch=99"]).unwrap_err();
            assert!(error.contains(key) && error.contains("model.init="), "{error}");
            assert!(!error.contains("train.batch"), "only what is in the way: {error}");
        }
    }

    #[test]
    fn scores_compare_as_long_as_the_same_people_are_scored_in_the_same_way() {
        let of_scores = |text| resumed(&[text]).unwrap().are_of_scores(Split::HeldOut);
        assert!(of_scores("evaluate.people=3") && of_scores("evaluate.decode=dark") && of_scores("data.boxes=a.json"));
        assert!(of_scores("data.held_out=0.5") && of_scores("data.evaluation=a.json"));
        assert!(!of_scores("evaluate.every=7") && !of_scores("train.batch=99") && !of_scores("data.people=7"));
        assert!(resumed(&["data.people=7"]).unwrap().are_of_scores(Split::Train));
    }

    #[test]
    fn a_file_that_has_moved_is_the_same() {
        let at =
            |path: &str| Change { key: "data.evaluation".into(), before: "\"/a/val.json\"".into(), now: path.into() };
        assert!(!Changes(vec![at("'D:\\val.json'")]).are_of_scores(Split::HeldOut));
        assert!(Changes(vec![at("\"/a/test.json\"")]).are_of_scores(Split::HeldOut));
    }

    #[test]
    fn a_checkpoint_of_an_older_program_counts_pictures_from_its_steps() {
        let mut config = Config::default();
        config.train.batch = 4;
        let epoch = EpochSums { steps: 3, ..EpochSums::default() };
        let header = Header { config, progress: Progress { step: 13, epochs: 1, epoch, ..Progress::default() } };
        let checkpoint = Checkpoint { header: header.clone(), state: State::new() };
        // Five batches of 4 in a pass over 22.
        assert_eq!(place(Some(&checkpoint), 22), Place { pass: 2, people: 12 });
        assert_eq!(place(None, 22), Place::default());
        let progress = progress(header);
        assert_eq!((progress.pictures, progress.epoch.pictures), (52, 12));
    }
}
