//! Pose training: from a configuration to a network, a log and a score. The command line calls it, and so can a program
//! with a configuration of its own; it never prints: a [`watcher`] is told what happens.
//!
//! [`run()`] is the loop and the place to begin reading. [`config`] says what a run is made of, [`schedule`] how fast it
//! learns, [`step`] what one step does on the adapter and [`memory`] what it takes there, [`scale`] how long it takes on
//! several, [`people`] who is trained on and who is scored, [`evaluate`] how, [`accuracy`] how the training pictures do,
//! [`results`] what public tools read of the scored ones. `recorder` writes all records but checkpoints: [`log`],
//! [`events`] for TensorBoard, sheets, results; [`checkpoint`], [`progress`] and [`folder`] keep what a run needs to
//! continue, [`resume`] says how far its configuration may change in between; `clock` measures its time; a [`watcher`] is
//! told how it goes. [`team`] is how the processes of a run agree, where there are several. [`ablation`] and
//! [`systems`] hold the paper's tables of runs.

pub mod ablation;
pub mod accuracy;
pub mod checkpoint;
mod clock;
mod coco_people;
pub mod config;
mod epochs;
mod error;
pub mod evaluate;
pub mod events;
pub mod folder;
mod folders;
pub mod init;
pub mod log;
pub mod memory;
pub mod objective;
pub mod people;
pub mod progress;
mod recorder;
pub mod results;
pub mod resume;
pub mod run;
pub mod scale;
pub mod schedule;
mod start;
pub mod step;
pub mod systems;
pub mod team;
pub mod watcher;

pub use config::Config;
pub use error::TrainError;
pub use run::{Outcome, Process, run};
pub use schedule::Schedule;
pub use watcher::Watcher;
