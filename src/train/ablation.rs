//! Tables of the paper: rows as changes of one configuration, and what seeds allow to say. Here are the ablations (Tables 5, 6
//! and 7); [`systems`](super::systems) has the comparisons with others.

use std::path::Path;

use serde::Serialize;

use super::config::{self, Config, ConfigError, NetworkKind};
use super::error::TrainError;
use super::folder::{FolderError, RunFolder};
use super::log::{self, SummaryMetric};
use crate::models::HrNet;

/// A table of the paper.
#[derive(Debug)]
pub struct Table {
    /// As the command line spells it.
    pub name: &'static str,
    /// What its rows differ in.
    pub title: &'static str,
    /// What the paper trained.
    pub paper: &'static str,
    /// What it scored, in percent.
    pub metric: &'static str,
    /// The networks that it can be made with.
    pub networks: &'static [NetworkKind],
    /// Its rows; differences are taken from the first.
    pub rows: &'static [Row],
}

/// A row of a table.
#[derive(Debug)]
pub struct Row {
    /// The name of its folder of runs.
    pub folder: &'static str,
    /// What it is called in the table.
    pub name: &'static str,
    /// What it changes in the configuration.
    pub overrides: &'static [&'static str],
    /// What it changes besides in a configuration of a network narrower than HRNet-W32, so that its own is small too.
    pub small: &'static [&'static str],
    /// The score that the paper prints.
    pub paper: f64,
}

const fn row(folder: &'static str, name: &'static str, overrides: &'static [&'static str], paper: f64) -> Row {
    Row { folder, name, overrides, small: &[], paper }
}

/// Tables 5, 6 and 7.
#[rustfmt::skip]
pub static TABLES: [Table; 3] = [
    Table {
        name: "table5",
        title: "the parts of DITN",
        paper: "HRNet-W32 on MPII, 256x256, 210 epochs",
        metric: "PCKh@0.5",
        networks: &[NetworkKind::Ditn],
        rows: &[
            row("hrnet", "HRNet", &["model.kind=hrnet"], 90.330),
            row("mtl", "multi-task", &["model.transfer=false"], 90.458),
            row("ditm", "+ transfer", &["model.channel_attention=false", "model.spatial_attention=false"], 90.585),
            row("ditm_cab", "+ transfer, channel attention", &["model.spatial_attention=false"], 90.596),
            row("ditm_sab", "+ transfer, spatial attention", &["model.channel_attention=false"], 90.632),
            row("ditn", "+ transfer, both", &[], 90.658),
        ],
    },
    Table {
        name: "table6",
        title: "the losses of joints and bones",
        paper: "ResNet-50 on MPII, 256x256, 210 epochs",
        metric: "PCKh@0.5",
        networks: &[NetworkKind::Ditn, NetworkKind::DitnResnet],
        rows: &[
            row("mse_mse", "MSE + MSE", &["loss.joints=mse", "loss.bones=mse"], 88.81),
            row("focal_focal", "focal L2 + focal L2", &["loss.joints=focal-l2", "loss.bones=focal-l2"], 88.58),
            row("focal_smooth", "focal L2 + smooth L1", &["loss.joints=focal-l2", "loss.bones=smooth-l1"], 88.90),
        ],
    },
    Table {
        name: "table7",
        title: "the weight of the bones' loss",
        paper: "ResNet-50 on MPII, 256x256, 210 epochs",
        metric: "PCKh@0.5",
        networks: &[NetworkKind::Ditn, NetworkKind::DitnResnet],
        rows: &[
            row("lambda_0.10", "lambda = 0.10", &["loss.bone_weight=0.10"], 88.813),
            row("lambda_0.05", "lambda = 0.05", &["loss.bone_weight=0.05"], 88.649),
            row("lambda_0.15", "lambda = 0.15", &["loss.bone_weight=0.15"], 88.720),
        ],
    },
];

impl Row {
    /// The run of this row with that seed.
    ///
    /// # Errors
    /// A configuration that does not go together with the row.
    pub fn config(&self, base: &Config, seed: u64) -> Result<Config, ConfigError> {
        let small = if base.model.width < HrNet::W32.width { self.small } else { &[] };
        let overrides: Vec<String> = self.overrides.iter().chain(small).map(|text| (*text).to_owned()).collect();
        let mut config = config::with_overrides(base.clone(), &overrides)?;
        (config.name, config.seed) = (self.folder.to_owned(), seed);
        config.validate_training()?;
        Ok(config)
    }
}

/// The configuration with `pictures` training pictures a run in place of its own number, in as many epochs as whole
/// batches allow.
#[must_use]
pub fn within_budget(mut config: Config, pictures: usize) -> Config {
    let train = &mut config.train;
    let step = train.pictures_per_step(1);
    train.epochs = train.epochs.min(pictures / step).max(1);
    train.pictures_per_epoch = (pictures / train.epochs).max(step);
    config
}

/// How far a run in a folder has come.
#[derive(Debug)]
pub enum Standing {
    /// There is nothing yet.
    Absent,
    /// It can be resumed.
    Begun,
    /// It is done.
    Finished(SummaryMetric),
}

