//! Who is trained on and who is scored, from the configuration's `[data]`.

use std::path::PathBuf;
use std::sync::Arc;

use super::coco_people::coco_people;
use super::config::{Config, Split};
use super::folders::{Sides, data_root, stand_in};
use super::results::{Results, coco_results};
use crate::data::synthetic::{self, Synthetic};
use crate::data::{
    Annotation, Coco, DataError, DataKind, Dataset, FirstOf, Joined, Leeds, LeedsSplit, Loader, LoaderOptions, Mpii,
    Person, Place, Share, Size, Skeleton, SkeletonTable,
};
use crate::metrics::{Evaluation, MeanPose, Score, ScoreError, oks, score_people};
use crate::predict::{Keypoint, Pose, places};
use crate::ranks::Communicator;

pub use super::folders::DATA_VARIABLE;

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
    /// COCO: who is scored, with pictures' numbers and boxes' scores.
    coco: Option<Arc<Coco>>,
}

/// Whether the training people are needed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Training,
    Scoring,
}

impl People {
    /// Finds the people that a valid configuration asks for; pictures are read later.
    ///
    /// # Errors
    /// A folder that is not there or not named, annotations that are broken.
    pub fn open(config: &Config) -> Result<Self, DataError> {
        Self::open_for(config, Purpose::Training)
    }

    /// As [`open`](Self::open), but MPII and COCO may lack the people to learn from. Those to be scored then stand in for
    /// them, as in the mean pose.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_for_scoring(config: &Config) -> Result<Self, DataError> {
        Self::open_for(config, Purpose::Scoring)
    }

    fn open_for(config: &Config, purpose: Purpose) -> Result<Self, DataError> {
        let data = &config.data;
        let Sides { training, held_out, typical, coco } = match data.kind {
            DataKind::Synthetic => synthetic_people(config)?,
            DataKind::Lsp => leeds_people(config)?,
            DataKind::Mpii => mpii_people(config, purpose)?,
            DataKind::Coco => coco_people(config, purpose == Purpose::Scoring)?,
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
        Ok(Self { training, evaluation, typical, coco })
    }

    /// The people that the network learns from.
    pub fn training(&self) -> &Arc<dyn Dataset> {
        &self.training
    }

    /// The people that it is scored on.
    pub fn evaluation(&self) -> &Arc<dyn Dataset> {
        &self.evaluation
    }

    /// The configuration that says all of these people: a skeleton of their own is written out, and files that lie
    /// outside the data sets' folder are named from the root of the disk. It opens the same people wherever a run is
    /// resumed or its checkpoint scored.
    pub fn complete(&self, config: Config) -> Config {
        let mut config = config;
        if *self.skeleton() != *config.data.kind.skeleton() {
            config.skeleton = Some(SkeletonTable::from(&**self.skeleton()));
        }
        let data = &mut config.data;
        for file in
            [&mut data.annotations, &mut data.training, &mut data.evaluation, &mut data.pictures, &mut data.boxes]
        {
            let absolute = file.as_ref().filter(|file| file.exists()).and_then(|file| std::path::absolute(file).ok());
            *file = absolute.or(file.take());
        }
        config
    }

    /// Whether a network for the joints of `trained` finds those of these people; what is called otherwise is said.
    ///
    /// # Errors
    /// Another number of joints.
    pub fn check_joints(&self, trained: &Skeleton) -> Result<(), DataError> {
        let (ours, theirs) = (&self.skeleton().joints, &trained.joints);
        if ours.len() != theirs.len() {
            return Err(DataError::Unsuitable(format!(
                "the checkpoint's network finds the {} joints of {}, and {} has {}",
                theirs.len(),
                trained.name,
                self.evaluation.name(),
                ours.len()
            )));
        }
        if !trained.names_equal(ours) {
            let (name, set) = (&trained.name, self.evaluation.name());
            tracing::warn!("the network was trained for the joints of {name}, and {set} calls them otherwise");
        }
        Ok(())
    }

    /// The joints of both.
    pub fn skeleton(&self) -> &Arc<Skeleton> {
        self.training.skeleton()
    }

    /// What the mean pose scores in every evaluation person's box: what can be had without looking at a picture.
    ///
    /// # Errors
    /// Annotations that cannot be had, people that cannot be scored.
    pub fn mean_pose_score(&self, input: Size) -> Result<Score, ScoreError> {
        let mean = MeanPose::of(&*self.typical, MEAN_POSE_PEOPLE, input)?;
        let mut poses = Vec::new();
        for index in 0..self.evaluation.len() {
            let person = self.evaluation.annotation(0, index)?;
            let places = mean.place(person.center, person.scale);
            poses.push(places.into_iter().map(|[x, y]| Keypoint { x, y, score: 1.0 }).collect());
        }
        Ok(self.score(&poses, input)?.score)
    }

    /// The data set's score of predicted poses, one for each evaluation person in order. COCO's pictures without any of
    /// these people are left out where the configuration limits their number.
    ///
    /// # Errors
    /// Annotations that cannot be had, people that cannot be scored.
    pub fn score(&self, poses: &[Pose], input: Size) -> Result<Evaluation, ScoreError> {
        match &self.coco {
            Some(coco) => {
                let results = coco_results(coco, poses, input)?;
                let truth = coco.annotations_of_first(poses.len());
                Ok(Evaluation { score: Score::Oks(oks::evaluate(&truth, &results)), curve: Vec::new() })
            }
            None => score_people(&*self.evaluation, |index, _| poses.get(index).map(|p| places(p)).unwrap_or_default()),
        }
    }

    /// The same poses as the public tools read them.
    ///
    /// # Errors
    /// Annotations that cannot be had.
    pub fn results(&self, poses: &[Pose], input: Size) -> Result<Results, DataError> {
        match &self.coco {
            Some(coco) => Ok(Results::Coco(coco_results(coco, poses, input)?)),
            None => Ok(Results::of_poses(poses, self.skeleton())),
        }
    }

    /// What tells these people from others: how many there are to learn from and to be scored, and the names of some.
    ///
    /// # Errors
    /// Annotations that cannot be had.
    pub fn fingerprint(&self) -> Result<(usize, usize, Vec<String>), DataError> {
        /// Of each set, spread evenly over it.
        const NAMED: usize = 100;
        let mut names = Vec::with_capacity(2 * NAMED);
        for set in [&self.training, &self.evaluation] {
            for index in (0..set.len()).step_by(set.len().div_ceil(NAMED).max(1)) {
                names.push(set.annotation(0, index)?.name);
            }
        }
        Ok((self.training.len(), self.evaluation.len(), names))
    }

    /// Endless training batches from `first` on, of which each rank has its share of a step. Passes over the people need not be
    /// the configuration's epochs.
    ///
    /// # Errors
    /// Fewer people than a step takes.
    pub fn training_batches(
        &self,
        config: &Config,
        ranks: &dyn Communicator,
        first: Place,
    ) -> Result<Loader, DataError> {
        let (accumulate, rank) = (config.train.accumulate, ranks.rank());
        let share = Share { of: accumulate * ranks.size(), own: rank * accumulate..(rank + 1) * accumulate };
        let options = loader_options(config, share, ranks.local().1);
        Loader::training(Arc::clone(&self.training), &options, Some(config.data.augmentation), first)
    }

    /// A share of the people to be scored, in order and as they are. So many processes of this machine load them at a time.
    ///
    /// # Errors
    /// Nobody is in the split.
    pub fn evaluation_batches(&self, config: &Config, share: Share, sharers: usize) -> Result<Loader, DataError> {
        Loader::evaluation(Arc::clone(&self.evaluation), &loader_options(config, share, sharers))
    }
}

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
    Ok(Sides { training, held_out, typical, coco: None })
}

