//! `ditn report`

#[cfg(target_os = "linux")]
use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressStyle};

use super::common::{Common, Status, print, print_json};
use super::progress::console_is_a_terminal;
use super::train::stop_on_interrupt;
use crate::files::write_atomically;
use crate::gpu::list_adapters;
use crate::report::{Document, Listener, Part, Place, Table, keep_panics, page, run as run_parts, worker};

const EXAMPLES: &str = "\
Examples:
  ditn report                                  everything, in about ten minutes: two files to send
  ditn report --minutes 30                     more time for slow adapters
  ditn report --adapter 1 --out second         another adapter of `ditn devices`, to second.json and second.html
  ditn report --parts gradcheck,kernels        only whether the kernels are right
  ditn report a.json b.json c.json             reports side by side, on the terminal and in ditn-reports.html
  ditn report a.json                           the page of a report again

Parts:
  gradcheck   gradients of every operator against numeric ones
  kernels     every variant of every kernel against its float64 reference, float32 and f16
  verify      small networks against PyTorch by every variant: outputs, losses, gradients, optimizer, ten steps
  ceilings    the most that the adapter does, in arithmetic and in a copy
  step        the kernels of DITN-W32's training step
  networks    HRNet-W32 and DITN-W32: inference of 1, 8 and 32 pictures, training of 2 and 32
  tune        DITN-W32 before and after its kernels are chosen by measuring; the choices of `ditn tune` stay as they are

Each part runs in a process of its own. One that fails, hangs or crashes is named in the report, and the others go on. What does
not fit the memory or the time is left out with its reason. The files are written after each part, and Ctrl-C keeps what there
is. They name the adapter, its driver, the operating system, the processor and the program's version, and no user, machine or
folder. Exit status 1 where a check does not hold or a part failed.";

/// Where the table of several reports goes.
const TABLE: &str = "ditn-reports.html";

/// Arguments of `ditn report`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Measure nothing; set these reports side by side
    #[arg(value_name = "REPORT.json")]
    reports: Vec<PathBuf>,
    /// Minutes to take about; each part has a share of them
    #[arg(long, value_name = "MINUTES", default_value_t = 10.0, allow_negative_numbers = true, value_parser = parse_minutes)]
    minutes: f64,
    /// Only these parts, in their own order [default: all]
    #[arg(long, value_delimiter = ',', value_name = "PART,...", value_parser = part_parser())]
    parts: Vec<Part>,
    /// Where to write: a folder, or the files' name without .json and .html [default: ditn-report-ADAPTER here; of several
    /// reports ditn-reports.html]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Run one part here and write its events to standard output, for `ditn report` itself
    #[arg(long, hide = true, value_parser = part_parser(), requires = "seconds")]
    worker: Option<Part>,
    /// The time of the part that `--worker` names
    #[arg(long, hide = true)]
    seconds: Option<f64>,
}

fn part_parser() -> impl TypedValueParser<Value = Part> {
    // Only names of parts pass the first parser.
    PossibleValuesParser::new(Part::ALL.map(Part::name)).map(|name| Part::named(&name).unwrap_or(Part::Gradcheck))
}

fn parse_minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes: &f64| (0.0..=10_000.0).contains(minutes));
    minutes.ok_or_else(|| "write minutes as a number from 0 to 10000, such as 10 or 2.5".into())
}

/// Makes a report, or compares reports.
pub(super) fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let Arguments { reports, minutes, parts, out, worker, seconds } = arguments;
    if let Some(part) = worker {
        keep_panics();
        let time = Duration::try_from_secs_f64(seconds.unwrap_or(0.0))?;
        worker::work(part, &common.adapter_choice(), time, &mut std::io::stdout().lock())?;
        return Ok(Status::Done);
    }
    if !reports.is_empty() {
        return compare(&reports, out, common);
    }
    // Opened for what it is, and closed again: each part opens it for itself.
    let adapter = common.gpu()?.report().clone();
    let mut document = Document::new(adapter, list_adapters(), minutes);
    let place = Place::new(out.as_deref(), &document)?;
    let stop = stop_on_interrupt()?;
    place.write(&document)?;
    let parts = if parts.is_empty() { Part::ALL.to_vec() } else { parts };
    let in_order = Part::ALL.into_iter().filter(|part| parts.contains(part));
    let program = this_program()?;
    let is_cpu = document.adapter.capabilities.is_cpu;
    let jobs = in_order.map(|part| {
        let (program, adapter) = (program.clone(), common.adapter.clone());
        let command = move |time: Duration| {
            let mut command = Command::new(&program[0]);
            command.args(&program[1..]);
            command.args(["report", "--worker", part.name(), "--seconds", &time.as_secs_f64().to_string()]);
            command.args(adapter.iter().flat_map(|adapter| ["--adapter", adapter]));
            // The report says itself what runs with cooperative matrices.
            command.env_remove("DITN_COOPERATIVE_MATRIX");
            command
        };
        worker::job(part, is_cpu, command, stop)
    });
    let mut watcher = Watcher::new(&document, &place);
    run_parts(&mut document, jobs.collect(), stop, &mut watcher);
    watcher.bar.finish_and_clear();
    place.write(&document)?;
    finish(&document, &place, common)
}

