//! `ditn people`

use std::path::PathBuf;

use super::common::{Common, Status, print, print_json, save_picture};
use crate::data::{Size, Split, Synthetic, SyntheticOptions};
use crate::predict::sheet;

/// People in a row.
const COLUMNS: usize = 6;

/// The shape of the crop that is drawn as a frame.
const INPUT: Size = Size { width: 96, height: 96 };

const EXAMPLES: &str = "\
Examples:
  ditn people people.png
  ditn people people.png --count 48 --seed 7";

/// Arguments of `ditn people`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The picture to write (PNG or JPEG)
    out: PathBuf,
    /// How many people
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=400))]
    count: u16,
    /// The same seed gives the same people
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Draws the sheet.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let Arguments { out, count, seed } = arguments;
    let set = Synthetic::new(SyntheticOptions::default(), seed, Split::Training, count.into())?;
    let sheet = sheet::samples(&set, 0, count.into(), COLUMNS, INPUT)?;
    save_picture(&out, &sheet)?;
    if common.json {
        print_json(&serde_json::json!({ "picture": out, "people": count, "seed": seed }))?;
    } else {
        print(&format!("{count} synthetic people with their joints: {}\n", out.display()))?;
    }
    Ok(Status::Done)
}
