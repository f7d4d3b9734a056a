//! Tables of the paper: rows of a table trained or scored under one budget, and printed beside the paper's figures.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use serde::Serialize;

use super::common::{Common, Status, print, print_json};
use super::progress::Progress;
use super::train::stop_on_interrupt;
use crate::data::SkeletonTable;
use crate::files::write_atomically;
use crate::gpu::{AdapterReport, Gpu};
use crate::train::ablation::{Spread, Standing, Table, standing, within_budget};
use crate::train::checkpoint::{self, Checkpoint};
use crate::train::config::{self, Config, NetworkKind};
use crate::train::evaluate::{Evaluator, network_of, poses_of};
use crate::train::folder::RunFolder;
use crate::train::log::SummaryMetric;
use crate::train::people::People;
use crate::train::{self, Outcome, Process};

/// Below a table.
const MARK: &str = "Differences are from the first row; * marks those that exceed the spread over the seeds.";

/// Configurations by the names that `--data` takes, with the files they come from.
const NAMED: [(&str, &str, &str); 4] = [
    ("synthetic", "datasets/synthetic/ditn_tiny.toml", include_str!("../../datasets/synthetic/ditn_tiny.toml")),
    ("lsp", "datasets/lsp/ditn_small.toml", include_str!("../../datasets/lsp/ditn_small.toml")),
    ("mpii", "datasets/mpii/ditn_w32_256x256.toml", include_str!("../../datasets/mpii/ditn_w32_256x256.toml")),
    ("coco", "datasets/coco/ditn_w32_256x192.toml", include_str!("../../datasets/coco/ditn_w32_256x192.toml")),
];

/// What the tables of runs are made with.
#[derive(Debug, clap::Args)]
pub(super) struct RowsArguments {
    /// `synthetic`, `lsp` (both with a small network), `mpii`, `coco` (DITN-W32 with the paper's schedule), or a
    /// configuration of a DITN
    #[arg(long, value_name = "synthetic|lsp|mpii|coco|CONFIG.toml", default_value = "synthetic")]
    data: String,
    /// Training pictures a run [default: as many as the configuration says]
    #[arg(long, value_name = "PICTURES", value_parser = clap::value_parser!(u32).range(1..))]
    budget: Option<u32>,
    /// How many seeds, from 1 on
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    seeds: u16,
    /// Change a value of the configuration for all rows, such as evaluate.people=1000; may be given many times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The folder of the runs and the table [default: runs/TABLE-DATA]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    table: &'static str,
    title: &'static str,
    metric: String,
    mean_pose_baseline: f64,
    /// What was trained here, and in the paper.
    here: String,
    paper: &'static str,
    paper_metric: &'static str,
    /// Why rows may not be comparable.
    #[serde(skip_serializing_if = "Option::is_none")]
    caution: Option<String>,
    rows: Vec<ReportRow>,
    /// What the figures are of.
    measure: &'static str,
    conclusion: String,
    adapter: AdapterReport,
}

#[derive(Serialize)]
struct ReportRow {
    name: &'static str,
    overrides: &'static [&'static str],
    /// One a seed, in percent.
    scores: Vec<f64>,
    #[serde(flatten)]
    spread: Spread,
    /// From the first row.
    difference: f64,
    /// Differences up to this are within the spread of the seeds.
    least_difference: Option<f64>,
    /// What the paper prints.
    paper: f64,
    paper_difference: f64,
}

