//! The part of `ditn summary` that estimates training on several ranks.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use indicatif::ProgressBar;
use serde::Serialize;

use crate::bench::time_plan;
use crate::gpu::Gpu;
use crate::graph::Plan;
use crate::ir::ValueId;
use crate::train::scale::{Exchange, Link, RankStep, Speed, by_cost, in_all};

/// Measurements of a step of which the median counts.
const SAMPLES: usize = 3;

/// Options of the estimate.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Several ranks")]
pub(super) struct ScaleArguments {
    /// Also estimate data parallel training on so many ranks, each with `--batch` pictures a step on an adapter of its own
    /// (docs/scale.md has the model)
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=65536),
          requires_all = ["batch", "bandwidth"])]
    ranks: Vec<u32>,
    /// Speed of a rank's link in each direction: 25Gbit/s in bits, 3GB/s in bytes. Ranks of one machine share its link:
    /// divide it by their number
    #[arg(long, value_name = "SPEED", value_parser = parse_speed, requires = "ranks")]
    bandwidth: Option<f64>,
    /// Time that a message takes beside its bytes
    #[arg(long, value_name = "TIME", default_value = "20us", value_parser = parse_time, requires = "ranks")]
    latency: f64,
    /// Speed of a copy between device and host
    #[arg(long, value_name = "SPEED", default_value = "12GB/s", value_parser = parse_speed, requires = "ranks")]
    bus: f64,
    /// Speed at which the host sums the gradients that it receives
    #[arg(long, value_name = "SPEED", default_value = "8GB/s", value_parser = parse_speed, requires = "ranks")]
    host_sum: f64,
    /// Seconds of a step on one rank, one for each network in their order [default: measured on this adapter]
    #[arg(long, value_name = "S,S,...", value_delimiter = ',', value_parser = parse_seconds, requires = "ranks")]
    step_seconds: Vec<f64>,
}

/// The estimate for one network.
#[derive(Serialize)]
pub(super) struct Scaling {
    /// Where the time of one rank's step comes from.
    step_from: &'static str,
    /// Where its parts come from.
    kernels_from: &'static str,
    step: RankStep,
    /// Seconds of the step on one rank.
    step_seconds: f64,
    link: Link,
    ranks: Vec<Row>,
}

/// So many ranks.
#[derive(Serialize)]
struct Row {
    ranks: u32,
    /// Pictures a step of all ranks.
    pictures: u64,
    /// Bytes that each rank sends a step, and as many that it receives.
    bytes_sent: f64,
    overlapped: Speed,
    after_backward: Speed,
}

impl ScaleArguments {
    /// That there is a time for each network where times are given.
    pub(super) fn check(&self, models: &[String]) -> anyhow::Result<()> {
        ensure!(
            self.step_seconds.is_empty() || self.step_seconds.len() == models.len(),
            "--step-seconds has {} for {}; give one for each network, in their order: {}",
            counted(self.step_seconds.len(), "time"),
            counted(models.len(), "network"),
            models.join(", ")
        );
        Ok(())
    }

    /// The estimate for network number `number`, `name`, by its planned step; `None` where no ranks are asked for.
    pub(super) fn estimate(
        &self,
        gpu: &Arc<Gpu>,
        (number, name): (usize, &str),
        plan: impl Fn() -> anyhow::Result<Plan>,
        seeds: &[ValueId],
        pictures: usize,
    ) -> anyhow::Result<Option<Scaling>> {
        let Some(bandwidth) = self.bandwidth.filter(|_| !self.ranks.is_empty()) else { return Ok(None) };
        let link = Link { bandwidth, latency: self.latency, bus: self.bus, host_sum: self.host_sum };
        let planned = plan()?;
        let (step_from, kernels_from, seconds) = match self.step_seconds.get(number) {
            Some(&seconds) => ("given", "costs", by_cost(&planned, seconds)),
            None => {
                let bar = ProgressBar::new_spinner();
                bar.enable_steady_tick(Duration::from_millis(200));
                bar.set_message(format!("measuring a training step of {name}"));
                let time = time_plan(gpu, plan()?, SAMPLES)?;
                bar.finish_and_clear();
                match time.steps.iter().sum::<f64>() > 0.0 {
                    true => ("measured", "time stamps", in_all(&time.steps, time.seconds)),
                    false => ("measured", "costs", by_cost(&planned, time.seconds)),
                }
            }
        };
        let step = RankStep::new(&planned, seeds, &seconds, pictures);
        let row = |&ranks: &u32| Row {
            ranks,
            pictures: u64::from(ranks) * pictures as u64,
            bytes_sent: Link::bytes_sent(ranks, step.bytes()),
            overlapped: step.on(ranks, &link, Exchange::Overlapped),
            after_backward: step.on(ranks, &link, Exchange::AfterBackward),
        };
        let ranks = self.ranks.iter().map(row).collect();
        let step_seconds = step.seconds();
        Ok(Some(Scaling { step_from, kernels_from, step, step_seconds, link, ranks }))
    }
}

