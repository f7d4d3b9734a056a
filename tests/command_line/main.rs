//! The program as a user runs it: its files, its messages, its exit status.

#[path = "../common/mod.rs"]
mod common;
mod harness;

mod faults;
mod half_precision;
mod inputs;
mod own_skeletons;
mod pictures;
mod predictions;
mod reliability;
mod reports;
mod resuming;
mod runs;
mod scale;
mod schema;
mod systems;
mod video;
mod web;
mod weights;
