//! A report as a page to read.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::document::{Document, PartRecord};
use super::html::{Cell, details, document, heading, ms, nothing, number, percent, small, table, text, three, verdict};
use super::part::Part;
use super::rows::{CheckedNetwork, Kernels, StepKernel, Storage, TimedNetwork};
use crate::bench::{KernelTime, roofline};
use crate::gpu::AdapterReport;
use crate::plot::escaped;

/// The report as one page of HTML that needs nothing beside it.
pub fn page(report: &Document) -> String {
    let mut body = header(report);
    body += &verdicts(report);
    body += &parts(report);
    body += &ceilings(report);
    body += &networks(report);
    body += &step(report);
    body += &tuning(report);
    body += &kernels(report);
    body += &gradients(report);
    body += &verified(report);
    body += &adapters(report);
    document(&format!("ditn report: {}", report.adapter.name), &body)
}

fn header(report: &Document) -> String {
    let AdapterReport { name, backend, kind, driver, driver_info, .. } = &report.adapter;
    let settings = report.environment.iter().map(|(name, value)| format!("{name}={value} "));
    let settings = settings.collect::<String>();
    let interrupted = if report.interrupted { "<p class=\"bad\">Stopped before the end.</p>\n" } else { "" };
    format!(
        "<h1>{}</h1>\n<p>{}, {backend}, driver {}</p>\n<p class=\"small\">{} on {}. {} {}</p>\n{interrupted}",
        escaped(name),
        escaped(kind),
        escaped(&format!("{driver} {driver_info}")),
        escaped(&report.program.describe()),
        escaped(&report.system.describe()),
        escaped(&report.date),
        escaped(settings.trim_end()),
    )
}

/// What is wrong, or that nothing is.
fn verdicts(report: &Document) -> String {
    let troubles = report.troubles();
    if !troubles.is_empty() {
        let items: String = troubles.iter().map(|line| format!("<li>{}</li>\n", escaped(line))).collect();
        return format!("<div class=\"box\">\n<p class=\"bad\">Not right:</p>\n<ul>\n{items}</ul>\n</div>\n");
    }
    let checks = report.gradients.iter().map(|row| row.cases).sum::<usize>()
        + report.kernels.iter().map(|row| row.tally.cases).sum::<usize>()
        + report.verified.len();
    if checks == 0 { String::new() } else { format!("<p class=\"ok\">All {checks} checks that were made hold.</p>\n") }
}

/// What was done, and what was left out and why.
fn parts(report: &Document) -> String {
    let state = |part: &PartRecord| match (part.complete, part.failed.len(), part.skipped.len()) {
        (false, ..) if part.failed.iter().all(|note| !note.what.is_empty()) => "stopped".to_owned(),
        (false, ..) => "failed".to_owned(),
        (true, 0, 0) => "done".to_owned(),
        (true, 0, _) => "done but for what was left out".to_owned(),
        (true, failed, _) => format!("{failed} failed"),
    };
    let row = |part: &PartRecord| {
        vec![text(Part::title_of(&part.name)), number(format!("{:.0}", part.seconds)), text(state(part))]
    };
    let mut out = heading("Parts") + &table(&["part", "s", ""], report.parts.iter().map(row));
    let skipped: String = report.parts.iter().flat_map(|part| part.skipped.iter().map(move |note| (part, note))).fold(
        String::new(),
        |mut out, (part, note)| {
            // Writing to a String cannot fail.
            let line = format!("{}: {}: {}", Part::title_of(&part.name), note.what, note.reason);
            let _ = writeln!(out, "<li>{}</li>", escaped(&line));
            out
        },
    );
    if !skipped.is_empty() {
        out += &details("What was left out", &format!("<ul class=\"small\">\n{skipped}</ul>\n"));
    }
    out + &small(&format!("{} minutes were given.", report.minutes))
}

