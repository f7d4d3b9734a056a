//! `ditn kernels`

use serde::Serialize;

use super::common::{Common, Status, print, print_json};
use crate::{bench, ops};

const EXAMPLES: &str = "\
Examples:
  ditn kernels                   the list
  ditn kernels conv2d            those of one operator
  ditn kernels relu/forward      what one computes, with its source";

/// Arguments of `ditn kernels`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A kernel's name, or the beginning of several
    name: Option<String>,
}

#[derive(Serialize)]
struct Entry {
    name: &'static str,
    summary: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
}

/// Lists kernels, or shows one.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let wanted = arguments.name.as_deref().unwrap_or("");
    let mut all: Vec<_> = ops::kernels().into_iter().chain(bench::probe::kernels()).collect();
    all.sort_by_key(|kernel| kernel.name);
    let exact: Vec<_> = all.iter().filter(|kernel| kernel.name == wanted).collect();
    let found =
        if exact.is_empty() { all.iter().filter(|kernel| kernel.name.starts_with(wanted)).collect() } else { exact };
    anyhow::ensure!(!found.is_empty(), "no kernel's name begins with `{wanted}`; `ditn kernels` lists them all");
    let show_source = !wanted.is_empty() && found.len() == 1;
    let entries: Vec<Entry> = found
        .iter()
        .map(|kernel| Entry {
            name: kernel.name,
            summary: kernel.summary,
            source: show_source.then_some(kernel.source),
        })
        .collect();
    if common.json {
        print_json(&entries)?;
    } else if let [Entry { name, source: Some(source), .. }] = entries.as_slice() {
        print(&format!("// {name}.wgsl\n{source}"))?;
    } else {
        let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
        let lines: String = entries.iter().map(|e| format!("{:<width$}  {}\n", e.name, e.summary)).collect();
        print(&lines)?;
    }
    Ok(Status::Done)
}