/// Looks for the run of `config` in `path`; where the data sets lie makes no difference.
///
/// # Errors
/// [`FolderError::OtherRun`]; a folder that cannot be used, a configuration in it that cannot be read.
pub fn standing(path: &Path, config: &Config) -> Result<Standing, TrainError> {
    let folder = match RunFolder::for_resuming(path) {
        Err(FolderError::NothingToResume { .. }) => return Ok(Standing::Absent),
        folder => folder?,
    };
    let mut trained = config::from_file(&folder.config())?;
    trained.data.root.clone_from(&config.data.root);
    if trained != *config {
        return Err(FolderError::OtherRun { path: path.to_owned() }.into());
    }
    // A run whose summary is missing or broken writes it again when it is resumed.
    Ok(log::read_metric(&folder.summary()).map_or(Standing::Begun, Standing::Finished))
}

/// Mean and spread of a row's scores over its seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// How many seeds.
    pub seeds: usize,
    /// In percent.
    pub mean: f64,
    /// Standard deviation over the seeds (of a sample); `None` for a single one.
    pub deviation: Option<f64>,
}

impl Spread {
    /// Of at least one score.
    pub fn of(scores: &[f64]) -> Self {
        let seeds = scores.len();
        let mean = scores.iter().sum::<f64>() / seeds as f64;
        let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
        Self { seeds, mean, deviation: (seeds > 1).then(|| (squares / (seeds - 1) as f64).sqrt()) }
    }

    /// The least difference from `other` that seeds alone would give in fewer than one comparison of twenty: Student's t
    /// for two samples of the same deviation. `None` where there is a single seed.
    pub fn least_difference(&self, other: &Self) -> Option<f64> {
        let (a, b) = (self.deviation?, other.deviation?);
        let (m, n) = (self.seeds as f64, other.seeds as f64);
        let freedom = m + n - 2.0;
        let pooled = ((m - 1.0) * a * a + (n - 1.0) * b * b) / freedom;
        Some(student_t(freedom) * (pooled * (1.0 / m + 1.0 / n)).sqrt())
    }
}

/// The 97.5 % quantile of Student's t distribution by its expansion in 1 / freedom (Abramowitz and Stegun 26.7.5), which
/// is right to 1 % from 2 degrees of freedom on.
fn student_t(freedom: f64) -> f64 {
    let x = 1.959_964_f64;
    let powers = |coefficients: [f64; 5]| coefficients.iter().rev().fold(0.0, |sum, c| sum * x * x + c) * x;
    let terms = [
        powers([1.0, 0.0, 0.0, 0.0, 0.0]),
        powers([1.0, 1.0, 0.0, 0.0, 0.0]) / 4.0,
        powers([3.0, 16.0, 5.0, 0.0, 0.0]) / 96.0,
        powers([-15.0, 17.0, 19.0, 3.0, 0.0]) / 384.0,
        powers([-945.0, -1920.0, 1482.0, 776.0, 79.0]) / 92_160.0,
    ];
    terms.iter().rev().fold(0.0, |sum, term| sum / freedom + term)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_valid_change_of_the_embedded_configuration() {
        let base = config::embedded().unwrap();
        for table in &TABLES {
            let configs: Vec<Config> = table.rows.iter().map(|row| row.config(&base, 7).unwrap()).collect();
            for (number, config) in configs.iter().enumerate() {
                assert_eq!(config.seed, 7);
                let unlike = |other: &Config| (&other.model, &other.loss) != (&config.model, &config.loss);
                assert!(configs[..number].iter().all(unlike), "{}: {} is twice", table.name, config.name);
            }
        }
    }

    #[test]
    fn a_budget_is_spent_in_whole_batches_without_more_epochs_than_before() {
        let base = config::embedded().unwrap();
        for (pictures, epochs, an_epoch) in [(8000, 8, 1000), (80, 8, 10), (24, 3, 8), (3, 1, 8)] {
            let config = within_budget(base.clone(), pictures);
            assert_eq!((config.train.epochs, config.train.pictures_per_epoch), (epochs, an_epoch));
            config.validate().unwrap();
        }
    }

    #[test]
    fn the_quantiles_are_those_of_the_tables() {
        for (freedom, quantile) in [(2.0, 4.303), (4.0, 2.776), (8.0, 2.306), (18.0, 2.101), (1e9, 1.960)] {
            assert!((student_t(freedom) / quantile - 1.0).abs() < 0.01, "{freedom}: {}", student_t(freedom));
        }
    }

    #[test]
    fn a_difference_counts_only_where_it_exceeds_what_seeds_give() {
        let (low, high) = (Spread::of(&[50.0, 51.0, 52.0]), Spread::of(&[53.0, 54.0, 55.0]));
        assert_eq!((low.mean, low.deviation), (51.0, Some(1.0)));
        // Two samples of 3 with deviation 1: t of 4 degrees of freedom times the root of 2 / 3.
        let least = high.least_difference(&low).unwrap();
        assert!((least - 2.776 * (2.0_f64 / 3.0).sqrt()).abs() < 1e-2, "{least}");
        assert_eq!(Spread::of(&[50.0]).least_difference(&low), None);
    }
}