fn ceilings(report: &Document) -> String {
    let Some(ceiling) = &report.ceiling else { return String::new() };
    let mut out = heading("Ceilings");
    let _ = writeln!(
        out,
        "<p>{} GFLOP/s in float32 fused multiply-adds, {} GB/s in a copy, reads and writes together</p>",
        three(ceiling.gflops),
        three(ceiling.gbps)
    );
    for storage in Storage::ALL {
        let kernels: Vec<KernelTime> = of_storage(report, storage).map(|kernel| kernel.time.clone()).collect();
        if !kernels.is_empty() {
            // The outermost element of an SVG document within HTML needs no name of its language.
            let title = format!("{} ({})", report.adapter.name, storage.name());
            out += &roofline(&title, ceiling, &kernels).replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
        }
    }
    out
}

fn of_storage(report: &Document, storage: Storage) -> impl Iterator<Item = &StepKernel> {
    report.step.iter().filter(move |kernel| kernel.storage == storage)
}

/// A row a network, pass and batch; columns by storage.
fn networks(report: &Document) -> String {
    let rows = network_rows(report, Kernels::Default);
    if rows.is_empty() {
        return String::new();
    }
    let mut headings = vec!["network", "pass", "batch"];
    let columns: Vec<String> =
        Storage::ALL.iter().flat_map(|it| [format!("{} ms", it.name()), format!("{} pictures/s", it.name())]).collect();
    headings.extend(columns.iter().map(String::as_str));
    let rates = |found: &[Option<&TimedNetwork>; 3]| -> Vec<Cell> {
        let cells = |it: &Option<&TimedNetwork>| match it {
            Some(it) => [number(ms(it.time.seconds)), number(three(it.rate()))],
            None => [nothing(), nothing()],
        };
        found.iter().flat_map(cells).collect()
    };
    let row = |((name, pass, batch), found): (&(String, String, usize), &[Option<&TimedNetwork>; 3])| {
        let mut cells = vec![text(name), text(pass), number(batch)];
        cells.extend(rates(found));
        cells
    };
    let memory = report.networks.iter().filter(|it| it.kernels == Kernels::Default).map(|it| {
        let time = &it.time;
        vec![
            text(&time.name),
            text(&time.pass),
            number(time.batch),
            text(it.storage.name()),
            number(time.peak_bytes >> 20),
            number(time.dispatches),
            number(ms(time.host_seconds)),
            time.slow_share.map_or_else(nothing, |share| number(percent(share))),
        ]
    });
    let headings_of_memory = ["network", "pass", "batch", "storage", "MiB", "dispatches", "host ms", "slow kernels"];
    heading("Networks")
        + &small("256x256; train: a whole training step. Kernels by the operators' own rules.")
        + &table(&headings, rows.iter().map(row))
        + &details("Memory, dispatches, and the share of time in slow kernels", &table(&headings_of_memory, memory))
}

/// Networks by name, pass and batch, in each storage.
fn network_rows(report: &Document, kernels: Kernels) -> BTreeMap<(String, String, usize), [Option<&TimedNetwork>; 3]> {
    let mut rows: BTreeMap<_, [Option<&TimedNetwork>; 3]> = BTreeMap::new();
    for it in report.networks.iter().filter(|it| it.kernels == kernels) {
        let key = (it.time.name.clone(), it.time.pass.clone(), it.time.batch);
        let column = Storage::ALL.iter().position(|storage| *storage == it.storage).unwrap_or(0);
        rows.entry(key).or_default()[column] = Some(it);
    }
    rows
}