/// One network: a line for each number of ranks.
pub(super) fn rank_by_rank(scaling: &Scaling) -> String {
    let Scaling { step, step_seconds, link, .. } = scaling;
    let ready: Vec<String> =
        step.buckets.iter().map(|bucket| format!("{:.0}", 100.0 * step.ready_share(bucket))).collect();
    let mut text = format!(
        "\nData parallel training by the model of docs/scale.md, {}\n\
         One rank: {} s a step ({}; its parts by {}): {} forward, {} backward, {} update\n\
         Exchanged: {} MB of gradients and statistics in {} buckets, there after {} % of the backward pass\n\n\
         {:>24}   {:>33}   {:>33}\n\
         {:>5} {:>9} {:>8}   {:>9} {:>12} {:>10}   {:>9} {:>12} {:>10}\n",
        between(link),
        seconds(*step_seconds),
        scaling.step_from,
        scaling.kernels_from,
        seconds(step.forward),
        seconds(step.backward),
        seconds(step.update),
        mega(step.bytes() as f64),
        step.buckets.len(),
        ready.join(", "),
        "",
        "overlapped with the backward pass",
        "after the backward pass",
        "ranks",
        "pictures",
        "MB sent",
        "s a step",
        "pictures/s",
        "efficiency",
        "s a step",
        "pictures/s",
        "efficiency",
    );
    let speed = |speed: &Speed| {
        let (rate, efficiency) = (speed.pictures_per_second, 100.0 * speed.efficiency);
        format!("{:>9} {rate:>12.1} {efficiency:>8.1} %", seconds(speed.seconds))
    };
    for row in &scaling.ranks {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:>5} {:>9} {:>8}   {}   {}",
            row.ranks,
            row.pictures,
            mega(row.bytes_sent),
            speed(&row.overlapped),
            speed(&row.after_backward)
        );
    }
    text
}

/// Several networks: their efficiencies in per cent, a column for each number of ranks.
pub(super) fn side_by_side<'a>(scalings: impl Iterator<Item = (&'a str, &'a Scaling)>) -> String {
    let mut text = String::new();
    for (name, scaling) in scalings {
        if text.is_empty() {
            let ranks: String = scaling.ranks.iter().map(|row| format!(" {:>5}", row.ranks)).collect();
            text = format!(
                "\nEfficiency in % of data parallel training by the model of docs/scale.md, {}\n\
                 (time of one rank's step {}, its parts by {})\n\n\
                 {:<20} {:>8} {:>6}  {:<14}{ranks} ranks\n",
                between(&scaling.link),
                scaling.step_from,
                scaling.kernels_from,
                "network",
                "s a step",
                "MB",
                "exchange"
            );
        }
        let row = |of: fn(&Row) -> Speed| -> String {
            scaling.ranks.iter().map(|row| format!(" {:>5.1}", 100.0 * of(row).efficiency)).collect()
        };
        let (overlapped, after_backward) = (row(|row| row.overlapped), row(|row| row.after_backward));
        let (alone, bytes) = (seconds(scaling.step_seconds), mega(scaling.step.bytes() as f64));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<20} {alone:>8} {bytes:>6}  {:<14}{overlapped}", "overlapped");
        let _ = writeln!(text, "{:<20} {:>8} {:>6}  {:<14}{after_backward}", "", "", "", "after backward");
    }
    text
}

