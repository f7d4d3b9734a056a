//! What a run is made of: the TOML configuration, its defaults and its rules.
//!
//! One file a table, each with its fields, their defaults and a `check` of what types cannot carry; `[model]` lies in
//! [`crate::models`], as inference needs it too. Every key has a default, the paper's where the paper gives one, so a file
//! holds only what it changes. Unknown keys are refused, and the message names the nearest known one.
//! [`Config::validate`] checks all tables.

mod data;
mod error;
mod evaluate;
mod loss;
mod optimizer;
mod output;
mod read;
mod run;
mod schedule;
mod train;

pub use crate::data::DataKind;
pub use crate::models::{Layers, NetworkConfig, NetworkKind};
pub use data::DataConfig;
pub use error::ConfigError;
pub use evaluate::{EvaluateConfig, Split};
pub use loss::{LossConfig, LossName};
pub use optimizer::{OptimizerConfig, OptimizerName};
pub use output::OutputConfig;
pub use read::{embedded, from_file, from_text, with_overrides};
pub use run::Config;
pub use schedule::{Milestone, ScheduleConfig};
pub use train::{Freeze, TrainConfig};