/// What starts this program again: its path, or where the dynamic linker was called with it (to bring other libraries, as
/// `tools/newer_lavapipe.sh` does), the linker with its arguments and the program's path.
fn this_program() -> anyhow::Result<Vec<OsString>> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let line = std::fs::read("/proc/self/cmdline").unwrap_or_default();
        let words: Vec<OsString> = line
            .strip_suffix(b"\0")
            .unwrap_or_default()
            .split(|&byte| byte == 0)
            .map(|word| OsStr::from_bytes(word).to_owned())
            .collect();
        // The process was started with these words, and the program has got the last of them.
        let before = words.len().saturating_sub(std::env::args_os().count());
        if before > 0 {
            return Ok(words[..=before].to_vec());
        }
    }
    let path = std::env::current_exe().context("cannot find this program to start it for each part")?;
    Ok(vec![path.into()])
}

fn finish(document: &Document, place: &Place, common: &Common) -> anyhow::Result<Status> {
    let troubles = document.troubles();
    if common.json {
        print_json(document)?;
    } else {
        let lines: String = troubles.iter().map(|line| format!("not right: {line}\n")).collect();
        let stopped = if document.interrupted { "Stopped; what was found so far is there.\n" } else { "" };
        let (json, html) = (place.json(), place.html());
        print(&format!("{lines}{stopped}Written: {} to read, {} to send with it.\n", html.display(), json.display()))?;
    }
    Ok(match (document.interrupted, troubles.is_empty()) {
        (true, _) => Status::Interrupted,
        (false, false) => Status::CheckFailed,
        (false, true) => Status::Done,
    })
}

/// The page of one report, or the table of several.
fn compare(paths: &[PathBuf], out: Option<PathBuf>, common: &Common) -> anyhow::Result<Status> {
    let reports = paths.iter().map(|path| Document::read(path)).collect::<Result<Vec<_>, _>>()?;
    let table = Table::new(&reports);
    let (default, html) = match (reports.as_slice(), paths) {
        ([report], [path]) => (path.with_extension("html"), page(report)),
        _ => (PathBuf::from(TABLE), table.to_html()),
    };
    let name = default.file_name().map(Path::new).unwrap_or(Path::new(TABLE)).to_owned();
    let path = match out {
        Some(folder) if folder.is_dir() => folder.join(name),
        Some(path) => path,
        None => default,
    };
    if paths.contains(&path) {
        bail!("'{}' is a report to read: name another file with --out", path.display());
    }
    write_atomically(&path, html.as_bytes()).with_context(|| format!("cannot write '{}'", path.display()))?;
    if common.json {
        print_json(&table)?;
    } else {
        print(&format!("{}\nWritten: {}\n", table.to_text(), path.display()))?;
    }
    Ok(Status::Done)
}

/// Shows how it comes along, and writes the files after each part.
struct Watcher<'a> {
    bar: ProgressBar,
    is_terminal: bool,
    place: &'a Place,
    part: String,
    began: Instant,
}

impl<'a> Watcher<'a> {
    fn new(document: &Document, place: &'a Place) -> Self {
        let is_terminal = console_is_a_terminal();
        let bar = if is_terminal { ProgressBar::new(1) } else { ProgressBar::hidden() };
        // The template is a constant, and a test draws it: it cannot be refused.
        bar.set_style(ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(500));
        let adapter = &document.adapter;
        eprintln!(
            "Report of {} ({}, {} {}), about {} minutes",
            adapter.name, adapter.backend, adapter.driver, adapter.driver_info, document.minutes
        );
        Self { bar, is_terminal, place, part: String::new(), began: Instant::now() }
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }
}

const TEMPLATE: &str = "{elapsed} {prefix} {bar:20} {pos}/{len}  {wide_msg}";

impl Listener for Watcher<'_> {
    fn begins(&mut self, part: &str, number: usize, total: usize) {
        self.part = format!("[{number}/{total}] {}", Part::title_of(part));
        self.began = Instant::now();
        self.bar.set_prefix(self.part.clone());
        self.bar.set_length(1);
        self.bar.set_position(0);
        self.bar.set_message("");
        if !self.is_terminal {
            self.say(&self.part);
        }
    }

    fn next(&mut self, piece: &str, done: usize, total: usize) {
        if total > 0 {
            self.bar.set_length(total as u64);
            self.bar.set_position(done as u64);
        }
        self.bar.set_message(piece.to_owned());
    }

    fn ended(&mut self, document: &Document) {
        let seconds = self.began.elapsed().as_secs_f64();
        if let Some(part) = document.parts.last() {
            let count = |count: usize, what: &str| if count == 0 { String::new() } else { format!(", {count} {what}") };
            let (failed, skipped) = (count(part.failed.len(), "failed"), count(part.skipped.len(), "left out"));
            self.say(&format!("{}: {seconds:.0} s{failed}{skipped}", self.part));
        }
        // The last of them is written once more, and its error said.
        if let Err(error) = self.place.write(document) {
            self.say(&format!("warning: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_template_is_valid() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