/// Trains what has not been trained, and prints the table. Rows with a checkpoint are scored instead: only those, where there is
/// any.
pub(super) fn run(
    table: &'static Table,
    arguments: RowsArguments,
    checkpoints: &[(String, PathBuf)],
    common: &Common,
) -> anyhow::Result<Status> {
    let RowsArguments { data, budget, seeds, overrides, out } = arguments;
    let base = base_config(table, &data, budget, &overrides)?;
    let data = Path::new(&data).file_stem().unwrap_or_default().to_string_lossy();
    let out = out.unwrap_or_else(|| Path::new("runs").join(format!("{}-{data}", table.name)));
    // Whatever is wrong with a row is said before hours of training.
    let runs = if checkpoints.is_empty() { runs_of(table, &base, seeds, &out)? } else { Vec::new() };
    let given = checkpoints_of(table, checkpoints)?;
    let people = People::open(&base)?;
    let gpu = common.gpu()?;
    let stop = stop_on_interrupt()?;

    let mut scores = vec![Vec::new(); table.rows.len()];
    let mut metric = None;
    for (row, path) in given {
        eprintln!("{}: {}", table.rows[row].name, path.display());
        let Some(found) = score_of_checkpoint(&base, &people, path, &gpu, stop)? else {
            eprintln!("Stopped before all people were scored.");
            return Ok(Status::Interrupted);
        };
        scores[row].push(found.value);
        metric = Some(found);
    }
    for (number, Run { row, config, folder }) in runs.iter().enumerate() {
        let name = format!("{}, seed {}", table.rows[*row].name, config.seed);
        eprintln!("Run {} of {}: {name}", number + 1, runs.len());
        let Some(found) = score_of(config, folder, &gpu, stop).context(name)? else {
            eprintln!("Stopped. The same command resumes from here.");
            return Ok(Status::Interrupted);
        };
        scores[*row].push(found.value);
        metric = Some(found);
    }
    let metric = metric.context("no run")?;
    let here = match checkpoints {
        [] => {
            let pictures = pictures(&base, &people);
            format!("{data}, {pictures} pictures a run, seeds 1 to {seeds}, {}", network(&base))
        }
        _ => format!("{data}, checkpoints as they are"),
    };
    let rows = report_rows(table, scores);
    let report = Report {
        table: table.name,
        title: table.title,
        metric: metric.name,
        mean_pose_baseline: metric.mean_pose_baseline,
        here,
        paper: table.paper,
        paper_metric: table.metric,
        caution: caution(&runs),
        measure: if checkpoints.is_empty() { ", mean ± deviation over the seeds" } else { "" },
        conclusion: match checkpoints {
            [] => format!("{}\n{MARK}", conclusion(&rows)),
            _ => "Each checkpoint is scored once; differences are from the first row.".into(),
        },
        rows,
        adapter: gpu.report().clone(),
    };
    let of = if checkpoints.is_empty() { "" } else { "_checkpoints" };
    let path = out.join(format!("{}{of}.md", table.name));
    write_atomically(&path, markdown(&report).as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    if common.json {
        print_json(&report)?
    } else {
        print(&text(&report, &path))?
    }
    Ok(Status::Done)
}

/// One run of the table.
struct Run {
    /// Number of its row.
    row: usize,
    config: Config,
    folder: PathBuf,
}

/// The number of the row that each checkpoint is for.
fn checkpoints_of<'a>(table: &Table, checkpoints: &'a [(String, PathBuf)]) -> anyhow::Result<Vec<(usize, &'a Path)>> {
    let row = |(name, path): &'a (String, PathBuf)| {
        let names = || table.rows.iter().map(|row| row.folder).collect::<Vec<_>>().join(", ");
        let row = table.rows.iter().position(|row| row.folder == name);
        let row = row.with_context(|| format!("{} has no row {name}; its rows are {}", table.name, names()))?;
        let twice = checkpoints.iter().filter(|(other, _)| other == name).count() > 1;
        anyhow::ensure!(!twice, "--checkpoint {name} is given twice");
        Ok((row, path.as_path()))
    };
    checkpoints.iter().map(row).collect()
}

/// The score of a checkpoint on the people of `base`, by its own rule of decoding; `None` where it was asked to stop.
fn score_of_checkpoint(
    base: &Config,
    people: &People,
    path: &Path,
    gpu: &Arc<Gpu>,
    stop: &AtomicBool,
) -> anyhow::Result<Option<SummaryMetric>> {
    let Checkpoint { header, state } = checkpoint::load(path)?;
    let trained = SkeletonTable::skeleton_of(header.config.skeleton.as_ref(), header.config.data.kind)?;
    people.check_joints(&trained).with_context(|| path.display().to_string())?;
    let mut config = base.clone();
    (config.model, config.train.size) = (header.config.model, header.config.train.size);
    (config.evaluate.decode, config.evaluate.flip_test) =
        (header.config.evaluate.decode, header.config.evaluate.flip_test);
    let network = network_of(gpu, &config, people.skeleton(), config.train.batch, path, &state)?;
    let mut progress = Progress::new();
    let predictions = Evaluator::new(&config, network).predict(people, &mut progress, stop)?;
    progress.finished();
    let Some(predictions) = predictions else { return Ok(None) };
    let score = people.score(&poses_of(&predictions), config.train.size)?.score;
    let mean_pose_baseline = people.mean_pose_score(config.train.size)?.value();
    Ok(Some(SummaryMetric { name: score.name().into(), value: score.value(), mean_pose_baseline }))
}

/// All runs, seed by seed, so that what there is after an interruption is of equal use for all rows.
fn runs_of(table: &Table, base: &Config, seeds: u16, out: &Path) -> anyhow::Result<Vec<Run>> {
    let mut runs = Vec::new();
    for seed in 1..=u64::from(seeds) {
        for (row, about) in table.rows.iter().enumerate() {
            let folder = out.join(about.folder).join(format!("seed_{seed}"));
            let config = about.config(base, seed).with_context(|| format!("row `{}`", about.name))?;
            standing(&folder, &config)?;
            runs.push(Run { row, config, folder });
        }
    }
    Ok(runs)
}

