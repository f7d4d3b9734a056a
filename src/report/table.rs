//! Several reports side by side.

use std::fmt::Write;

use serde::Serialize;

use super::document::Document;
use super::html::{Cell, document, heading, nothing, number, percent, small, table, text, three};
use super::rows::{Kernels, Storage};
use crate::bench::KernelTime;

/// Reports as columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// A column a report.
    pub columns: Vec<Column>,
    /// What they have in common or not, by sections.
    pub rows: Vec<Row>,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// The adapter.
    pub adapter: String,
    /// The interface to it.
    pub backend: String,
    /// The driver with its version.
    pub driver: String,
    /// The system.
    pub system: String,
    /// The program.
    pub program: String,
    /// When it was made.
    pub date: String,
}

/// A figure of each report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What the row belongs to.
    pub section: String,
    /// What it says.
    pub what: String,
    /// The figure of each column, where it has one.
    pub figures: Vec<Option<String>>,
}

const RIGHT: &str = "Right: checks that hold";
const CEILINGS: &str = "Ceilings";
const SPEED: &str = "Pictures a second, 256x256";
const TUNED: &str = "The same, tuned";
const STEP: &str = "DITN-W32's training step: share of the ceiling, weighted by time";

impl Table {
    /// These reports in their order.
    pub fn new(reports: &[Document]) -> Self {
        let columns = reports.iter().map(Column::of).collect();
        let mut out = Self { columns, rows: Vec::new() };
        let held = |held: usize, all: usize| (all > 0).then(|| format!("{held} of {all}"));
        out.add(RIGHT, "gradients", reports, |it| {
            held(it.gradients.iter().filter(|row| row.pass).count(), it.gradients.len())
        });
        for storage in Storage::ALL {
            out.add(RIGHT, &format!("kernels, {}", storage.name()), reports, |it| {
                let rows = it.kernels.iter().filter(|row| row.storage == storage);
                held(rows.clone().filter(|row| row.tally.pass).count(), rows.count())
            });
        }
        for storage in Storage::ALL {
            out.add(RIGHT, &format!("networks, {}", storage.name()), reports, |it| {
                let rows = it.verified.iter().filter(|row| row.storage == storage);
                held(rows.clone().filter(|row| row.pass).count(), rows.count())
            });
        }
        out.add(CEILINGS, "GFLOP/s, float32 multiply-adds", reports, |it| Some(three(it.ceiling?.gflops)));
        out.add(CEILINGS, "GB/s, copy", reports, |it| Some(three(it.ceiling?.gbps)));
        for (section, kernels) in [(SPEED, Kernels::Default), (TUNED, Kernels::Tuned)] {
            for (name, pass, batch, storage) in network_keys(reports, kernels) {
                out.add(section, &format!("{name} {pass} {batch}, {}", storage.name()), reports, |it| {
                    let mut networks = it.networks.iter().filter(|it| (it.kernels, it.storage) == (kernels, storage));
                    let found =
                        networks.find(|it| (&it.time.name, &it.time.pass, it.time.batch) == (&name, &pass, batch));
                    found.map(|it| three(it.rate()))
                });
            }
        }
        for (operator, pass, storage) in kernel_keys(reports) {
            out.add(STEP, &format!("{operator} {pass}, {}", storage.name()), reports, |it| {
                let kernels = it.step.iter().filter(|kernel| kernel.storage == storage).map(|kernel| &kernel.time);
                share(kernels.filter(|time| (&time.operator, &time.pass) == (&operator, &pass))).map(percent)
            });
        }
        out
    }

    /// Adds a row where a report has its figure.
    fn add(&mut self, section: &str, what: &str, reports: &[Document], figure: impl Fn(&Document) -> Option<String>) {
        let figures: Vec<Option<String>> = reports.iter().map(figure).collect();
        if figures.iter().any(Option::is_some) {
            self.rows.push(Row { section: section.to_owned(), what: what.to_owned(), figures });
        }
    }

    /// As text for a terminal.
    pub fn to_text(&self) -> String {
        const LEAST: usize = 10;
        let mut out = String::new();
        // Writing to a String cannot fail.
        for (number, column) in self.columns.iter().enumerate() {
            let Column { adapter, backend, driver, system, program, date } = column;
            let _ = writeln!(out, "{}  {adapter}, {backend}, {driver}\n   {system}\n   {program}, {date}", number + 1);
        }
        let first = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
        let figures = self.rows.iter().flat_map(|row| row.figures.iter().flatten());
        let width = figures.map(|figure| figure.chars().count()).max().unwrap_or(0).max(LEAST);
        let mut section = "";
        for row in &self.rows {
            if row.section != section {
                section = &row.section;
                let _ = write!(out, "\n{section}\n{:first$}", "");
                for number in 1..=self.columns.len() {
                    let _ = write!(out, "  {number:>width$}");
                }
                out.push('\n');
            }
            let _ = write!(out, "{:<first$}", row.what);
            for figure in &row.figures {
                let _ = write!(out, "  {:>width$}", figure.as_deref().unwrap_or("-"));
            }
            out.push('\n');
        }
        out
    }

