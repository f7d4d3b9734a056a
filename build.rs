//! Records the commit that a release build is made of, for `ditn report`.
//!
//! `DITN_COMMIT` is what the environment says, else what git says of this folder; `+` stands behind it where files that are
//! compiled were changed. Development builds record none, as each commit would build them anew.

use std::path::Path;
use std::process::Command;

/// What is compiled.
const SOURCES: [&str; 5] = ["src", "shaders", "weights", "Cargo.toml", "Cargo.lock"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DITN_COMMIT");
    if std::env::var_os("DITN_COMMIT").is_some() || std::env::var("PROFILE").is_ok_and(|profile| profile != "release") {
        return;
    }
    // A package within another project's repository has no commit of its own.
    let root = git(&["rev-parse", "--show-toplevel"]);
    let is_root = |root: &String| same(Path::new(root), Path::new(env!("CARGO_MANIFEST_DIR")));
    if !root.as_ref().is_some_and(is_root) {
        return;
    }
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return };
    let changes = git(&[&["status", "--porcelain", "--"], &SOURCES[..]].concat()).unwrap_or_default();
    let changed = if changes.is_empty() { "" } else { "+" };
    println!("cargo::rustc-env=DITN_COMMIT={commit}{changed}");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    // Every commit and checkout adds a line to it.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// What git prints, where it is there and succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
