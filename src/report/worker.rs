//! A part in a process of its own, which a driver may crash or hang without ending the report.
//!
//! The worker writes a line of JSON for each event to its standard output and one that says how it ended. What else stands
//! there comes from drivers and is passed over.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::attempt::{Failure, attempt};
use super::document::Event;
use super::machine::without_folders;
use super::part::Part;
use super::run::{Job, Work, run_part};
use crate::gpu::AdapterChoice;

/// A worker that says nothing for so long hangs, on a GPU or on a CPU. CPU adapters do not hang, but compile the kernels of a
/// network for minutes where other programs run beside them.
const SILENCE: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(3600)];

/// Time between looks at the flag that stops.
const PATIENCE: Duration = Duration::from_millis(100);

/// Bytes of a worker's standard error that are kept for the reason of its death, the last.
const LAST_WORDS: usize = 600;

/// A line of a worker.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Event(Event),
    /// The end, with the reason where the part failed.
    End(Option<String>),
}

/// The worker's side: runs the part and writes its events to `out`.
///
/// # Errors
/// Where nobody reads any more.
pub fn work(part: Part, choice: &AdapterChoice, time: Duration, out: &mut dyn Write) -> std::io::Result<()> {
    let mut written = Ok(());
    // Set once nobody reads: the part then ends at its next piece.
    let stop = AtomicBool::new(false);
    let result = attempt(|| {
        run_part(part, choice, time, &stop, &mut |event| {
            if written.is_ok() {
                written = write_line(out, &Line::Event(event));
            }
            if written.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
        })
    });
    written.and_then(|()| write_line(out, &Line::End(result.err())))
}

fn write_line(out: &mut dyn Write, line: &Line) -> std::io::Result<()> {
    let text = serde_json::to_string(line)?;
    // Behind what a driver may have left without an end.
    writeln!(out, "\n{text}")?;
    out.flush()
}

/// The reader's side: a job that runs `command(time)`, which must call [`work`] on its standard output. `is_cpu` says whether
/// the adapter is one that may be silent for long.
pub fn job<'a>(part: Part, is_cpu: bool, command: impl Fn(Duration) -> Command + 'a, stop: &'a AtomicBool) -> Job<'a> {
    let silence = SILENCE[usize::from(is_cpu)];
    let work: Work = Box::new(move |time, say| follow(command(time), silence, stop, say));
    Job { name: part.name().to_owned(), weight: part.weight(), work }
}

/// A process that is ended with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Runs a worker and hands on its events; ends it once it is silent for longer than `silence`.
fn follow(
    mut command: Command,
    silence: Duration,
    stop: &AtomicBool,
    say: &mut dyn FnMut(Event),
) -> Result<(), Failure> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| format!("cannot start a process for this part: {error}"))?;
    let mut running = Running(child);
    let last_words = running.0.stderr.take().map(collect_last_words);
    let stdout = running.0.stdout.take().ok_or("the process of this part has no standard output")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let line = serde_json::from_slice::<Line>(&bytes).ok();
            bytes.clear();
            if line.is_some_and(|line| sender.send(line).is_err()) {
                break;
            }
        }
    });
    let mut heard = Instant::now();
    let mut piece = String::new();
    let during = |piece: &str| if piece.is_empty() { String::new() } else { format!(" during {piece}") };
    loop {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        match lines.recv_timeout(PATIENCE) {
            Ok(Line::Event(event)) => {
                heard = Instant::now();
                if let Event::Next { what, .. } = &event {
                    piece.clone_from(what);
                }
                say(event);
            }
            Ok(Line::End(None)) => return Ok(()),
            Ok(Line::End(Some(reason))) => return Err(reason.into()),
            Err(RecvTimeoutError::Timeout) if heard.elapsed() > silence => {
                return Err(format!("it hung for {} s{} and was ended", silence.as_secs(), during(&piece)).into());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                // Ctrl-C reaches the worker too, perhaps first.
                std::thread::sleep(PATIENCE);
                if stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let status = running.0.wait()?;
                let words = last_words.and_then(|thread| thread.join().ok()).unwrap_or_default();
                let words = if words.is_empty() { words } else { format!("; it said last: {words}") };
                return Err(format!("its process died ({status}){}{}", during(&piece), without_folders(&words)).into());
            }
        }
    }
}

/// Reads to the end and keeps the last lines in one.
fn collect_last_words(mut stderr: ChildStderr) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut kept, mut buffer) = (Vec::new(), [0; 1024]);
        while let Ok(count @ 1..) = stderr.read(&mut buffer) {
            kept.extend_from_slice(&buffer[..count]);
            let surplus = kept.len().saturating_sub(LAST_WORDS);
            kept.drain(..surplus);
        }
        String::from_utf8_lossy(&kept).split_whitespace().collect::<Vec<_>>().join(" ")
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// What a shell's script in place of a worker says, and how it ends.
    fn followed(script: &str, stop: &AtomicBool) -> (Vec<Event>, Result<(), String>) {
        followed_for(Duration::from_secs(60), script, stop)
    }

    /// The same with another time after which it counts as hanging.
    fn followed_for(silence: Duration, script: &str, stop: &AtomicBool) -> (Vec<Event>, Result<(), String>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut events = Vec::new();
        let result = follow(command, silence, stop, &mut |event| events.push(event));
        (events, result.map_err(|error| error.to_string()))
    }

    const SKIPPED: &str = "{\"event\":{\"skipped\":{\"what\":\"a\",\"reason\":\"b\"}}}";
    const NEXT: &str = "{\"event\":{\"next\":{\"what\":\"conv2d\",\"done\":1,\"total\":2}}}";

    #[test]
    fn events_are_heard_between_what_drivers_print() {
        let never = AtomicBool::new(false);
        let script = format!(
            "echo hello; printf unfinished; echo; echo '{SKIPPED}'; printf '\\377\\n'; echo '{{\"end\":null}}'"
        );
        assert_eq!(followed(&script, &never), (vec![Event::skipped("a", "b")], Ok(())));
        let (_, failed) = followed("echo '{\"end\":\"no device\"}'", &never);
        assert_eq!(failed, Err("no device".to_owned()));
    }

    #[test]
    fn a_crash_is_named_with_its_place_and_last_words_and_keeps_what_was_said() {
        let never = AtomicBool::new(false);
        let script = format!("echo '{SKIPPED}'; echo '{NEXT}'; echo /home/jane/driver.so: oops >&2; kill -SEGV $$");
        let (events, result) = followed(&script, &never);
        assert_eq!(events.len(), 2);
        let reason = result.unwrap_err();
        assert!(reason.contains("died (signal: 11") && reason.contains("during conv2d"), "{reason}");
        assert!(reason.contains("oops") && !reason.contains("jane"), "{reason}");
        let (_, silent) = followed("exit 3", &never);
        assert!(silent.as_ref().is_err_and(|reason| reason.contains("exit status: 3")), "{silent:?}");
    }

    #[test]
    fn a_worker_that_hangs_is_ended() {
        let script = format!("echo '{NEXT}'; sleep 60");
        let (events, result) = followed_for(Duration::from_secs(2), &script, &AtomicBool::new(false));
        assert_eq!(events.len(), 1);
        assert!(result.as_ref().is_err_and(|reason| reason.contains("hung for 2 s during conv2d")), "{result:?}");
    }

    #[test]
    fn stopping_ends_the_worker() {
        let start = Instant::now();
        let (_, result) = followed("sleep 60", &AtomicBool::new(true));
        assert!(result.is_ok() && start.elapsed() < Duration::from_secs(30));
    }
}
