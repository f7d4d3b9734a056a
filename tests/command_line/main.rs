//! The program as a user runs it: its files, its messages, its exit status.

mod faults;
mod half_precision;
mod pictures;
mod predictions;
mod reliability;
mod runs;
mod weights;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ditn::nn::checkpoint::State;
use ditn::train::checkpoint;

/// A folder of one test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ditn-test-{test}-{}", std::process::id()));
        std::fs::remove_dir_all(&path).ok();
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// `ditn` with these arguments, run inside `folder`.
fn ditn(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ditn"));
    command.args(arguments).current_dir(&folder.0).env_remove("DITN_DATA");
    // Mesa's EGL writes an error of its own where this is unset.
    command.env("XDG_RUNTIME_DIR", &folder.0);
    command
}

/// A configuration of a network so small that a step takes milliseconds: 5 epochs of 6 steps.
const SMALL: &str = r#"
name = "small"
[model]
width = 4
stem = 4
blocks = 1
modules = [1, 1, 1]
[train]
size = [64, 64]
batch = 2
epochs = 5
pictures_per_epoch = 12
[loss]
joints = "mse"
[evaluate]
every = 2
people = 4
[output]
checkpoint_steps = 4
sheets = 1
"#;

/// `ditn train small.toml` with more arguments.
fn train(folder: &Folder, arguments: &[&str]) -> Command {
    std::fs::write(folder.join("small.toml"), SMALL).expect("the temporary folder is writable");
    let mut command = ditn(folder, &["train", "small.toml"]);
    command.args(arguments);
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the program was built with this test")
}

/// Says, past what the tests' harness holds back, that a test did not run.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed: {}", errors(output)))
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeed(command: &mut Command) -> Output {
    let output = run(command);
    assert_eq!(status(&output), 0, "{}", errors(&output));
    output
}

/// All tensors of a checkpoint as bits, so that NaN and signed zeros count.
fn bits(path: &Path) -> BTreeMap<String, Vec<u32>> {
    let state: State = checkpoint::load(path).unwrap_or_else(|error| panic!("{error}")).state;
    state.into_iter().map(|(name, tensor)| (name, tensor.data.iter().map(|x| x.to_bits()).collect())).collect()
}

/// The log's lines without what a clock has measured.
fn log(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("log.jsonl")).expect("a run writes a log");
    let without_time = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        let fields = line.as_object_mut().expect("each line is an object");
        fields.remove("seconds").expect("the time is there");
        fields.remove("pictures_per_second").expect("the speed is there");
        fields.remove("waiting_share").expect("the time without pictures is there");
        line
    };
    text.lines().map(without_time).collect()
}