fn between(link: &Link) -> String {
    let giga = |speed: f64| format!("{:.3}", speed * 1e-9).trim_end_matches('0').trim_end_matches('.').to_string();
    format!(
        "{} GB/s ({} Gbit/s) a rank each way,\n{} us a message, {} GB/s between device and host, sums of {} GB/s",
        giga(link.bandwidth),
        giga(8.0 * link.bandwidth),
        (link.latency * 1e9).round() * 1e-3,
        giga(link.bus),
        giga(link.host_sum)
    )
}

/// In seconds, to a hundredth of a per cent or so.
fn seconds(seconds: f64) -> String {
    if seconds < 10.0 { format!("{seconds:.4}") } else { format!("{seconds:.2}") }
}

fn mega(bytes: f64) -> String {
    format!("{:.1}", bytes * 1e-6)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A number and the unit behind it.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

/// Bytes a second from `25Gbit/s`, `25Gbps` or `3GB/s`.
fn parse_speed(text: &str) -> Result<f64, String> {
    let parsed = number_and_unit(text).and_then(|(number, unit)| {
        let bits = unit.strip_suffix("bit/s").or_else(|| unit.strip_suffix("bps")).map(|prefix| (prefix, 1.0 / 8.0));
        let (prefix, bytes) = bits.or_else(|| unit.strip_suffix("B/s").map(|prefix| (prefix, 1.0)))?;
        let factor = match prefix {
            "" => 1.0,
            "k" | "K" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            "T" => 1e12,
            "Ki" => f64::from(1 << 10),
            "Mi" => f64::from(1 << 20),
            "Gi" => f64::from(1 << 30),
            _ => return None,
        };
        Some(number * factor * bytes)
    });
    let is_speed = |speed: &f64| speed.is_finite() && *speed > 0.0;
    parsed.filter(is_speed).ok_or_else(|| {
        "write a number above 0 and its unit: bits as 25Gbit/s, bytes as 3GB/s (k, M, G, T of 1000; Ki, Mi, Gi of 1024)".into()
    })
}

/// Seconds from `20us`.
fn parse_time(text: &str) -> Result<f64, String> {
    let parsed = number_and_unit(text).and_then(|(number, unit)| {
        let factor = match unit {
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        Some(number * factor)
    });
    parsed.filter(|time| time.is_finite()).ok_or_else(|| "write a number and its unit: 20us, 1.5ms, 0s".into())
}

/// Seconds, a number alone.
fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.trim().parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds > 0.0);
    seconds.ok_or_else(|| "write seconds as a number above 0, such as 0.12".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_in_bits_or_bytes() {
        for (text, speed) in [
            ("25Gbit/s", 3.125e9),
            ("25 Gbps", 3.125e9),
            ("3GB/s", 3e9),
            ("12.5MB/s", 12.5e6),
            ("1GiB/s", 1_073_741_824.0),
            ("8kbit/s", 1e3),
            ("1.6Tbit/s", 2e11),
            ("100B/s", 100.0),
        ] {
            let found = parse_speed(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!((found - speed).abs() <= 1e-9 * speed, "{text}: {found}");
        }
        for wrong in
            ["", "25", "25G", "25Gb/s", "25Gbit", "0GB/s", "-1GB/s", "GB/s", "1.2.3GB/s", "infB/s", "5XB/s", "1e9B/s"]
        {
            let error = parse_speed(wrong).expect_err(wrong);
            assert!(error.contains("25Gbit/s") && error.contains("3GB/s"), "{error}");
        }
    }

    #[test]
    fn times_have_a_unit() {
        for (text, time) in [("20us", 20e-6), ("1.5ms", 1.5e-3), ("0s", 0.0), ("2 \u{b5}s", 2e-6), ("700ns", 700e-9)] {
            let found = parse_time(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!((found - time).abs() <= 1e-12, "{text}: {found}");
        }
        for wrong in ["", "20", "us", "-1us", "20m", "nan s"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_seconds("0.25"), Ok(0.25));
        for wrong in ["0", "-1", "nan", "inf", "1s", ""] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }
}
