//! What the tests of the program share: a folder of their own, the program with arguments, its files and messages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use ditn::nn::checkpoint::State;
use ditn::train::checkpoint;

/// A folder of one test's own, removed at its end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ditn-test-{test}-{}", std::process::id()));
        std::fs::remove_dir_all(&path).ok();
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        Self(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// `ditn` with these arguments, run inside `folder`.
pub fn ditn(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ditn"));
    command.args(arguments).current_dir(&folder.0).env_remove("DITN_DATA");
    // As on a server: nothing is to be said about it.
    command.env_remove("XDG_RUNTIME_DIR");
    command
}

/// A configuration of a network so small that a step takes milliseconds: 5 epochs of 6 steps.
pub const SMALL: &str = r#"
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
pub fn train(folder: &Folder, arguments: &[&str]) -> Command {
    std::fs::write(folder.join("small.toml"), SMALL).expect("the temporary folder is writable");
    let mut command = ditn(folder, &["train", "small.toml"]);
    command.args(arguments);
    command
}

pub fn run(command: &mut Command) -> Output {
    command.output().expect("the program was built with this test")
}

pub fn status(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed: {}", errors(output)))
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn succeed(command: &mut Command) -> Output {
    let output = run(command);
    assert_eq!(status(&output), 0, "{}", errors(&output));
    output
}

/// All tensors of a checkpoint as bits, so that NaN and signed zeros count.
pub fn bits(path: &Path) -> BTreeMap<String, Vec<u32>> {
    let state: State = checkpoint::load(path).unwrap_or_else(|error| panic!("{error}")).state;
    state.into_iter().map(|(name, tensor)| (name, tensor.data.iter().map(|x| x.to_bits()).collect())).collect()
}

/// The log's lines without what a clock has measured.
pub fn log(run: &Path) -> Vec<serde_json::Value> {
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

/// A tensor of a checkpoint.
pub fn tensor(path: &Path, name: &str) -> Vec<f32> {
    checkpoint::load(path).unwrap_or_else(|error| panic!("{error}")).state[name].data.clone()
}

/// Runs and expects status 2 with all of `parts` in a message of one paragraph.
pub fn refused(command: &mut Command, parts: &[&str]) {
    let output = run(command);
    let message = errors(&output);
    assert_eq!(status(&output), 2, "{message}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(message.matches("error:").count(), 1, "{message}");
    assert!(!message.contains("panicked"), "{message}");
    for part in parts {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
}

/// The JSON document in a file.
pub fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The JSON document that a command printed.
pub fn printed_json(text: &[u8]) -> serde_json::Value {
    serde_json::from_slice(text).expect("one JSON document")
}

/// The step that a checkpoint was saved at, if it can be read.
pub fn step_of(checkpoint: &Path) -> Option<u64> {
    checkpoint::load(checkpoint).ok().map(|checkpoint| checkpoint.header.progress.step)
}

/// Waits until the run in `out` has saved itself inside an epoch, but lets a run that never does end the test.
pub fn wait_for_a_checkpoint(out: &Path, child: &mut Child) {
    let start = Instant::now();
    while step_of(&out.join("last.safetensors")).is_none_or(|step| step < 4) {
        assert!(start.elapsed() < Duration::from_secs(300), "no checkpoint after five minutes");
        assert!(child.try_wait().expect("it is our child").is_none(), "it ended before its first checkpoint");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// `ditn` that may not write a file of more than `kibibytes`: what a full disk does to a large one.
#[cfg(unix)]
pub fn ditn_on_a_full_disk(folder: &Folder, kibibytes: usize, arguments: &[&str]) -> Command {
    let whole = ditn(folder, &[]);
    let mut command = Command::new("sh");
    // An ignored signal stays ignored in the program: it then sees the write fail.
    command.args(["-c", &format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", 2 * kibibytes)]);
    command.arg(whole.get_program()).args(arguments).current_dir(folder.join(""));
    command.env_remove("DITN_DATA").env_remove("XDG_RUNTIME_DIR");
    command
}