fn leeds_people(config: &Config) -> Result<Sides, DataError> {
    let root = data_root(config.data.root.as_deref())?;
    let people = |folder: &str, split| -> Result<Arc<dyn Dataset>, DataError> {
        Ok(Arc::new(Leeds::open(&root.join(folder), split)?))
    };
    let typical = people("lsp", LeedsSplit::Training)?;
    let training: Arc<dyn Dataset> = if config.data.extended {
        Arc::new(Joined::new(vec![Arc::clone(&typical), people("lspet", LeedsSplit::Extended)?])?)
    } else {
        Arc::clone(&typical)
    };
    // Without the extension: its gymnasts stand on their heads so often that the mean pose of all means nothing.
    Ok(Sides { training, held_out: people("lsp", LeedsSplit::Test)?, typical, coco: None })
}

fn mpii_people(config: &Config, purpose: Purpose) -> Result<Sides, DataError> {
    let folder = data_root(config.data.root.as_deref())?.join("mpii");
    let file = |configured: &Option<PathBuf>, default: &str| configured.clone().unwrap_or_else(|| default.into());
    let evaluation = file(&config.data.evaluation, "annot/valid.json");
    let training = file(&config.data.training, "annot/train.json");
    let mut held_out = Mpii::open(&folder, &evaluation)?;
    if !held_out.has_head_sizes() {
        held_out = held_out.with_truth(&folder.join(evaluation.with_file_name("gt_valid.mat")))?;
    }
    let held_out = Arc::new(held_out);
    let training = if training == evaluation {
        Arc::clone(&held_out)
    } else {
        match Mpii::open(&folder, &training) {
            Ok(people) => Arc::new(people.without_pictures_of(&held_out)),
            Err(error) => stand_in(error, &held_out, purpose == Purpose::Scoring)?,
        }
    };
    Ok(Sides { typical: training.clone(), training, held_out, coco: None })
}

/// `sharers` processes of this machine load pictures at the same time.
fn loader_options(config: &Config, share: Share, sharers: usize) -> LoaderOptions {
    let cores = std::thread::available_parallelism().map_or(1, |count| count.get());
    // A process that is bound to some of the cores has these to itself.
    let workers = if cores < machine_cores() { cores } else { cores.div_ceil(sharers) };
    let (batch, input, seed) = (config.train.batch, config.train.size, config.seed);
    LoaderOptions { batch, input, seed, workers, ahead: BATCHES_AHEAD, broken: config.data.broken, share }
}

/// The cores of this machine, where the system says them; otherwise 0.
fn machine_cores() -> usize {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("processor")).count()
}

/// The people of a set's first pass in every pass.
struct SamePeople(FirstOf);

impl Dataset for SamePeople {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn skeleton(&self) -> &Arc<Skeleton> {
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