fn base_config(table: &Table, data: &str, budget: Option<u32>, overrides: &[String]) -> anyhow::Result<Config> {
    let base = match NAMED.iter().find(|(name, ..)| *name == data) {
        Some((_, file, text)) => config::from_text(text, file)?,
        None => {
            anyhow::ensure!(
                !Path::new(data).is_dir(),
                "{data} is a folder; --data takes synthetic, lsp, mpii, coco or a configuration, and --set data.root={data} \
                 says where the pictures are"
            );
            config::from_file(Path::new(data))?
        }
    };
    let mut base = config::with_overrides(base, overrides)?;
    if let Some(pictures) = budget {
        base = within_budget(base, pictures as usize);
    }
    base.output.sheets = 0;
    base.validate()?;
    anyhow::ensure!(
        table.networks.contains(&base.model.kind),
        "{} needs a configuration whose model.kind is one of {}",
        table.name,
        table.networks.iter().filter_map(spelled).collect::<Vec<_>>().join(", ")
    );
    Ok(base)
}

/// A value as configurations spell it.
fn spelled(value: &impl Serialize) -> Option<String> {
    Some(serde_json::to_value(value).ok()?.as_str()?.to_owned())
}

/// The score of a run, which is trained or finished where it is not done; `None` where it was asked to stop.
fn score_of(
    config: &Config,
    folder: &Path,
    gpu: &Arc<Gpu>,
    stop: &AtomicBool,
) -> anyhow::Result<Option<SummaryMetric>> {
    let (run, checkpoint) = match standing(folder, config)? {
        Standing::Finished(metric) => return Ok(Some(metric)),
        Standing::Absent => (RunFolder::for_new_run(folder)?, None),
        Standing::Begun => {
            let run = RunFolder::for_resuming(folder)?;
            let checkpoint = checkpoint::load(&run.last())?;
            (run, Some(checkpoint))
        }
    };
    let people = People::open(config)?;
    let mut progress = Progress::new();
    match train::run(config.clone(), people, &run, checkpoint, &Process::alone(gpu), &mut progress, stop)? {
        Outcome::Finished(summary) => Ok(Some(summary.metric)),
        Outcome::Stopped { .. } | Outcome::Followed => Ok(None),
    }
}

/// Training pictures that a run sees.
fn pictures(config: &Config, people: &People) -> usize {
    let an_epoch = match config.train.pictures_per_epoch {
        0 => people.training().len(),
        pictures => pictures,
    };
    let step = config.train.pictures_per_step(1);
    config.train.epochs * (an_epoch / step) * step
}

/// A network with a single convolution as its head makes every map a weighted sum of the features' channels: with fewer
/// channels than joints it cannot tell all joints apart, however long it learns.
fn caution(runs: &[Run]) -> Option<String> {
    let narrow = |Run { config, .. }: &&Run| {
        config.model.kind == NetworkKind::Hrnet && config.model.width < config.data.kind.skeleton().joints.len()
    };
    let Run { config, .. } = runs.iter().find(narrow)?;
    let (joints, width) = (config.data.kind.skeleton().joints.len(), config.model.width);
    Some(format!(
        "Caution: HRNet's head makes the maps of {joints} joints from {width} channels and cannot tell them all apart; DITN's \
         decoder can. A fair row of HRNet needs --set model.width={joints} or more."
    ))
}

/// What the configuration trains, in words.
fn network(config: &Config) -> String {
    let model = &config.model;
    let kind = spelled(&model.kind).unwrap_or_default();
    let body = if kind.ends_with("resnet") {
        format!("{} layers", usize::from(model.depth))
    } else {
        format!("width {}, blocks {}, modules {:?}", model.width, model.blocks, model.modules)
    };
    format!("{kind} ({body}), {}", config.train.size)
}

/// The rows that have scores.
fn report_rows(table: &'static Table, scores: Vec<Vec<f64>>) -> Vec<ReportRow> {
    let scored: Vec<(usize, Vec<f64>)> = scores.into_iter().enumerate().filter(|(_, it)| !it.is_empty()).collect();
    let Some((first_row, first)) = scored.first().map(|(row, scores)| (*row, Spread::of(scores))) else {
        return Vec::new();
    };
    let row = |(number, scores): (usize, Vec<f64>)| {
        let (row, spread) = (&table.rows[number], Spread::of(&scores));
        ReportRow {
            name: row.name,
            overrides: row.overrides,
            scores,
            spread,
            difference: spread.mean - first.mean,
            least_difference: spread.least_difference(&first),
            paper: row.paper,
            paper_difference: row.paper - table.rows[first_row].paper,
        }
    };
    scored.into_iter().map(row).collect()
}