fn step(report: &Document) -> String {
    let Some(first) = report.step.first() else { return String::new() };
    let mut out = heading("Kernels of a training step")
        + &small(&format!(
            "DITN-W32 at 256x256, {} pictures; the kernels that should take longest. Share: of the ceiling that binds, of \
             operations or of bytes.",
            first.batch
        ));
    for storage in Storage::ALL {
        let rows: Vec<Vec<Cell>> = of_storage(report, storage)
            .map(|StepKernel { time, .. }| {
                vec![
                    text(format!("{} {}", time.operator, time.pass)),
                    text(&time.case),
                    text(&time.variant),
                    number(ms(time.seconds)),
                    number(time.count),
                    number(three(time.gflops)),
                    number(three(time.gbps)),
                    number(percent(time.share)),
                ]
            })
            .collect();
        if !rows.is_empty() {
            let headings = ["kernel", "case", "variant", "ms", "times", "GFLOP/s", "GB/s", "share"];
            out += &details(&format!("{}: {} kernels", storage.name(), rows.len()), &table(&headings, rows));
        }
    }
    out
}

fn tuning(report: &Document) -> String {
    let after: Vec<&TimedNetwork> = report.networks.iter().filter(|it| it.kernels == Kernels::Tuned).collect();
    if after.is_empty() && report.tuned.is_empty() {
        return String::new();
    }
    let row = |it: &&TimedNetwork| {
        let (name, pass, batch) = (&it.time.name, &it.time.pass, it.time.batch);
        let is_same = |other: &&TimedNetwork| {
            other.kernels == Kernels::BeforeTuning
                && other.storage == it.storage
                && (&other.time.name, &other.time.pass, other.time.batch) == (name, pass, batch)
        };
        let before = report.networks.iter().find(is_same);
        vec![
            text(name),
            text(pass),
            number(batch),
            text(it.storage.name()),
            before.map_or_else(nothing, |before| number(ms(before.time.seconds))),
            number(ms(it.time.seconds)),
            before.map_or_else(nothing, |before| number(three(before.time.seconds / it.time.seconds))),
        ]
    };
    let mut changed: Vec<_> = report.tuned.iter().filter(|case| case.gain() > 1.0).collect();
    changed.sort_by(|a, b| b.gain().total_cmp(&a.gain()));
    let cases = changed.iter().map(|case| {
        let times = case.seconds.iter().map(|(name, seconds)| format!("{name} {}", ms(*seconds)));
        let times = times.collect::<Vec<_>>().join(", ");
        vec![text(&case.case), text(&case.chosen), number(three(case.gain())), text(times)]
    });
    let summary = format!("{} of {} measured cases are faster in another variant", changed.len(), report.tuned.len());
    heading("Tuning")
        + &table(&["network", "pass", "batch", "storage", "before ms", "after ms", "speed-up"], after.iter().map(row))
        + &details(&summary, &table(&["case", "chosen", "speed-up", "ms, the default first"], cases))
}

fn kernels(report: &Document) -> String {
    if report.kernels.is_empty() {
        return String::new();
    }
    let row = |row: &super::rows::CheckedKernel| {
        vec![
            verdict(row.tally.pass),
            text(&row.tally.operator),
            text(&row.variant),
            text(row.storage.name()),
            number(row.tally.cases),
            number(three(row.tally.worst_error)),
            number(three(row.tally.allowed)),
            text(&row.tally.worst_case),
        ]
    };
    let headings = ["", "operator", "variant", "storage", "cases", "worst error", "allowed", "worst case"];
    let failed = report.kernels.iter().filter(|row| !row.tally.pass).count();
    let cases: usize = report.kernels.iter().map(|row| row.tally.cases).sum();
    let summary = format!("{cases} cases of {} kernels in all variants, {failed} wrong", report.kernels.len());
    heading(Part::Kernels.title())
        + &small("Errors against float64 in units of 2^-24 of the sum of the absolute terms.")
        + &details(&summary, &table(&headings, report.kernels.iter().map(row)))
}

fn gradients(report: &Document) -> String {
    if report.gradients.is_empty() {
        return String::new();
    }
    let row = |row: &crate::verify::operators::Tally| {
        vec![
            verdict(row.pass),
            text(&row.operator),
            number(row.cases),
            number(format!("{:.1e}", row.worst_error)),
            number(format!("{:.0e}", row.allowed)),
            text(&row.worst_case),
        ]
    };
    let headings = ["", "operator", "cases", "worst error", "allowed", "worst case"];
    let failed = report.gradients.iter().filter(|row| !row.pass).count();
    let summary = format!("{} operators against numeric gradients, {failed} wrong", report.gradients.len());
    heading(Part::Gradcheck.title()) + &details(&summary, &table(&headings, report.gradients.iter().map(row)))
}