    /// As a page that needs nothing beside it.
    pub fn to_html(&self) -> String {
        let columns = self.columns.iter().enumerate().map(|(at, column)| {
            let Column { adapter, backend, driver, system, program, date } = column;
            vec![number(at + 1), text(adapter), text(backend), text(driver), text(system), text(program), text(date)]
        });
        let headings = ["", "adapter", "interface", "driver", "system", "program", "date"];
        let mut body = String::from("<h1>Reports of ditn</h1>\n") + &table(&headings, columns);
        let numbers: Vec<String> = (1..=self.columns.len()).map(|number| number.to_string()).collect();
        let mut headings = vec![""];
        headings.extend(numbers.iter().map(String::as_str));
        let mut rest = self.rows.as_slice();
        while let Some(Row { section, .. }) = rest.first() {
            let length = rest.iter().take_while(|row| row.section == *section).count();
            let rows = rest[..length].iter().map(|row| {
                let figure = |figure: &Option<String>| figure.as_ref().map_or_else(nothing, number);
                let cells = std::iter::once(text(&row.what)).chain(row.figures.iter().map(figure));
                cells.collect::<Vec<Cell>>()
            });
            body += &heading(section);
            body += &table(&headings, rows);
            rest = &rest[length..];
        }
        body += &small("Columns are the reports by their numbers above; a dash where a report has no figure.");
        document("Reports of ditn", &body)
    }
}

impl Column {
    fn of(report: &Document) -> Self {
        let adapter = &report.adapter;
        Self {
            adapter: adapter.name.clone(),
            backend: adapter.backend.clone(),
            driver: format!("{} {}", adapter.driver, adapter.driver_info),
            system: report.system.describe(),
            program: report.program.describe(),
            date: report.date.clone(),
        }
    }
}

/// The networks that a report has figures of, in order of name, pass, batch and storage.
fn network_keys(reports: &[Document], kernels: Kernels) -> Vec<(String, String, usize, Storage)> {
    let networks = reports.iter().flat_map(|it| &it.networks).filter(|it| it.kernels == kernels);
    let mut keys: Vec<_> =
        networks.map(|it| (it.time.name.clone(), it.time.pass.clone(), it.time.batch, it.storage)).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// The operators and passes of the steps' kernels.
fn kernel_keys(reports: &[Document]) -> Vec<(String, String, Storage)> {
    let kernels = reports.iter().flat_map(|it| &it.step);
    let mut keys: Vec<_> = kernels.map(|it| (it.time.operator.clone(), it.time.pass.clone(), it.storage)).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// The share of the ceilings that kernels reach together: the time that the ceilings allow over the time that they take.
fn share<'a>(kernels: impl Iterator<Item = &'a KernelTime>) -> Option<f64> {
    let (mut least, mut all) = (0.0, 0.0);
    for kernel in kernels {
        let seconds = kernel.seconds * kernel.count as f64;
        least += kernel.share * seconds;
        all += seconds;
    }
    (all > 0.0).then_some(least / all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{measured, network};

    #[test]
    fn figures_stand_below_their_reports_and_what_one_lacks_is_a_dash() {
        let (a, mut b) = (measured("Big GPU", 1234.0), measured("Small <GPU>", 56.7));
        b.networks.push(network(99.0, Kernels::Tuned));
        b.ceiling = None;
        let table = Table::new(&[a, b]);
        let figures = |what: &str| {
            let row = table.rows.iter().find(|row| row.what.starts_with(what));
            row.map(|row| row.figures.iter().map(|it| it.as_deref().unwrap_or("-")).collect::<Vec<_>>())
        };
        assert_eq!(figures("GFLOP/s"), Some(vec!["20000", "-"]));
        assert_eq!(figures("ditn-w32 infer 8, f32"), Some(vec!["1234", "56.7"]));
        assert_eq!(figures("conv2d forward, f32"), Some(vec!["25 %", "25 %"]));
        let tuned = table.rows.iter().find(|row| row.section == TUNED).unwrap();
        assert_eq!(tuned.figures, [None, Some("99.0".to_owned())]);
        assert_eq!(figures("gradients"), None, "no report has them");
        let (text, html) = (table.to_text(), table.to_html());
        assert!(
            text.contains("1  Big GPU, vulkan, driver 1.2\n") && text.contains("        1234        56.7\n"),
            "{text}"
        );
        assert!(html.contains("Small &lt;GPU&gt;") && !html.contains("http"), "{html}");
    }
}
