//! What several test programs share. Each takes a part of it.
#![allow(dead_code)]

use std::io::Write;
use std::path::PathBuf;

/// Says, past what the tests' harness holds back, that a test did not run.
pub fn skipped(why: &str) {
    // Nothing is lost where standard error is closed.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// The folder of a data set in the one that `DITN_DATA` names; without it says that a test is skipped.
pub fn data(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("DITN_DATA");
    if root.is_none() {
        skipped("DITN_DATA does not name a folder with the data sets");
    }
    root.map(|root| PathBuf::from(root).join(name))
}