fn verified(report: &Document) -> String {
    if report.verified.is_empty() {
        return String::new();
    }
    let mut names: Vec<&str> = Vec::new();
    for group in report.verified.iter().flat_map(|row| &row.groups) {
        if !names.contains(&group.name.as_str()) {
            names.push(&group.name);
        }
    }
    let mut headings = vec!["", "network", "kernels", "storage"];
    headings.extend(&names);
    let row = |row: &CheckedNetwork| {
        let mut cells = vec![
            verdict(row.pass),
            text(&row.dump),
            text(row.variant.as_deref().unwrap_or("default")),
            text(row.storage.name()),
        ];
        cells.extend(names.iter().map(|name| match row.groups.iter().find(|group| group.name == **name) {
            Some(group) => number(format!("{:.0e} of {:.0e}", group.error, group.allowance)),
            None => nothing(),
        }));
        cells
    };
    let failed = report.verified.iter().filter(|row| !row.pass).count();
    let summary = format!("{} runs of small networks, {failed} differ", report.verified.len());
    heading(Part::Verify.title())
        + &small(
            "Relative errors of outputs, losses, gradients, statistics, optimizer and ten steps against float64, each with \
             what it may be by the noise of PyTorch's float32, or that times 2^13 where feature maps are f16. An allowance of 1 \
             or more says nothing but that all is finite.",
        )
        + &details(&summary, &table(&headings, report.verified.iter().map(row)))
}

fn adapters(report: &Document) -> String {
    let yes = |has: bool| text(if has { "yes" } else { "no" });
    let row = |adapter: &AdapterReport| {
        let AdapterReport { name, backend, kind, driver, driver_info, capabilities } = adapter;
        let subgroups = match (capabilities.subgroup_min_size, capabilities.subgroup_max_size) {
            _ if !capabilities.subgroups => "no".to_owned(),
            (min, max) if min == max => min.to_string(),
            (min, max) => format!("{min} to {max}"),
        };
        vec![
            text(name),
            text(kind),
            text(backend),
            text(format!("{driver} {driver_info}")),
            text(subgroups),
            yes(capabilities.shader_f16),
            yes(capabilities.timestamps),
            number(capabilities.max_binding_bytes >> 20),
            number(capabilities.max_buffer_bytes >> 20),
            number(capabilities.workgroup_memory >> 10),
            number(capabilities.max_workgroup_invocations),
            number(capabilities.max_storage_buffers),
        ]
    };
    let headings = [
        "adapter",
        "kind",
        "interface",
        "driver",
        "subgroups",
        "f16",
        "time stamps",
        "binding MiB",
        "buffer MiB",
        "workgroup KiB",
        "invocations",
        "storage buffers",
    ];
    heading("Adapters of the machine") + &table(&headings, report.adapters.iter().map(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{measured, network};

    #[test]
    fn the_page_needs_nothing_beside_it_and_has_the_roofline() {
        let mut report = measured("A <b> & c", 100.0);
        report.networks.extend([network(100.0, Kernels::BeforeTuning), network(150.0, Kernels::Tuned)]);
        let page = page(&report);
        for elsewhere in ["http", "src=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(elsewhere), "{elsewhere} in {page}");
        }
        for there in ["A &lt;b&gt; &amp; c", "<svg ", "<circle ", "80.0</td>", "1.50</td>", "conv2d forward"] {
            assert!(page.contains(there), "no {there} in {page}");
        }
        assert!(!page.contains("A <b>"));
        let opened = page.matches("<table>").count();
        assert!(opened > 4 && opened == page.matches("</table>").count());
    }
}