impl ReportRow {
    /// Whether the difference from the first row exceeds the spread of the seeds.
    fn counts(&self) -> bool {
        self.least_difference.is_some_and(|least| self.difference.abs() > least)
    }
}

/// What the seeds allow to say.
fn conclusion(rows: &[ReportRow]) -> String {
    let (first, others) = (&rows[0], &rows[1..]);
    if first.spread.deviation.is_none() {
        return "With one seed the spread is unknown: no difference can be called significant.".into();
    }
    let counting: Vec<&ReportRow> = others.iter().filter(|row| row.counts()).collect();
    if counting.is_empty() {
        return format!("No difference from `{}` exceeds the spread over the seeds.", first.name);
    }
    let names: Vec<String> = counting.iter().map(|row| format!("`{}` ({:+.1})", row.name, row.difference)).collect();
    let rest = if counting.len() < others.len() { "; the others do not" } else { "" };
    format!(
        "Rows that differ from `{}` by more than the spread over the seeds: {}{rest}.",
        first.name,
        names.join(", ")
    )
}

/// Mean and spread, as tables print them.
fn mean(row: &ReportRow) -> String {
    let spread = row.spread.deviation.map_or(String::new(), |deviation| format!(" ± {deviation:.2}"));
    format!("{:.2}{spread}", row.spread.mean)
}

/// The difference from the first row, marked where it counts.
fn difference(row: &ReportRow, first: bool) -> String {
    if first { String::new() } else { format!("{:+.2}{}", row.difference, if row.counts() { " *" } else { "" }) }
}

fn paper_difference(row: &ReportRow, first: bool) -> String {
    if first { String::new() } else { format!("{:+.3}", row.paper_difference) }
}

fn text(report: &Report, path: &Path) -> String {
    let Report { table, title, metric, here, paper, paper_metric, measure, rows, .. } = report;
    let mut text = format!(
        "\n{table}: {title}\nhere   {metric} in percent (mean pose {:.1}){measure}: {here}\n\
         paper  {paper_metric} in percent: {paper}\n\n  {:<30} {:>15} {:>9} {:>10} {:>8}\n",
        report.mean_pose_baseline, "", "here", "", "paper", ""
    );
    for (number, row) in rows.iter().enumerate() {
        text += &format!(
            "  {:<30} {:>15} {:>9} {:>10.3} {:>8}\n",
            row.name,
            mean(row),
            difference(row, number == 0),
            row.paper,
            paper_difference(row, number == 0)
        );
    }
    let caution = report.caution.as_ref().map_or(String::new(), |caution| format!("{caution}\n"));
    text + &format!("\n{}\n{caution}Written to {}\n", report.conclusion, path.display())
}

fn markdown(report: &Report) -> String {
    let Report { table, title, metric, here, paper, paper_metric, measure, rows, caution, conclusion, adapter, .. } =
        report;
    let mut text = format!(
        "# {table}: {title}\n\nHere: {metric} in percent (mean pose {:.1}){measure}: {here}; on {}.\n\
         Paper: {paper_metric} in percent: {paper}.\n\n\
         | | here | | paper | | scores |\n|---|---|---|---|---|---|\n",
        report.mean_pose_baseline, adapter.name
    );
    for (number, row) in rows.iter().enumerate() {
        let scores: Vec<String> = row.scores.iter().map(|score| format!("{score:.1}")).collect();
        text += &format!(
            "| {} | {} | {} | {:.3} | {} | {} |\n",
            row.name,
            mean(row),
            difference(row, number == 0).replace('*', "\\*"),
            row.paper,
            paper_difference(row, number == 0),
            scores.join(", ")
        );
    }
    let caution = caution.as_ref().map_or(String::new(), |caution| format!("\n{caution}\n"));
    text + &format!("\n{conclusion}\n{caution}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{ablation, systems};

    #[test]
    fn every_named_configuration_makes_every_table() {
        for (name, file, _) in NAMED {
            for table in ablation::TABLES.iter().chain(&systems::TABLES) {
                let base = base_config(table, name, None, &[]).unwrap_or_else(|error| panic!("{file}: {error}"));
                assert_eq!(spelled(&base.data.kind).as_deref(), Some(name));
            }
        }
        let resnet = ["model.kind=ditn-resnet".to_owned()];
        base_config(&ablation::TABLES[1], "mpii", None, &resnet).expect("the paper's Table 6 is of a ResNet");
        assert!(base_config(&ablation::TABLES[0], "mpii", None, &resnet).is_err(), "its Table 5 is not");
    }
}
