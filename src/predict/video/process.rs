//! Another program at the end of a pipe, with the last lines of what it complains about.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use super::VideoError;

/// Lines of a program's complaints that are kept.
const LINES: usize = 4;

/// A program that runs.
pub(super) struct Program {
    name: &'static str,
    /// What it is to do.
    task: String,
    child: Child,
    /// Collects its complaints until it ends.
    complaints: Option<JoinHandle<String>>,
}

impl Program {
    /// Starts a program in a process group of its own: Ctrl-C does not reach it, but its pipe's end does.
    pub fn start(mut command: Command, name: &'static str, task: String) -> Result<Self, VideoError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        #[cfg(windows)]
        std::os::windows::process::CommandExt::creation_flags(&mut command, 0x200);
        let mut child = command.spawn().map_err(|error| missing(name, error))?;
        let complaints = child.stderr.take().map(|pipe| std::thread::spawn(move || last_lines(pipe)));
        Ok(Self { name, task, child, complaints })
    }

    /// What it writes. Its own input is closed.
    pub fn take_output(&mut self) -> Result<Box<dyn Read + Send>, VideoError> {
        drop(self.child.stdin.take());
        let pipe = self.child.stdout.take().ok_or_else(|| VideoError::Frames("no pipe".into()))?;
        Ok(Box::new(pipe))
    }

    /// What it reads. What it writes is not wanted.
    pub fn take_input(&mut self) -> Result<Box<dyn Write + Send>, VideoError> {
        drop(self.child.stdout.take());
        let pipe = self.child.stdin.take().ok_or_else(|| VideoError::Frames("no pipe".into()))?;
        Ok(Box::new(pipe))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`VideoError::Failed`] with its last lines where it failed. What it complained about otherwise is said.
    pub fn finish(&mut self) -> Result<(), VideoError> {
        let status = self.child.wait()?;
        let lines = self.complaints.take().map(JoinHandle::join).and_then(Result::ok).unwrap_or_default();
        if status.success() {
            if !lines.is_empty() {
                tracing::warn!("{}: {lines}", self.name);
            }
            return Ok(());
        }
        let lines = if lines.is_empty() { status.to_string() } else { lines };
        Err(VideoError::Failed { program: self.name, task: self.task.clone(), lines })
    }

    /// Ends it, if it has not ended.
    pub fn end(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a program to its end and returns what it wrote.
pub(super) fn output(mut command: Command, name: &'static str, task: &str) -> Result<Vec<u8>, VideoError> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| missing(name, error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let lines = last_lines(&output.stderr[..]);
    let lines = if lines.is_empty() { output.status.to_string() } else { lines };
    Err(VideoError::Failed { program: name, task: task.to_string(), lines })
}

fn missing(program: &'static str, error: std::io::Error) -> VideoError {
    match error.kind() {
        std::io::ErrorKind::NotFound => VideoError::Missing { program },
        _ => error.into(),
    }
}

/// The last lines of a text, in one.
fn last_lines(pipe: impl Read) -> String {
    let mut lines = VecDeque::new();
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).trim().to_string();
        if !line.is_empty() {
            lines.push_back(line);
        }
        if lines.len() > LINES {
            lines.pop_front();
        }
    }
    Vec::from(lines).join("; ")
}
