//! `ditn ablation`

use anyhow::Context;

use super::common::{Common, Status};
use super::rows::{self, RowsArguments};
use crate::train::ablation::TABLES;

const EXAMPLES: &str = "\
Examples:
  ditn ablation table5                                the rows on synthetic people, three seeds
  ditn ablation table7 --data lsp --set data.root=DIR --budget 6000 --seeds 5
  ditn ablation table5 --data mpii --seeds 1           the paper's own experiment: days on one GPU
  ditn ablation table6 --data mpii --set model.kind=ditn-resnet --seeds 1
  ditn ablation table5 --data my.toml --out my_table5

Real people are in the folder DIR of --set data.root=DIR, or in that of the environment variable DITN_DATA.

Each row is a run of the same configuration with the row's change, once for every seed; rows of one seed see the same
people in the same order. OUT/ROW/seed_N is such a run's folder. Calling the command again goes on where it was stopped
and trains nothing twice. The table goes to standard output and to OUT/TABLE.md.

A difference from the first row counts where it exceeds what seeds alone would give in one comparison of twenty (Student's
t for two samples of one deviation); with a single seed none does. A small budget compares how fast the rows learn, not
how far they come.";

/// Arguments of `ditn ablation`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Table 5 (the parts of DITN), 6 (the losses) or 7 (the weight of the bones' loss)
    #[arg(value_parser = TABLES.each_ref().map(|table| table.name))]
    table: String,
    #[command(flatten)]
    rows: RowsArguments,
}

/// Trains what has not been trained, and prints the table.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let table = TABLES.iter().find(|known| known.name == arguments.table).context("no such table")?;
    rows::run(table, arguments.rows, &[], common)
}
