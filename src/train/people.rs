//! Who is trained on and who is scored, from the configuration's `[data]`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{Config, DataKind, Split};
use crate::data::loader::steps_in_epoch;
use crate::data::skeleton::{LSP, MPII};
use crate::data::synthetic::{self, Synthetic};
use crate::data::{
    Annotation, DataError, Dataset, FirstOf, Joined, Leeds, LeedsSplit, Loader, LoaderOptions, Person, Size, Skeleton,
};
use crate::metrics::baseline::BaselineError;
use crate::metrics::{MeanPose, Score};

/// The environment variable that names the folder of all data sets.
pub const DATA_VARIABLE: &str = "DITN_DATA";

/// Synthetic people that are scored where the configuration does not say how many.
const SYNTHETIC_EVALUATED: usize = 256;

/// The seed of the synthetic people that are scored: the same in every run, so that scores compare.
const HELD_OUT_SEED: u64 = 0;

/// Most people that the mean pose is taken over.
const MEAN_POSE_PEOPLE: usize = 2000;

/// Batches that each loading thread prepares ahead of the step.
const BATCHES_AHEAD: usize = 2;

/// The two sides of an experiment.
pub struct People {
    training: Arc<dyn Dataset>,
    evaluation: Arc<dyn Dataset>,
    /// Whose mean pose is the baseline.
    typical: Arc<dyn Dataset>,
}

impl People {
    /// Finds the people that a valid configuration asks for; pictures are read later.
    ///
    /// # Errors
    /// A folder that is not there or not named, annotations that are broken.
    pub fn open(config: &Config) -> Result<Self, DataError> {
        let data = &config.data;
        let (training, held_out, typical) = match data.kind {
            DataKind::Synthetic => synthetic_people(config)?,
            DataKind::Lsp => leeds_people(config)?,
        };
        let training: Arc<dyn Dataset> =
            if data.people == 0 { training } else { Arc::new(SamePeople(FirstOf::new(training, data.people))) };
        let evaluation = match config.evaluate.split {
            Split::HeldOut => held_out,
            Split::Train => Arc::clone(&training),
        };
        let evaluation: Arc<dyn Dataset> = match config.evaluate.people {
            0 => evaluation,
            people => Arc::new(FirstOf::new(evaluation, people)),
        };
        Ok(Self { training, evaluation, typical })
    }

    /// The people that the network learns from.
    pub fn training(&self) -> &Arc<dyn Dataset> {
        &self.training
    }

    /// The people that it is scored on.
    pub fn evaluation(&self) -> &Arc<dyn Dataset> {
        &self.evaluation
    }

    /// The joints of both.
    pub fn skeleton(&self) -> &'static Skeleton {
        self.training.skeleton()
    }

    /// What the mean pose scores in every evaluation person's box: what can be had without looking at a picture.
    ///
    /// # Errors
    /// Annotations that cannot be had, people that cannot be scored.
    pub fn mean_pose_score(&self, input: Size) -> Result<Score, BaselineError> {
        MeanPose::of(&*self.typical, MEAN_POSE_PEOPLE, input)?.score(&*self.evaluation)
    }

    /// Endless training batches, from the one of optimizer step `first_step` (from 0) on.
    ///
    /// # Errors
    /// Fewer people than a batch holds.
    pub fn training_batches(&self, config: &Config, first_step: u64) -> Result<Loader, DataError> {
        let options = loader_options(config);
        // The loader counts in passes over the set, which need not be the configuration's epochs.
        let steps = steps_in_epoch(&*self.training, &options).max(1) as u64;
        let (pass, step) = (first_step / steps, (first_step % steps) as usize);
        Loader::training(Arc::clone(&self.training), &options, Some(config.data.augmentation), pass, step)
    }

    /// The people to be scored, in order and as they are.
    ///
    /// # Errors
    /// Nobody is in the split.
    pub fn evaluation_batches(&self, config: &Config) -> Result<Loader, DataError> {
        Loader::evaluation(Arc::clone(&self.evaluation), &loader_options(config))
    }
}

/// The skeleton of a kind of data set.
pub fn skeleton_of(kind: DataKind) -> &'static Skeleton {
    match kind {
        DataKind::Synthetic => &MPII,
        DataKind::Lsp => &LSP,
    }
}

/// A kind of data set whose people have the joints of `skeleton`.
pub fn kind_of(skeleton: &Skeleton) -> DataKind {
    if *skeleton == LSP { DataKind::Lsp } else { DataKind::Synthetic }
}

/// Training people, held-out people, and those whose mean pose is the baseline.
type Sides = (Arc<dyn Dataset>, Arc<dyn Dataset>, Arc<dyn Dataset>);

fn synthetic_people(config: &Config) -> Result<Sides, DataError> {
    let people = |seed, split, people| -> Result<Arc<dyn Dataset>, DataError> {
        Ok(Arc::new(Synthetic::new(config.data.synthetic, seed, split, people)?))
    };
    let or = |number: usize, default: usize| if number == 0 { default } else { number };
    let a_pass = or(config.data.people, config.train.pictures_per_epoch);
    let training = people(config.seed, synthetic::Split::Training, a_pass)?;
    let evaluated = or(config.evaluate.people, SYNTHETIC_EVALUATED);
    let held_out = people(HELD_OUT_SEED, synthetic::Split::HeldOut, evaluated)?;
    let typical = people(config.seed, synthetic::Split::Training, MEAN_POSE_PEOPLE)?;
    Ok((training, held_out, typical))
}

fn leeds_people(config: &Config) -> Result<Sides, DataError> {
    let root = data_root(config.data.root.as_deref())?;
    let people = |folder: &str, split| -> Result<Arc<dyn Dataset>, DataError> {
        Ok(Arc::new(Leeds::open(&root.join(folder), split)?))
    };
    let typical = people("lsp", LeedsSplit::Training)?;
    let training = if config.data.extended {
        Arc::new(Joined::new(vec![Arc::clone(&typical), people("lspet", LeedsSplit::Extended)?])?)
    } else {
        Arc::clone(&typical)
    };
    // Without the extension: its gymnasts stand on their heads so often that the mean pose of all means nothing.
    Ok((training, people("lsp", LeedsSplit::Test)?, typical))
}

/// The folder of all data sets: the configuration's, else the environment's.
fn data_root(configured: Option<&Path>) -> Result<PathBuf, DataError> {
    match (configured, std::env::var_os(DATA_VARIABLE)) {
        (Some(root), _) => Ok(root.to_owned()),
        (None, Some(root)) if !root.is_empty() => Ok(root.into()),
        _ => Err(DataError::Unsuitable(format!(
            "this configuration needs pictures from disk, and no folder is given: use --data DIR, data.root in the \
             configuration, or the environment variable {DATA_VARIABLE}"
        ))),
    }
}

fn loader_options(config: &Config) -> LoaderOptions {
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get());
    let (batch, input, seed) = (config.train.batch, config.input_size(), config.seed);
    LoaderOptions { batch, input, seed, workers, ahead: BATCHES_AHEAD }
}

/// The people of a set's first pass in every pass.
struct SamePeople(FirstOf);

impl Dataset for SamePeople {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn skeleton(&self) -> &'static Skeleton {
        self.0.skeleton()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn annotation(&self, _pass: u64, index: usize) -> Result<Annotation, DataError> {
        self.0.annotation(0, index)
    }

    fn load(&self, _pass: u64, index: usize) -> Result<Person, DataError> {
        self.0.load(0, index)
    }
}
