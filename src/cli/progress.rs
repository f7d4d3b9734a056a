//! What a person sees while a run is under way: a bar on a terminal, plain lines elsewhere. All on standard error.

use std::fmt::Write;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

use crate::train::log::EpochLine;
use crate::train::watcher::{Opening, Watcher};

/// Time between plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

/// Weight of the newest loss in the running mean that is shown; single losses jump.
const NEWEST_LOSS: f32 = 0.05;

/// A [`Watcher`] for a person.
pub struct Progress {
    bar: ProgressBar,
    terminal: bool,
    batch: usize,
    total_steps: u64,
    /// Steps done.
    step: u64,
    loss: Option<f32>,
    /// Steps done and the time at the last plain line.
    last_line: (u64, Instant),
}

impl Progress {
    /// Nothing is shown before the run opens.
    pub fn new() -> Self {
        let terminal = console_is_a_terminal();
        Self {
            bar: ProgressBar::hidden(),
            terminal,
            batch: 0,
            total_steps: 0,
            step: 0,
            loss: None,
            last_line: (0, Instant::now()),
        }
    }

    /// Takes the bar away.
    pub fn finished(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn plain_line(&mut self, step: u64) {
        let (last_step, last_time) = self.last_line;
        let seconds = last_time.elapsed().as_secs_f64();
        let steps_per_second = step.saturating_sub(last_step) as f64 / seconds;
        // Of a rate near zero no time follows that could be said.
        let left = self.total_steps.saturating_sub(step) as f64 / steps_per_second;
        let left = Duration::try_from_secs_f64(left).map_or("?".into(), |left| HumanDuration(left).to_string());
        self.say(&format!(
            "step {step}/{}  loss {:.5}  {:.1} pictures/s  {left} left",
            self.total_steps,
            self.loss.unwrap_or(f32::NAN),
            steps_per_second * self.batch as f64,
        ));
        self.last_line = (step, Instant::now());
    }
}

pub(super) fn console_is_a_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}

impl Drop for Progress {
    /// An error message must not end up behind the bar.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Watcher for Progress {
    fn opened(&mut self, opening: &Opening<'_>) {
        let adapter = opening.gpu.report();
        let (training, evaluation) = (opening.people.training(), opening.people.evaluation());
        self.say(&format!(
            "Training on {} ({}), {} parameters\n  learns from  {}: {} people\n  scored on    {}: {} people\n  writes to    {}",
            adapter.name,
            adapter.backend,
            opening.parameters,
            training.name(),
            training.len(),
            evaluation.name(),
            evaluation.len(),
            opening.folder.path().display(),
        ));
        if (1..opening.total_steps).contains(&opening.first_step) {
            self.say(&format!("Resuming after step {} of {}", opening.first_step, opening.total_steps));
        }
        self.batch = opening.batch;
        self.total_steps = opening.total_steps;
        self.step = opening.first_step;
        self.last_line = (opening.first_step, Instant::now());
        if !self.terminal {
            return;
        }
        let batch = opening.batch as f64;
        let pictures = move |state: &ProgressState, w: &mut dyn Write| {
            // Nothing can be done about a terminal that refuses a number.
            let _ = write!(w, "{:.1} pictures/s", state.per_sec() * batch);
        };
        // The template is a constant, and the tests draw it: it cannot be refused.
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} steps  {msg}  {pictures}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("pictures", pictures);
        self.bar = ProgressBar::new(opening.total_steps).with_style(style).with_position(opening.first_step);
        self.bar.reset_eta();
        self.bar.enable_steady_tick(Duration::from_millis(500));
    }

    fn step(&mut self, step: u64, loss: f32) {
        let mean = self.loss.map_or(loss, |mean| mean + NEWEST_LOSS * (loss - mean));
        self.loss = Some(mean);
        self.step = step;
        self.bar.set_position(step);
        self.bar.set_message(format!("loss {mean:.5}"));
        if !self.terminal && self.last_line.1.elapsed() >= PLAIN_INTERVAL {
            self.plain_line(step);
        }
    }

    fn evaluated(&mut self, people: usize, of: usize) {
        self.bar.set_message(format!("scoring {people}/{of}"));
    }

    fn epoch(&mut self, line: &EpochLine) {
        let metric = line.metric.as_ref().map_or(String::new(), |m| format!("  {} {:.1}", m.name, m.value));
        let skipped = line.loss_scale.map(|it| it.skipped_steps).filter(|&steps| steps > 0);
        let scale = skipped.map_or(String::new(), |steps| format!("  {steps} steps skipped by the loss scale"));
        let broken = match line.skipped {
            0 => String::new(),
            people => format!("  could not be used: {people} (-v says who and why)"),
        };
        let exchanged = line.communication.map_or(String::new(), |it| {
            format!("  {:.1} MB a step exchanged in {:.0} % of the time", it.bytes_per_step * 1e-6, 100.0 * it.share)
        });
        self.say(&format!(
            "epoch {:>3}  {:>7} pictures  {:>6.0} s  loss {:.5}  {:.1} pictures/s{metric}{exchanged}{scale}{broken}",
            line.epoch, line.pictures, line.seconds, line.loss, line.pictures_per_second
        ));
        self.last_line = (self.step, Instant::now());
    }

    fn note(&mut self, text: &str) {
        self.say(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_template_is_valid() {
        assert!(ProgressStyle::with_template("{bar:30} {pos}/{len} steps  {msg}  {pictures}  {eta} left").is_ok());
    }
}
