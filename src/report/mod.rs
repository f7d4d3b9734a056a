//! What the owner of a GPU runs once and sends: whether everything is right on the adapter, how fast it is, and what tuning
//! gives, as one JSON document and one page. The command `ditn report` calls it; it calls [`verify`](crate::verify) and
//! [`mod@bench`](crate::bench), and nothing else of the crate depends on it.
//!
//! A [`Document`] is a report. [`run()`] runs [`Job`]s, one a [`Part`], each within its share of the time; a job tells
//! [`Event`]s, which [`Document::add`] takes in, so that what was found before a failure stays. [`Job::here`] runs a part in
//! this process, [`worker`] in one of its own. [`page`] draws a document, [`Table`] sets several side by side.

mod attempt;
mod checks;
mod context;
mod document;
mod estimate;
mod html;
mod machine;
mod page;
mod part;
mod place;
mod rows;
mod run;
#[cfg(test)]
mod samples;
mod table;
mod timings;
pub mod worker;

pub use attempt::{Failure, attempt, keep_panics};
pub use document::{Document, Event, FORMAT_VERSION, Note, PartRecord, ReportFileError};
pub use machine::{Program, System, without_folders};
pub use page::page;
pub use part::Part;
pub use place::{Place, PlaceError};
pub use rows::{CheckedGroup, CheckedKernel, CheckedNetwork, Kernels, StepKernel, Storage, TimedNetwork, TunedCase};
pub use run::{Job, Listener, Work, run, run_part};
pub use table::{Column, Row, Table};
