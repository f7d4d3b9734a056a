//! `ditn systems`

use std::path::PathBuf;

use anyhow::Context;

use super::common::{Common, Status};
use super::rows::{self, RowsArguments};
use crate::train::systems::TABLES;

const EXAMPLES: &str = "\
Examples:
  ditn systems table2 --seeds 1                        the rows on synthetic people, small networks, one seed
  ditn systems table3 --data lsp --set data.root=DIR --budget 6000
  ditn systems table2 --data mpii --seeds 1            networks of the published sizes: weeks on one GPU
  ditn import hg8.pth hg8.safetensors --model hourglass-8 --skeleton mpii
  ditn systems table2 --data mpii --checkpoint hourglass_8=hg8.safetensors --checkpoint hrnet_w32=hrnet.safetensors

Each row is a run of the same configuration with what makes its system: the network, its losses and targets, how it is decoded;
budget, schedule, optimizer and people are the same for all. The recipes of the public code are experiments of their own
(datasets/mpii, datasets/coco). OUT/ROW/seed_N is such a run's folder. Calling the command again goes on where it was stopped and
trains nothing twice. The table goes to standard output and to OUT/TABLE.md.

With --checkpoint nothing is trained: those rows are scored on the evaluation people of --data, each as its file says that it is
decoded.

Pyramid residual modules, deeply learned compositional models, macro-micro mutual learning and G-RMI are not here: docs/systems.md
says why.";

/// Arguments of `ditn systems`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Table 2 (MPII), 3 (COCO, val2017) or 4 (COCO, test-dev2017)
    #[arg(value_parser = TABLES.each_ref().map(|table| table.name))]
    table: String,
    /// Score this checkpoint as that row; may be given many times
    #[arg(long = "checkpoint", value_name = "ROW=FILE", value_parser = row_and_file)]
    checkpoints: Vec<(String, PathBuf)>,
    #[command(flatten)]
    rows: RowsArguments,
}

/// Trains what has not been trained, or scores what is given, and prints the table.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let table = TABLES.iter().find(|known| known.name == arguments.table).context("no such table")?;
    rows::run(table, arguments.rows, &arguments.checkpoints, common)
}

fn row_and_file(text: &str) -> Result<(String, PathBuf), String> {
    let (row, file) = text.split_once('=').ok_or("give the row and the file: hourglass_8=hg8.safetensors")?;
    Ok((row.to_owned(), PathBuf::from(file)))
}
