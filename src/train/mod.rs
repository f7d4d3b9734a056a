//! Training: from a configuration to a network, a log and a score.
//!
//! [`run()`] is the loop and the place to begin reading. [`config`] says what a run is made of, [`schedule`] how fast it
//! learns, [`step`] what one step does on the adapter and [`memory`] what it takes there, [`people`] who is trained on
//! and who is scored, [`evaluate`] how, [`accuracy`] how the training pictures do, [`results`] what public tools read of
//! the scored ones; [`checkpoint`], [`folder`] and [`log`] keep what must survive, [`events`] what TensorBoard shows. [`ablation`] holds the paper's tables of runs.

pub mod ablation;
pub mod accuracy;
pub mod checkpoint;
pub mod config;
pub mod evaluate;
pub mod events;
pub mod folder;
pub mod init;
pub mod log;
pub mod memory;
pub mod objective;
pub mod people;
pub mod results;
pub mod run;
pub mod schedule;
pub mod step;

pub use config::Config;
pub use run::{Outcome, TrainError, Watcher, run};
pub use schedule::Schedule;
