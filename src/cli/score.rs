//! `ditn score`

use std::path::PathBuf;

use super::common::{Common, Status, print, print_json};
use crate::data::SkeletonTable;
use crate::data::coco::Id;
use crate::data::skeleton_table::Sigmas;
use crate::metrics::files::{score_coco_with, score_lsp, score_mpii};
use crate::metrics::{Rows, oks::OksScores};

const EXAMPLES: &str = "\
Examples:
  ditn score mpii --truth mpii/annot/gt_valid.mat --results results.json
  ditn score coco --truth coco/annotations/person_keypoints_val2017.json --results results.json --json
  ditn score coco --truth hands/annotations.json --results results.json --sigmas 0.035
  ditn score lsp --truth lsp/joints.mat --results results.json

Results of MPII are a JSON array [people][16][x, y] in 1-based pixels, those of LSP [people 1001 to 2000][14][x, y] in
the coordinates of joints.mat, those of COCO what its evaluation server takes. `ditn eval --results FILE` writes them.

`coco` also scores files in COCO's format with joints of your own: joints and their number are those of the truth's
category. Their OKS takes sigmas of 0.05, unless --sigmas says otherwise; COCO's 17 joints have COCO's.";

/// Whose metric and files.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum DataSet {
    /// PCKh of the validation people, against gt_valid.mat
    Mpii,
    /// Average precision over OKS, against person_keypoints_*.json
    Coco,
    /// PCK@0.2 of people 1001 to 2000, against joints.mat
    Lsp,
}

/// Arguments of `ditn score`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Whose metric and files
    data: DataSet,
    /// The data set's annotations
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// The predicted joints
    #[arg(long, value_name = "FILE")]
    results: PathBuf,
    /// MPII and LSP: the results are of the first so many people only
    #[arg(long, value_name = "NUMBER")]
    people: Option<usize>,
    /// COCO: the category of the truth by number or name [default: the one that has joints]
    #[arg(long, value_name = "CATEGORY", value_parser = category)]
    category: Option<Id>,
    /// COCO: how far off annotators are, for OKS: a number for all joints, or one each, separated by commas
    #[arg(long, value_name = "SIGMAS", value_delimiter = ',')]
    sigmas: Vec<f64>,
}

fn category(text: &str) -> Result<Id, std::convert::Infallible> {
    Ok(Id::of_text(text))
}

/// Scores results from files.
pub fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Status> {
    let Arguments { data, truth, results, people, category, sigmas } = arguments;
    let coco_only = category.is_none() && sigmas.is_empty();
    anyhow::ensure!(coco_only || matches!(data, DataSet::Coco), "--category and --sigmas are for coco");
    let text = match data {
        DataSet::Mpii => {
            let scores = score_mpii(&truth, &results, people)?;
            if common.json {
                return print_json(&scores).map(|()| Status::Done);
            }
            let columns =
                [("@0.5", scores.half.rows()), ("@0.1", scores.tenth.rows()), ("@0.11", scores.eleventh.rows())];
            table("PCKh", &columns)
        }
        DataSet::Coco => {
            anyhow::ensure!(people.is_none(), "--people is for mpii and lsp: COCO's results name their pictures");
            let sigmas = match sigmas.as_slice() {
                [] => None,
                [one] => Some(Sigmas::All(*one)),
                _ => Some(Sigmas::Each(sigmas)),
            };
            let said = sigmas.map(|sigmas| SkeletonTable { sigmas: Some(sigmas), ..SkeletonTable::default() });
            let scores: OksScores = score_coco_with(&truth, &results, category.as_ref(), said.as_ref())?;
            if common.json {
                return print_json(&scores).map(|()| Status::Done);
            }
            table("OKS", &[("%", scores.rows())])
        }
        DataSet::Lsp => {
            let scores = score_lsp(&truth, &results, people)?;
            if common.json {
                return print_json(&scores).map(|()| Status::Done);
            }
            table("PCK", &[("@0.2", scores.fifth.rows())])
        }
    };
    print(&text)?;
    Ok(Status::Done)
}

/// Rows of the same names, a column a threshold.
fn table(metric: &str, columns: &[(&str, Rows)]) -> String {
    let mut text = format!("{metric:<18}");
    for (threshold, _) in columns {
        text += &format!("{threshold:>8}");
    }
    text += "\n";
    for (row, (name, _)) in columns[0].1.iter().enumerate() {
        text += &format!("{name:<18}");
        for (_, rows) in columns {
            text += &rows[row].1.map_or(format!("{:>8}", "-"), |value| format!("{value:>8.3}"));
        }
        text += "\n";
    }
    text
}
